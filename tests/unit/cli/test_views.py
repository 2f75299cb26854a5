"""What is shown of a run on a machine while it boots."""

import io
import re
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from dayfly.cli.progress import Progress
from dayfly.cli.views import LiveView, PlainView
from dayfly.runs.state import State

NOW = datetime.now(UTC)


def step(name: str, **fields: object) -> dict[str, object]:
    return {"type": "machine_step", "at": datetime.now(UTC).isoformat(), "step": name, **fields}


def drawn(progress: Progress) -> list[str]:
    """The live view's picture at 80 columns."""
    output = io.StringIO()
    Console(file=output, width=80).print(LiveView("a-run")._draw(progress))
    return output.getvalue().splitlines()


def test_the_bar_counts_steps_until_the_runner_speaks() -> None:
    progress = Progress(state=State.PROVISIONING, began=NOW - timedelta(seconds=50))
    assert "0/8 steps to the first cell" in drawn(progress)[1]
    assert drawn(progress)[2] == "provisioning  the stack is created, then the instance boots"
    progress.take(step("pulling"))
    assert "6/8 steps to the first cell" in drawn(progress)[1]
    assert re.fullmatch(r"pulling  [\d.]+ s  pulling the image", drawn(progress)[2])
    progress.take({"type": "state", "at": NOW.isoformat(), "state": "running"})
    assert "0/? cells" in drawn(progress)[1]


def test_a_boot_that_failed_is_told_below_the_bar() -> None:
    progress = Progress(state=State.BOOTING)
    progress.take({"type": "machine_failed", "step": "docker", "reason": "boot_failed", "line": 3})
    assert drawn(progress)[2] == "booting  boot failed at the step docker, line 3 of the boot script"


def test_a_log_has_a_line_for_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    view, progress = PlainView(), Progress(state=State.PROVISIONING)
    for event in (
        step("docker", took_s=12.5),
        step("fetched", took_s=0),
        {"type": "machine_warning", "message": "The pull is tried again."},
        {"type": "machine_failed", "step": "pulled", "reason": "pull_failed", "command": "docker pull"},
    ):
        progress.take(event)
        view.event(event, progress)
    assert capsys.readouterr().err.splitlines() == [
        "machine: docker (12.5 s)",
        "machine: fetched",
        "warning: The pull is tried again.",
        "machine: pull failed at the step pulled: docker pull",
    ]

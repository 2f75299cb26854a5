import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dayfly.runner.journal import Journal
from dayfly.runs.state import CellState, State
from tests.unit.support import NOW


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path, log_limit_bytes=1000, now=lambda: NOW)
    yield made
    made.close()


def events(run_dir: Path) -> list[dict[str, Any]]:
    text = "".join(file.read_text("utf-8") for file in sorted((run_dir / "events").iterdir()))
    return [json.loads(line) for line in text.splitlines()]


def log(run_dir: Path) -> str:
    return "".join(file.read_text("utf-8") for file in sorted((run_dir / "log").iterdir()))


def test_an_event_says_when_and_what(tmp_path: Path, journal: Journal) -> None:
    journal.enter(State.RUNNING, by="a test")
    assert events(tmp_path) == [
        {"at": "2026-11-23T10:15:02.000+00:00", "type": "state", "state": "running", "by": "a test"}
    ]
    assert journal.state is State.RUNNING


def test_a_cell_is_told_by_its_first_line_and_its_end(tmp_path: Path, journal: Journal) -> None:
    journal.cell_started(2, 5, "\n  \nx = 1\ny = 2", NOW)
    journal.cell_finished(2, CellState.FAILED, NOW, 0.5, ename="ValueError")
    started, finished = events(tmp_path)
    assert (started["cell"], started["source"]) == (2, "x = 1")
    assert (finished["state"], finished["duration_s"], finished["ename"]) == ("failed", 0.5, "ValueError")
    assert log(tmp_path).startswith("── cell 2 of 5 ──")


def test_a_first_line_is_not_longer_than_a_line(tmp_path: Path, journal: Journal) -> None:
    journal.cell_started(1, 1, "x" * 10_000, NOW)
    assert len(events(tmp_path)[0]["source"]) == 200


def test_a_warning_is_an_event_a_line_and_kept_for_the_result(tmp_path: Path, journal: Journal) -> None:
    journal.warn("It is slow.")
    assert journal.warnings == ["It is slow."]
    assert events(tmp_path)[0]["message"] == "It is slow."
    assert log(tmp_path) == "warning: It is slow.\n"


def test_our_own_lines_begin_at_the_margin(tmp_path: Path, journal: Journal) -> None:
    journal.text("no end of line")
    journal.line("ours")
    assert log(tmp_path) == "no end of line\nours\n"


def test_the_log_ends_at_its_limit_and_says_so(tmp_path: Path, journal: Journal) -> None:
    journal.text("x" * 990)
    for _ in range(5):
        journal.text("é" * 20)
    text = (tmp_path / "log" / "000000000000.txt").read_bytes().decode("utf-8", "replace")
    assert text.count("[dayfly] The log ends here: it reached 1,000 bytes.") == 1
    assert len(text.encode()) < 1100


def test_events_go_on_when_the_log_has_ended(tmp_path: Path, journal: Journal) -> None:
    journal.text("x" * 2000)
    journal.enter(State.SAVING)
    assert events(tmp_path)[-1]["state"] == "saving"


def test_text_that_has_no_utf8_is_replaced(tmp_path: Path, journal: Journal) -> None:
    journal.text("a\ud800b")
    journal.event("warning", message="a\ud800b")
    assert log(tmp_path) == "a?b"
    assert events(tmp_path)[0]["message"] == "a?b"


def test_its_sizes_are_those_of_the_streams(tmp_path: Path, journal: Journal) -> None:
    journal.text("abc")
    assert journal.sizes() == {"events": 0, "log": 3}


def test_a_write_that_fails_is_told_and_nothing_is_raised(tmp_path: Path, journal: Journal) -> None:
    """The notebook goes on to wherever whoever hears of it ends it."""

    class Full:
        size = 0

        def append(self, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            """Nothing is open."""

    failures: list[int | None] = []
    journal.on_failure = lambda error: failures.append(error.errno)
    full: Any = Full()
    journal._events, journal._log = full, full
    journal.event("warning")
    journal.text("abc")
    assert failures == [errno.ENOSPC, errno.ENOSPC]

"""Sweeps on AWS Batch, emulated, with real containers: a child that fails by its host, one by its cell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import nbformat
import pytest

from dayfly.aws.batch import settle_sweep, stop_sweep, submit_sweep
from dayfly.aws.batch_follow import follow_sweep
from dayfly.environment.docker import Docker
from dayfly.errors import NotebookFailedError
from dayfly.runs import layout
from dayfly.runs.batch_record import load_submissions
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.store import Store
from dayfly.runs.sweep_states import list_attempts
from tests.cloud.batch_bench import Bench, open_bench
from tests.engine.conftest import base_image, docker, kernel_image  # noqa: F401

pytestmark = pytest.mark.timeout(900)

WORK = """\
import os, pathlib, time
found = []
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    for name in ("environ", "cmdline", "mem"):
        try:
            if b"AWS_SECRET" in (folder / name).read_bytes()[:100_000]:
                found.append(str(folder / name))
        except OSError:
            pass
print("secrets:", sorted(name for name in os.environ if "AWS" in name or "SECRET" in name) + found)
print("user:", os.getuid() != 0)
"""
ACT = """\
if kind == "fails":
    raise ValueError("the cell's own doing")
if kind == "waits":
    import time
    time.sleep(30 if pathlib.Path(os.environ["DAYFLY_OUTPUTS"]).parent.name.endswith(".2") else 600)
print("done", kind)
"""
SWEEP = "20261123-101502-work-7f3a"


@pytest.fixture(scope="module")
def bench(
    tmp_path_factory: pytest.TempPathFactory,
    docker: Docker,  # noqa: F811
    kernel_image: str,  # noqa: F811
) -> Iterator[Bench]:
    """One emulator for the module: making the image takes its time."""
    cells = [nbformat.v4.new_code_cell('kind = "works"', metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(source) for source in (WORK, ACT)]
    work = nbformat.writes(nbformat.v4.new_notebook(cells=cells)).encode()
    with open_bench(tmp_path_factory.mktemp("batch"), docker, kernel_image, {"work": work}) as made:
        yield made


def text(store: Store, run_id: str) -> str:
    """What the cells of a run printed."""
    cells = json.loads(store.get(layout.run_key(run_id, layout.OUTPUT)) or b"{}")["cells"]
    return "".join("".join(out.get("text", "")) for cell in cells for out in cell.get("outputs", []))


@pytest.mark.fault(41)
def test_a_child_whose_host_fails_is_retried_and_one_whose_cell_fails_is_not(bench: Bench) -> None:
    """FAULTS 41: each attempt has a prefix of its own."""
    sweep, points = bench.sweep(SWEEP, ["works", "waits", "fails"])
    before = len(bench.emulator.requests())
    record = submit_sweep(bench.aws, bench.base, bench.store, sweep, points)
    assert record is not None
    calls = [f"{one['service']}:{one['operation']}" for one in bench.emulator.requests()[before:]]
    assert calls.count("batch:SubmitJob") == 1
    assert calls.count("s3:PutObject") == 3  # the children, and the record before and after
    assert calls.index("scheduler:CreateSchedule") < calls.index("batch:SubmitJob")

    def attempts() -> dict[int, State | None]:
        return {i: one.state for i, one in list_attempts(bench.store, SWEEP, sweep.count).items()}

    bench.wait(SWEEP, lambda: attempts().get(1) is State.RUNNING, "the second point runs")
    assert submit_sweep(bench.aws, bench.base, bench.store, sweep, points) is None, "all are under way"
    bench.emulator.ask("POST", "/_dayfly/batch/lose", {"index": 1})
    bench.wait(SWEEP, lambda: bench.over(SWEEP), "the job is over")

    found = list_attempts(bench.store, SWEEP, sweep.count)
    assert {i: (one.number, one.state) for i, one in found.items()} == {
        0: (1, State.SUCCEEDED),
        1: (2, State.SUCCEEDED),
        2: (1, State.FAILED),
    }
    first, second = (Run(f"{SWEEP}.1{attempt}", bench.store) for attempt in ("", ".2"))
    assert first.request.parameters == second.request.parameters == {"kind": "waits"}
    assert first.result is None
    assert "done waits" in text(bench.store, second.run_id)
    failed = Run(f"{SWEEP}.2", bench.store).result
    assert failed is not None
    assert failed.failed_cell is not None
    assert failed.failed_cell.ename == "ValueError"
    children = [f"{record.arrays[0].job_id}:{index}" for index in range(3)]
    jobs = bench.aws.batch.describe_jobs(jobs=children)["jobs"]
    assert [[a["container"]["exitCode"] for a in job["attempts"]] for job in jobs] == [[0], [137, 0], [10]]

    settle_sweep(bench.aws, bench.base, bench.store, SWEEP)
    assert [a.ended for a in load_submissions(bench.store, SWEEP)[0].arrays] == ["done"]
    assert submit_sweep(bench.aws, bench.base, bench.store, sweep, points) is None, "nothing is open"


def test_the_notebook_finds_no_credentials_and_is_not_root(bench: Bench) -> None:
    said = text(bench.store, f"{SWEEP}.0")
    assert "secrets: []" in said
    assert "user: True" in said


def test_a_sweep_that_is_stopped_cancels_what_runs(bench: Bench) -> None:
    name = "20261123-111502-work-7f3b"
    sweep, points = bench.sweep(name, ["waits"])
    assert submit_sweep(bench.aws, bench.base, bench.store, sweep, points) is not None
    bench.wait(
        name,
        lambda: any(o.state is State.RUNNING for o in list_attempts(bench.store, name, 1).values()),
        "it runs",
    )
    assert len(stop_sweep(bench.aws, bench.base, bench.store, name, by="Ada")) == 1
    bench.wait(name, lambda: bench.over(name), "it is over")
    bench.wait(name, lambda: Run(f"{name}.0", bench.store).result is not None, "it says so")
    assert Run(f"{name}.0", bench.store).state is State.CANCELLED


def test_a_sweep_as_a_user_types_it(bench: Bench) -> None:
    said = bench.place.cli(
        *("sweep", "work.ipynb", "--on", "batch", "--dirty", "--memory", "512MB", "--timeout", "5m"),
        *("-p", "kind=works,fails", "--quiet"),
        code=NotebookFailedError.exit_code,
    )
    listed = bench.place.cli("ps", "--all", "--json").out
    named = {part.partition(".")[0] for part in listed.split('"') if "-work-" in part}
    [sweep_id] = named - {SWEEP, "20261123-111502-work-7f3b"}
    found = list_attempts(bench.store, sweep_id, 2)
    assert {i: one.state for i, one in found.items()} == {0: State.SUCCEEDED, 1: State.FAILED}, said.err


def test_the_deadline_ends_a_sweep_whoever_is_gone(bench: Bench) -> None:
    """The last one: the emulated clock is ahead of ours from here on."""
    name = "20261123-121502-work-7f3c"
    sweep, points = bench.sweep(name, ["waits", "waits"], timeout_s=900.0)
    record = submit_sweep(bench.aws, bench.base, bench.store, sweep, points)
    assert record is not None
    bench.wait(
        name,
        lambda: any(o.state is State.RUNNING for o in list_attempts(bench.store, name, 2).values()),
        "it runs",
    )
    bench.emulator.let_pass((record.deadline - datetime.now(UTC)).total_seconds() + 5)
    bench.wait(name, lambda: bench.over(name), "the schedule has ended it")
    [one] = follow_sweep(bench.aws, bench.store, name)
    assert one.status == "FAILED"

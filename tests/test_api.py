"""The library: what `import dayfly` gives to Python code, synchronous and asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import dayfly
from dayfly.errors import (
    KernelMissingError,
    NotebookFailedError,
    ParameterError,
    RunConflictError,
    RunNotFoundError,
    UsageError,
)
from tests.helpers import Place, end_processes, make_place, text_of


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A project, with this process in it as a program that imports dayfly would be."""
    place = make_place(tmp_path_factory.mktemp("api") / "place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.root)
        for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "JUPYTER_PATH"):
            patch.delenv(name, raising=False)
        yield place


@pytest.fixture(scope="module")
def finished(home: Place) -> dayfly.Run:
    return dayfly.run(home.notebook("hello"), parameters={"name": "Ann", "count": 1}, output="out.ipynb")


def test_run_waits_and_returns_the_run_with_its_result(finished: dayfly.Run) -> None:
    assert finished.state is dayfly.State.SUCCEEDED
    assert finished.result is not None
    assert finished.result.cells.executed == 5
    assert text_of(finished.output["cells"][3]) == "hello Ann, 0\n"
    assert finished.check() is finished


def test_run_writes_the_output_where_it_is_told_to(home: Place, finished: dayfly.Run) -> None:
    assert (home.root / "out.ipynb").read_bytes() == finished.output_bytes()


def test_events_tell_what_happened_in_order(finished: dayfly.Run) -> None:
    kinds = [event["type"] for event in finished.events()]
    assert (kinds[0], kinds[-1]) == ("state", "ended")
    assert kinds.count("cell_started") == kinds.count("cell_finished") == 5


def test_find_finds_a_run_by_id_prefix_and_last(home: Place, finished: dayfly.Run) -> None:
    assert dayfly.find(finished.run_id).run_id == finished.run_id
    assert dayfly.find(finished.run_id[:-1], store=home.root / ".dayfly").run_id == finished.run_id
    with pytest.raises(RunNotFoundError, match="There is no run 'nothing'"):
        dayfly.find("nothing")
    with pytest.raises(RunNotFoundError, match="There are no runs yet"):
        dayfly.find(store=home.root / "empty")


def test_a_failed_run_is_returned_and_check_raises_what_it_is(home: Place) -> None:
    run = dayfly.run(home.notebook("fails"))
    assert run.state is dayfly.State.FAILED
    with pytest.raises(NotebookFailedError, match="Cell 2 raised ZeroDivisionError") as caught:
        run.check()
    assert caught.value.exit_code == 10


def test_settings_are_keywords(home: Place, tmp_path: Path) -> None:
    run = dayfly.run(home.notebook("raises_twice"), allow_errors=True, store=tmp_path, timeout="10m")
    assert run.state is dayfly.State.SUCCEEDED
    assert run.request.timeout_s == 600
    assert run.store.root == tmp_path


def test_a_wrong_request_raises_before_anything_is_created(home: Place, tmp_path: Path) -> None:
    hello = home.notebook("hello")
    for error, notebook, options in (
        (ParameterError, hello, {"parameters": {"nane": "x"}}),
        (ParameterError, hello, {"parameters": {"alpha": "x"}}),
        (UsageError, home.root / "nowhere.ipynb", {}),
        (KernelMissingError, hello, {"kernel": "nowhere"}),
        (UsageError, hello, {"timeot": "2h"}),
    ):
        with pytest.raises(error):
            dayfly.run(notebook, store=tmp_path, **options)
    assert not (tmp_path / "runs").exists()


def test_a_run_goes_on_without_being_waited_for(home: Place) -> None:
    (home.root / "go").unlink(missing_ok=True)
    run = dayfly.run(home.notebook("waits"), wait=False)
    try:
        with pytest.raises(TimeoutError, match=r"has not ended within 0\.1 s"):
            run.wait(0.1)
        assert run.result is None
        (home.root / "go").touch()
        assert run.wait(60) is dayfly.State.SUCCEEDED
    finally:
        end_processes(run)


def test_a_run_can_be_stopped(home: Place) -> None:
    run = dayfly.run(home.notebook("sleeps"), wait=False)
    try:
        run.stop()
        assert run.wait(60) is dayfly.State.CANCELLED
        with pytest.raises(RunConflictError, match="has ended already"):
            run.stop()
    finally:
        end_processes(run)


def test_asynchronous_code_runs_waits_and_follows(home: Place) -> None:
    """Two runs at the same time, followed event by event, while the loop goes on."""
    (home.root / "go").unlink(missing_ok=True)
    notebook = home.notebook("waits")

    async def both() -> list[dayfly.Run]:
        runs = [await dayfly.run_async(notebook, wait=False) for _ in range(2)]
        began = 0
        async for event in runs[0].events_async():
            if event["type"] == "cell_started":
                began += 1
            if began == 2:
                (home.root / "go").touch()
        assert began == 3
        states = await asyncio.gather(*(run.wait_async(60) for run in runs))
        assert states == [dayfly.State.SUCCEEDED] * 2
        return runs

    for run in asyncio.run(both()):
        end_processes(run)


def test_run_async_returns_a_finished_run(home: Place) -> None:
    run = asyncio.run(dayfly.run_async(home.notebook("no_parameters")))
    assert run.state is dayfly.State.SUCCEEDED

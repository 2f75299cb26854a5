"""Ctrl-C at a run that goes on elsewhere."""

from collections.abc import Iterator

import pytest
import typer

from dayfly.cli.leaving import leave_run, watch_or_leave
from dayfly.errors import StoreError
from dayfly.runs import layout
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.store import Entry, Store, open_store
from tests.unit.machine_runs import MachineRun
from tests.unit.support import RUN_ID, put_run


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


@pytest.fixture
def run(store: Store) -> Run:
    MachineRun(store=store).create(State.RUNNING)
    return Run(RUN_ID, store)


def asked_to_stop(run: Run) -> bool:
    return run.store.exists(layout.run_key(run.run_id, layout.STOP))


def interrupt(_: float = 0) -> bool:
    raise KeyboardInterrupt


def abort() -> bool:
    raise typer.Abort


def never() -> bool:
    pytest.fail("nobody may be asked")


def test_one_leaves_the_run_alone_and_says_how_to_come_back(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_run(run, wait=lambda _: None, ask=never)
    said = capsys.readouterr().err
    assert f"dayfly attach {RUN_ID}" in said
    assert f"dayfly stop {RUN_ID}" in said
    assert not asked_to_stop(run)


def test_a_second_asks_whether_to_stop_it(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    leave_run(run, wait=interrupt, ask=lambda: True)
    assert asked_to_stop(run)
    assert f"Asked {RUN_ID} to stop." in capsys.readouterr().err


@pytest.mark.parametrize("answer", [lambda: False, abort, interrupt], ids=["no", "aborted", "a third"])
def test_any_answer_but_yes_leaves_it_alone(run: Run, answer: object) -> None:
    leave_run(run, wait=interrupt, ask=answer)  # type: ignore[arg-type]
    assert not asked_to_stop(run)


def test_a_run_on_this_machine_is_left_at_once(store: Store) -> None:
    put_run(store, state=State.RUNNING)
    leave_run(Run(RUN_ID, store), wait=interrupt, ask=never)


def test_nobody_is_asked_where_nobody_can_answer(run: Run) -> None:
    leave_run(run, wait=interrupt)
    assert not asked_to_stop(run)


class ExpiringStore(Store):
    """A store that answers until the credentials expire; then nothing can be listed."""

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[Entry]:
        raise StoreError("Could not list the store.", why="ExpiredToken", hint="Log in again.")


def test_who_cannot_see_the_run_any_more_is_told_that_it_goes_on(store: Store, run: Run) -> None:
    blind = Run(run.run_id, ExpiringStore(objects=store.objects, url=store.url))
    with pytest.raises(StoreError) as caught:
        watch_or_leave(blind, quiet=True, as_json=False)
    assert caught.value.why == "ExpiredToken"
    assert caught.value.hint.splitlines() == [
        "Log in again.",
        f"The run goes on without you. Come back with: dayfly attach {RUN_ID}",
    ]

import asyncio
import json

import pytest

from dayfly import errors
from dayfly.errors import DamagedFileError, RunConflictError, RunNotFoundError
from dayfly.runs import layout
from dayfly.runs.chunks import chunk_name
from dayfly.runs.receipt import FileHash
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import open_store
from tests.unit.support import NOW, RUN_ID, make_notebook, make_receipt, make_result, put_run, to_content


@pytest.fixture
def run() -> Run:
    store = open_store("memory://")
    put_run(store, state=State.RUNNING)
    return Run(RUN_ID, store)


def put(run: Run, name: str, data: bytes) -> None:
    run.store.put(layout.run_key(run.run_id, name), data)


def end(run: Run, state: State, message: str = "It ended.") -> None:
    put(run, layout.RESULT, make_result(state=state, message=message).to_bytes())
    put_status(run.store, run.run_id, state, NOW)


def test_a_run_reads_what_is_there_now(run: Run) -> None:
    assert (run.state, run.result, run.receipt, run.log()) == (State.RUNNING, None, None, "")
    end(run, State.SUCCEEDED)
    put(run, layout.RECEIPT, make_receipt({}).to_bytes())
    put(run, f"{layout.LOG}/{chunk_name(0, '.txt')}", "hällo".encode())
    assert run.state is State.SUCCEEDED
    assert run.result is not None
    assert run.receipt is not None
    assert run.log() == "hällo"


def test_the_request_is_what_was_asked(run: Run) -> None:
    assert run.request.kernel == "python3"


def test_a_run_without_a_request_is_not_there(run: Run) -> None:
    run.store.delete([layout.run_key(RUN_ID, layout.REQUEST)])
    with pytest.raises(RunNotFoundError, match="has no request"):
        _ = run.request


def test_the_output_is_a_notebook(run: Run) -> None:
    put(run, layout.OUTPUT, to_content(make_notebook()))
    assert run.output.cells == []


def test_before_there_is_an_output_asking_for_it_says_what_to_do(run: Run) -> None:
    with pytest.raises(RunConflictError, match="has no executed notebook") as caught:
        _ = run.output
    assert f"dayfly show {RUN_ID}" in caught.value.hint


def test_a_damaged_file_is_named_with_its_store(run: Run) -> None:
    put(run, layout.RESULT, b"{")
    with pytest.raises(DamagedFileError, match=f"memory:///runs/{RUN_ID}/result.json is damaged"):
        _ = run.result


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (State.FAILED, errors.NotebookFailedError),
        (State.TIMED_OUT, errors.NotebookTimedOutError),
        (State.CANCELLED, errors.RunCancelledError),
        (State.INTERRUPTED, errors.RunInterruptedError),
        (State.LOST, errors.RunLostError),
        (State.NEVER_STARTED, errors.RunNeverStartedError),
    ],
)
def test_checking_a_run_raises_the_error_of_its_end(run: Run, state: State, error: type[Exception]) -> None:
    end(run, state, message="Because.")
    with pytest.raises(error, match=f"ended as {state}") as caught:
        run.check()
    assert "Because." in str(caught.value)


def test_checking_a_run_that_succeeded_returns_it(run: Run) -> None:
    end(run, State.SUCCEEDED)
    assert run.check() is run


def test_checking_a_lost_run_says_that_it_left_no_result(run: Run) -> None:
    put_status(run.store, RUN_ID, State.LOST, NOW)
    with pytest.raises(errors.RunLostError, match="left no result"):
        run.check()


def test_stopping_leaves_a_word_for_the_runner(run: Run) -> None:
    run.stop(by="ada")
    asked = run.store.get(layout.run_key(RUN_ID, layout.STOP))
    assert asked is not None
    assert json.loads(asked)["by"] == "ada"


def test_stopping_twice_is_stopping_once(run: Run) -> None:
    run.stop(by="ada")
    run.stop(by="bob")
    asked = run.store.get(layout.run_key(RUN_ID, layout.STOP))
    assert asked is not None
    assert b"ada" in asked


def test_a_run_that_has_ended_cannot_be_stopped(run: Run) -> None:
    end(run, State.SUCCEEDED)
    with pytest.raises(RunConflictError, match="has ended already"):
        run.stop()


def test_waiting_for_a_run_that_has_ended_returns_its_state(run: Run) -> None:
    end(run, State.FAILED)
    assert run.wait() is State.FAILED
    assert asyncio.run(run.wait_async()) is State.FAILED


def test_waiting_is_bounded(run: Run) -> None:
    with pytest.raises(TimeoutError, match=r"has not ended within 0\.02 s"):
        run.wait(timeout_s=0.02)


def test_events_so_far_do_not_wait(run: Run) -> None:
    put(run, f"{layout.EVENTS}/{chunk_name(0, '.jsonl')}", b'{"type": "one"}\n')
    assert [event["type"] for event in run.events()] == ["one"]


def test_following_goes_on_to_the_last_event(run: Run) -> None:
    put(run, f"{layout.EVENTS}/{chunk_name(0, '.jsonl')}", b'{"type": "one"}\n{"type": "ended"}\n')

    async def follow() -> list[str]:
        return [event["type"] async for event in run.events_async()]

    assert [event["type"] for event in run.events(follow=True)] == ["one", "ended"]
    assert asyncio.run(follow()) == ["one", "ended"]


def test_verifying_compares_with_the_receipt(run: Run) -> None:
    put(run, layout.RECEIPT, make_receipt({"output.ipynb": FileHash(sha256="0", bytes=0)}).to_bytes())
    assert run.verify() == ["output.ipynb is missing."]


def test_there_is_nothing_to_verify_without_a_receipt(run: Run) -> None:
    with pytest.raises(RunConflictError, match="has no receipt"):
        run.verify()

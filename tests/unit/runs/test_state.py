import pytest

from dayfly.errors import DayflyError, RunEndedError
from dayfly.runs.state import State

ENDS = {
    State.SUCCEEDED: 0,
    State.FAILED: 10,
    State.TIMED_OUT: 11,
    State.CANCELLED: 12,
    State.INTERRUPTED: 13,
    State.LOST: 14,
    State.NEVER_STARTED: 15,
}


@pytest.mark.parametrize("state", list(State))
def test_a_state_is_an_end_or_goes_on(state: State) -> None:
    assert state.ended == (state in ENDS)


@pytest.mark.parametrize(("state", "code"), list(ENDS.items()))
def test_each_end_has_its_exit_code(state: State, code: int) -> None:
    assert state.exit_code == code


@pytest.mark.parametrize("state", [state for state in State if state is not State.SUCCEEDED])
def test_only_an_end_that_is_no_success_has_an_error(state: State) -> None:
    assert (state.error is not None) == state.ended
    assert state.error is None or issubclass(state.error, RunEndedError)


def test_no_two_errors_of_the_end_of_a_run_share_an_exit_code() -> None:
    codes = [state.exit_code for state in ENDS]
    assert len(set(codes)) == len(codes)


def test_a_message_says_what_why_and_what_next_a_line_each() -> None:
    assert str(DayflyError("It broke.", why="It was old.", hint="Buy one.")) == (
        "It broke.\nIt was old.\nBuy one."
    )


def test_a_message_may_be_one_sentence() -> None:
    assert str(DayflyError("It broke.")) == "It broke."

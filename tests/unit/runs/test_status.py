from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from dayfly.runs.state import State
from dayfly.runs.status import encode_status, put_status, state_of_size
from dayfly.runs.store import open_store
from tests.unit.support import NOW, RUN_ID


@given(
    state=st.sampled_from(State),
    run_id=st.from_regex(r"[0-9]{8}-[0-9]{6}-[a-z0-9]{1,32}-[0-9a-f]{4,8}", fullmatch=True),
    ago=st.timedeltas(min_value=timedelta(days=-30000), max_value=timedelta(days=30000)),
)
def test_the_size_of_a_status_object_names_its_state(state: State, run_id: str, ago: timedelta) -> None:
    """Whatever the id and the time: a listing alone must tell the state."""
    assert state_of_size(len(encode_status(run_id, state, NOW - ago))) is state


def test_each_state_has_its_own_size() -> None:
    assert len({len(encode_status(RUN_ID, state, NOW)) for state in State}) == len(State)


@given(st.integers(min_value=-10, max_value=10_000))
def test_a_size_that_names_no_state_is_unknown(size: int) -> None:
    state = state_of_size(size)
    assert state is None or len(encode_status(RUN_ID, state, NOW)) == size


def test_the_codes_of_states_never_change() -> None:
    """Stores that exist hold these sizes: a new state goes to the end."""
    assert [str(state_of_size(size)) for size in range(512, 526)] == [
        "requested",
        "preparing",
        "provisioning",
        "booting",
        "pulling",
        "running",
        "saving",
        "succeeded",
        "failed",
        "timed_out",
        "cancelled",
        "interrupted",
        "lost",
        "never_started",
    ]


def test_a_status_object_lies_outside_the_run_directory() -> None:
    store = open_store("memory://")
    put_status(store, RUN_ID, State.RUNNING, NOW)
    assert [entry.key for entry in store.list("status")] == [f"status/{RUN_ID}"]

"""When a machine must be gone, and that nothing is made when that cannot be arranged."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from dayfly.aws.deadline import SAVE_MARGIN_S, deadline_of
from tests.unit.support import NOW

SECONDS = st.floats(min_value=0, max_value=365 * 86400)


@given(SECONDS, SECONDS, SECONDS)
def test_the_deadline_leaves_time_to_boot_to_work_and_to_save(
    boot: float, timeout: float, grace: float
) -> None:
    deadline = deadline_of(NOW, boot_budget_s=boot, timeout_s=timeout, grace_s=grace)
    least = NOW + timedelta(seconds=boot + timeout + grace + SAVE_MARGIN_S)
    assert timedelta(seconds=-1) < deadline - least <= timedelta()


def test_the_deadline_is_a_whole_second_as_schedules_have_it() -> None:
    late = deadline_of(NOW.replace(microsecond=999_999), boot_budget_s=0.5, timeout_s=60, grace_s=1)
    assert late.microsecond == 0

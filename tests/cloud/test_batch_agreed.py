"""What is submitted to AWS Batch is no more than what somebody has agreed to."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayfly.aws.base import BaseStack
from dayfly.aws.batch import plan_sweep_submission, submit_sweep
from dayfly.aws.batch_plan import Agreed
from dayfly.aws.client import Aws
from dayfly.errors import UsageError
from dayfly.rehearsal.emulator import Emulator
from dayfly.runs.batch_record import load_submissions
from dayfly.runs.store import Store
from tests.cloud.test_batch_submission import SWEEP, a_sweep, base, store

__all__ = ["base", "store"]


def test_nothing_is_submitted_that_has_become_dearer_than_what_was_agreed_to(
    aws: Aws, base: BaseStack, store: Store, emulator: Emulator, tmp_path: Path
) -> None:
    sweep, points = a_sweep(store, 3)
    agreed = Agreed.to(plan_sweep_submission(aws, base, store, sweep, points[:2], environ={}))
    with pytest.raises(UsageError, match="has changed since you agreed"):
        submit_sweep(aws, base, store, sweep, points, environ={}, agreed=agreed)
    emulator.fault("pricing:GetProducts", kind="fail", times=-1)
    nothing_kept = {"HOME": str(tmp_path)}
    with pytest.raises(UsageError, match="has changed since you agreed") as refused:
        submit_sweep(aws, base, store, sweep, points[:2], environ=nothing_kept, agreed=agreed)
    assert refused.value.why.endswith("for 2 points, and is unknown.")
    assert not emulator.requests(service="batch", operation="SubmitJob")
    assert load_submissions(store, SWEEP) == []


def test_a_price_that_was_unknown_and_agreed_to_may_stay_so(
    aws: Aws, base: BaseStack, store: Store, emulator: Emulator, tmp_path: Path
) -> None:
    sweep, points = a_sweep(store, 3)
    nothing_kept = {"HOME": str(tmp_path)}
    emulator.fault("pricing:GetProducts", kind="fail", times=-1)
    agreed = Agreed.to(plan_sweep_submission(aws, base, store, sweep, points, environ=nothing_kept))
    assert agreed.most_cost is None
    assert submit_sweep(aws, base, store, sweep, points, environ=nothing_kept, agreed=agreed) is not None

"""What sweeps on AWS Batch, and their points, have cost at most: see `batch_spent` and `batch_cost`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from dayfly.aws.batch_spent import AttemptTime, measure_attempts
from dayfly.aws.cost import BatchShare, RunCost
from dayfly.runs import ids, layout
from dayfly.runs.batch_record import BatchSubmission, load_submissions
from dayfly.runs.model import parse_model
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.store import Store
from dayfly.runs.sweep import SweepRequest


def cost_of_sweep(store: Store, sweep_id: str, *, now: datetime, cache: Path | None = None) -> RunCost:
    """What all attempts at all points have cost until now; nothing for a sweep that is not on Batch.

    Raises StoreError, and DamagedFileError for a sweep that cannot be read.
    """
    key = layout.sweep_key(sweep_id, layout.SWEEP)
    content = store.get(key)
    sweep = None if content is None else parse_model(SweepRequest, content, key)
    if sweep is None or sweep.run.backend != "batch":
        return RunCost(run_id=sweep_id, machine=None)
    records = load_submissions(store, sweep_id)
    attempts = measure_attempts(store, sweep_id, sweep.count, records, now=now, cache=cache)
    return _cost(sweep_id, records, attempts)


def cost_of_point(run: Run, state: State | None, *, now: datetime) -> RunCost:
    """What one attempt at a point of a sweep on Batch has cost until now."""
    named = ids.sweep_of(run.run_id)
    if named is None:
        return RunCost(run_id=run.run_id, state=state, machine=None)
    sweep_id, index, _ = named
    records = load_submissions(run.store, sweep_id)
    attempts = measure_attempts(run.store, sweep_id, index + 1, records, now=now, only=run.run_id)
    return _cost(run.run_id, records, attempts, state)


def _cost(
    run_id: str,
    records: Sequence[BatchSubmission],
    attempts: Sequence[AttemptTime],
    state: State | None = None,
) -> RunCost:
    if not records:
        return RunCost(run_id=run_id, state=state, machine=None)
    of = attempts[0].record if len(attempts) == 1 else records[-1]
    prices = [of.price_per_hour] if len(attempts) == 1 else [one.price_per_hour for one in records]
    amounts = [one.dollars for one in attempts]
    known = [amount for amount in amounts if amount is not None]
    return RunCost(
        run_id=run_id,
        state=state,
        machine=None,
        share=BatchShare(
            region=of.region,
            spot=of.spot,
            vcpus=of.vcpus,
            memory_mib=of.memory_mib,
            attempts=len(attempts),
            price_per_hour=max((price for price in prices if price is not None), default=None),
        ),
        begun=records[0].created if attempts else None,
        lived=timedelta(seconds=sum(one.seconds for one in attempts)),
        dollars=None if len(known) < len(amounts) else sum(known, Decimal(0)),
        certainty="at most" if all(one.over for one in attempts) else "so far",
    )

"""What would be submitted to AWS Batch, and for how much: said before it is, and by `--dry-run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dayfly.aws.money import dollars, dollars_per_hour
from dayfly.cli.sweep_text import describe_points
from dayfly.cli.text import describe_deadline, format_duration, to_stderr

if TYPE_CHECKING:
    from dayfly.aws.batch_plan import Agreed, BatchPlan

_UNKNOWN = "unknown: AWS's price list could not be read"


def agree_to_batch(plan: BatchPlan | None, *, yes: bool, quiet: bool = False) -> Agreed:
    """Say what would be submitted; where its price is unknown, somebody must say yes. Returns to what.

    Raises UsageError where nobody can be asked. None is nothing to submit.
    """
    from dayfly.aws.batch_plan import Agreed
    from dayfly.cli.cloud_place import agree_unpriced

    agreed = Agreed.to(plan)
    if plan is None:
        return agreed
    if not quiet:
        for name, value in batch_lines(plan):
            to_stderr(f"{name:<10} {value}")
    if plan.record.most_cost is None:
        what = "What this sweep costs is unknown: AWS's price list could not be read."
        agree_unpriced(what, "Submit it nevertheless", yes=yes)
    return agreed


def batch_lines(plan: BatchPlan) -> list[tuple[str, str]]:
    """The same for people, a line each."""
    record = plan.record
    jobs = "1 job" if len(record.arrays) == 1 else f"{len(record.arrays)} array jobs"
    points = describe_points(len(plan.wanted))
    cpus = "1 vCPU" if record.vcpus == 1 else f"{record.vcpus} vCPUs"
    kind = "spot" if record.spot else "on demand"
    return [
        ("submits", f"{points} in {jobs}"),
        ("a point", f"{cpus}, {record.memory_mib:,} MiB"),
        ("queue", f"{record.queue.rpartition('/')[2]} in {record.region}, {kind}"),
        ("timeout", _timeout(plan)),
        ("attempts", _attempts(plan)),
        ("gone by", describe_deadline(record.deadline, record.created)),
        ("cost", _cost(plan)),
    ]


def _timeout(plan: BatchPlan) -> str:
    limit = f"{format_duration(plan.record.timeout_s)} a run"
    if plan.shortened_from_s is None:
        return limit
    return f"{limit}, in place of {format_duration(plan.shortened_from_s)}: --max-cost pays for no more"


def _attempts(plan: BatchPlan) -> str:
    from dayfly.aws.batch_cost import MOST_ATTEMPTS

    attempts = plan.record.attempts
    if attempts == MOST_ATTEMPTS:
        return f"{attempts} a point at most: again only where its machine broke or was taken back"
    return f"{attempts} a point at most, in place of {MOST_ATTEMPTS}: --max-cost pays for no more"


def _cost(plan: BatchPlan) -> str:
    if plan.bound is None or plan.record.most_cost is None:
        return _UNKNOWN
    each = f"{dollars_per_hour(plan.bound.per_hour)} a point at most, on {plan.bound.instance_type}"
    once = plan.record.most_cost / plan.record.attempts
    before = f"; before it at most {dollars(plan.spent)}" if plan.spent else ""
    again = f"; {dollars(once)} where none is repeated" if plan.record.attempts > 1 else ""
    return f"at most {dollars(plan.record.most_cost)}{again} ({each}){before}"


def batch_facts(plan: BatchPlan | None) -> dict[str, Any] | None:
    """The same for programs; dollars are text, so that no digit is lost. None is nothing to submit."""
    if plan is None:
        return None
    record, bound = plan.record, plan.bound
    return {
        "points": len(plan.wanted),
        "array_jobs": len(record.arrays),
        "vcpus": record.vcpus,
        "memory_mib": record.memory_mib,
        "region": record.region,
        "queue": record.queue,
        "spot": record.spot,
        "timeout_s": record.timeout_s,
        "shortened_from_s": plan.shortened_from_s,
        "attempts": record.attempts,
        "deadline": record.deadline.isoformat(),
        "price_per_hour": None if bound is None else str(bound.per_hour),
        "priced_as": None if bound is None else bound.instance_type,
        "at_most_dollars": None if record.most_cost is None else str(record.most_cost),
        "spent_dollars": str(plan.spent),
        "max_cost_dollars": plan.sweep.max_cost,
    }

"""A sweep before it exists: everything is checked, and what was run before is found."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

from dayfly.backends.asked import STANDARD_INPUT, Asked
from dayfly.backends.creation import Submission
from dayfly.backends.submission import plan_submission
from dayfly.backends.sweep_earlier import Earlier, find_earlier, identities_of
from dayfly.backends.sweep_limits import check_jobs, find_room
from dayfly.backends.sweep_points import Drawing, Drawn, Grid, draw_points
from dayfly.errors import UsageError
from dayfly.project.load import Project
from dayfly.runner.inspection import check_parameters, inspect_parameters
from dayfly.runner.notebook import Notebook
from dayfly.runs.request import Request
from dayfly.runs.store import Store
from dayfly.runs.sweep import Point, SweepRequest, base_identity, canonical, encode_points, notebook_identity
from dayfly.runs.sweep_states import open_points

if TYPE_CHECKING:
    from dayfly.aws.batch_plan import BatchPlan
    from dayfly.backends.batch_target import BatchTarget
    from dayfly.backends.ec2_target import Ec2Target

_MOST_RETRIES = 10


@dataclass(frozen=True, kw_only=True)
class SweepWish:
    """What a sweep is asked for beside its run."""

    grid: Grid
    drawing: Drawing = field(default_factory=Drawing)
    jobs: int | None = None
    retries: int = 0
    preload: tuple[str, ...] = ()
    max_cost: float | None = None
    force: bool = False
    """Run every point, whatever was run before."""


def wish_of(  # noqa: PLR0913 -- a name each for what is asked
    project: Project,
    *,
    grid: Grid,
    drawing: Drawing,
    force: bool = False,
    jobs: int | None = None,
    retries: int | None = None,
) -> SweepWish:
    """The wish, with the project's settings of sweeps where it leaves them open."""
    settings = getattr(project.settings, "sweep", None)
    most = project.settings.max_cost
    return SweepWish(
        grid=grid,
        drawing=drawing,
        force=force,
        jobs=jobs if jobs is not None else getattr(settings, "jobs", None),
        retries=retries if retries is not None else getattr(settings, "retries", 0),
        preload=tuple(getattr(settings, "preload", ())),
        max_cost=None if most is None else float(most),
    )


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """A sweep that has been checked: a new one, or the one in the store that is to go on."""

    sweep: SweepRequest
    points: Sequence[Point]
    content: bytes
    bundle: IO[bytes] | None
    target: Ec2Target | None
    store: Store
    """Where it is to be, with its runs, and where earlier ones were looked for."""
    asked: int
    """How many points were asked for, before equal ones became one."""
    continues: Earlier | None = None
    """The sweep with these points that is in the store already."""
    jobs: int | None = None
    """How many runs at once are asked for now; the sweep may have been begun with another number."""
    forced: bool = False
    """Whether it is to be another one even if there is one with these points."""
    batch: BatchPlan | None = None
    """What would be submitted to AWS Batch, and for how much; None elsewhere, and where nothing is open."""

    @property
    def there(self) -> Counter[str]:
        """How many points an earlier sweep stands for, by its id."""
        return Counter(point.run.partition(".")[0] for point in self.points if point.run is not None)


def plan_sweep(  # noqa: PLR0913, PLR0917 -- what plan_submission takes, and two more
    asked: Asked,
    wish: SweepWish,
    project: Project,
    environ: Mapping[str, str],
    now: datetime,
    open_store: Callable[[Submission], Store],
) -> SweepPlan:
    """Check everything and say what would run; creates nothing but an image, where one is needed.

    Kernel, Python, snapshot and image are found once for all points. `open_store` opens the store that the
    sweep is for, with or without looking for earlier runs in it. Raises UsageError and its kin.
    """
    _check_wish(wish)
    drawn: list[Drawn] = []
    submission = plan_submission(
        replace(
            asked,
            parameters=_first_point(wish.grid),
            look_at=lambda notebook: drawn.append(_draw(notebook, asked, wish)),
        ),
        project,
        environ,
        now,
    )
    try:
        plan = _plan(submission, wish, drawn[0], open_store(submission), now)
        if submission.batch is None:
            return plan
        return _on_batch(plan, submission.batch, environ, spot=project.settings.spot)
    except BaseException:
        if submission.bundle is not None:
            submission.bundle.close()
        raise


def _plan(submission: Submission, wish: SweepWish, drawn: Drawn, store: Store, now: datetime) -> SweepPlan:
    sweep = _sweep_of(submission, wish, drawn)
    plan = SweepPlan(
        sweep=sweep,
        points=drawn.points,
        content=submission.content,
        bundle=submission.bundle,
        target=submission.target,
        store=store,
        asked=drawn.asked,
        jobs=wish.jobs,
        forced=wish.force,
    )
    if not wish.force:
        plan = _with_earlier(plan, find_earlier(store, sweep.base, now=now))
    if wish.jobs is not None and submission.batch is None:  # where Batch decides
        attempts = plan.continues.attempts if plan.continues is not None else {}
        check_jobs(min(wish.jobs, len(open_points(plan.sweep, plan.points, attempts, {}))), find_room())
    return plan


def _on_batch(plan: SweepPlan, target: BatchTarget, environ: Mapping[str, str], *, spot: bool) -> SweepPlan:
    """The plan with what would be submitted; a sweep that is new keeps the bound of its points' price."""
    from dayfly.backends.batch import plan_on_batch

    found = plan_on_batch(target, plan.sweep, plan.points, spot=spot, environ=environ)
    if found is None or plan.continues is not None:
        return replace(plan, batch=found)
    priced = plan.sweep.model_copy(update={"price_per_hour": found.record.price_per_hour})
    return replace(plan, batch=found, sweep=priced)


def _check_wish(wish: SweepWish) -> None:
    if wish.jobs is not None and wish.jobs < 1:
        raise UsageError(f"--jobs {wish.jobs} is not at least 1.")
    if not 0 <= wish.retries <= _MOST_RETRIES:
        raise UsageError(f"--retries {wish.retries} is not between 0 and {_MOST_RETRIES}.")


def _first_point(grid: Grid) -> dict[str, Any]:
    """The parameters of some point: what is checked of one run is checked with them."""
    rows = grid.rows or [{}]
    return {**grid.shared, **rows[0], **{name: values[0] for name, values in grid.axes.items() if values}}


def _draw(notebook: Notebook, asked: Asked, wish: SweepWish) -> Drawn:
    known = inspect_parameters(notebook)
    name = "standard input" if asked.notebook == STANDARD_INPUT else asked.notebook

    def check(given: Mapping[str, Any]) -> dict[str, Any]:
        return check_parameters(given, known, notebook=name, allow_unknown=asked.allow_unknown)

    return draw_points(wish.grid, wish.drawing, check)


def _sweep_of(submission: Submission, wish: SweepWish, drawn: Drawn) -> SweepRequest:
    run = submission.request.model_copy(update={"parameters": drawn.shared})
    notebook_sha256 = notebook_identity(submission.content)
    return SweepRequest(
        sweep_id=run.run_id,
        created=run.created,
        run=run,
        notebook_sha256=notebook_sha256,
        base=base_identity(run, notebook_sha256),
        count=len(drawn.points),
        points_sha256=hashlib.sha256(encode_points(drawn.points)).hexdigest(),
        names=drawn.names,
        jobs=wish.jobs,
        retries=wish.retries,
        preload=wish.preload,
        max_cost=wish.max_cost,
    )


def _with_earlier(plan: SweepPlan, earlier: Sequence[Earlier]) -> SweepPlan:
    """The plan after what was run before: that sweep goes on, or its runs stand for points of this one."""
    if not earlier:
        return plan
    identities = identities_of(plan.sweep.base, plan.sweep, plan.points)
    wanted = set(identities)
    for before in earlier:
        alike = before.sweep.count == len(plan.points) and same_settings(before.sweep, plan.sweep)
        if alike and set(before.identities) == wanted:
            return replace(plan, sweep=before.sweep, points=before.points, continues=before)
    runs = {identity: run_id for before in reversed(earlier) for identity, run_id in before.succeeded()}
    points = [
        Point.model_construct(parameters=point.parameters, run=runs.get(identity))
        for identity, point in zip(identities, plan.points, strict=True)
    ]
    sha256 = hashlib.sha256(encode_points(points)).hexdigest()
    return replace(plan, points=points, sweep=plan.sweep.model_copy(update={"points_sha256": sha256}))


_SETTINGS = (
    "backend",
    "cpus",
    "memory_bytes",
    "gpus",
    "timeout_s",
    "cell_timeout_s",
    "grace_s",
    "output_limit_bytes",
    "kernel_transport",
)
"""What is no part of a point's identity, and yet cannot be changed in a sweep that is there."""


def same_settings(one: SweepRequest, other: SweepRequest) -> bool:
    """Whether going on with `one` is what `other` asks for: limits, place and retries are the same."""
    return _settings_of(one) == _settings_of(other)


def _settings_of(sweep: SweepRequest) -> tuple[Any, ...]:
    run: Request = sweep.run
    outputs = run.outputs if run.snapshot is None else None  # it lies in a checkout of its own
    ours = (sweep.retries, sweep.preload, sweep.max_cost)
    return (*(getattr(run, name) for name in _SETTINGS), outputs, *ours)


def digest_of(sweep: SweepRequest, points: Sequence[Point]) -> str:
    """What two sweeps share of which one goes on with the other: points and settings, as a SHA-256."""
    identities = sorted(identities_of(sweep.base, sweep, points))
    return hashlib.sha256(canonical([identities, _settings_of(sweep)])).hexdigest()

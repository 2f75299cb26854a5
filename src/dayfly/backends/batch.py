"""Sweeps on AWS Batch, as every backend has them: where their runs are executed, and who works on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from dayfly.aws.account import aws_project_name, open_project_aws
from dayfly.aws.base import BaseStack, load_base
from dayfly.aws.batch import plan_sweep_submission, settle_sweep, stop_sweep, submit_sweep
from dayfly.aws.batch_plan import Agreed, BatchPlan, require_batch
from dayfly.aws.client import Aws
from dayfly.aws.image_records import load_image_record
from dayfly.backends.asked import Asked
from dayfly.backends.batch_target import BatchTarget
from dayfly.backends.docker_workplace import image_tree, places_in_checkout
from dayfly.backends.ec2_workplace import PLATFORMS, check_image, wanted_arch, workplace_in
from dayfly.backends.source import Source
from dayfly.backends.stores import open_bucket
from dayfly.backends.workplace import Workplace
from dayfly.environment.plan import plan_image
from dayfly.errors import AwsError, DayflyError, UsageError
from dayfly.project.load import Project, load_project
from dayfly.runs import layout
from dayfly.runs.asker import user_name
from dayfly.runs.batch_record import load_submissions
from dayfly.runs.model import parse_model
from dayfly.runs.store import Store
from dayfly.runs.sweep import Point, SweepRequest, decode_points

ASK_EVERY_S = 20.0
"""Between two questions to Batch; what the points do is read from the store, as often as one likes."""


def batch_workplace(asked: Asked, source: Source, project: Project, environ: Mapping[str, str]) -> Workplace:
    """Find base stack and image for a sweep. Raises AwsError, ImageError and UsageError; nothing was made."""
    del environ
    if source.snapshot is None:
        raise ValueError("a run on AWS Batch is of a snapshot")
    if project.settings.aws.access:
        raise UsageError(
            "A sweep on AWS Batch cannot give its notebooks access to AWS.",
            why="[aws] access is set; its role is for single machines.",
            hint="Run it with --on docker, or without: [aws] access = false",
        )
    cwd, outputs = places_in_checkout(asked, project, source.snapshot.repository)
    aws, name = open_project_aws(project), aws_project_name(project)
    with ThreadPoolExecutor() as pool:
        finding = pool.submit(load_base, aws, name)
        arch = wanted_arch(project)
        with image_tree(source, project, source.snapshot.repository) as (tree, settings):
            plan = plan_image(tree, settings, platform=PLATFORMS[arch])
        base = finding.result()
    require_batch(base)
    store = open_bucket(base.bucket, profile=aws.profile, region=aws.region)
    record = load_image_record(store, plan.key, arch=arch)
    check_image(aws, base, tag=record.tag, digest=record.digest)
    place = workplace_in(record, base, source, cwd=cwd, outputs=outputs)
    return replace(place, batch=BatchTarget(aws=aws, base=base, store=store))


@dataclass(kw_only=True)
class BatchExecution:
    """A sweep that Batch works on. `wait` asks Batch now and then, and cancels what never starts."""

    aws: Aws
    base: BaseStack
    store: Store
    sweep_id: str
    clock: Callable[[], float] = time.monotonic
    _due: float = field(default=0.0, init=False)
    _over: bool = field(default=False, init=False)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until Batch has nothing left to do; True when that is so."""
        begun = self.clock()
        while not self._look():
            left = ASK_EVERY_S if timeout_s is None else timeout_s - (self.clock() - begun)
            if left <= 0:
                return False
            self.aws.sleep(min(left, max(self._due - self.clock(), 0.0)))
        return True

    def _look(self) -> bool:
        if not self._over and self.clock() >= self._due:
            self._due = self.clock() + ASK_EVERY_S
            with suppress(AwsError):  # the next look asks again; the sweep does not depend on us
                found = settle_sweep(self.aws, self.base, self.store, self.sweep_id)
                self._over = all(one.ended for one in found)
        return self._over

    def leave(self) -> None:
        """Go on without it; it goes on without us."""

    def interrupt(self) -> None:
        """Ask for the end of the sweep; asking again asks again."""
        self._due = 0.0
        stop_sweep(self.aws, self.base, self.store, self.sweep_id, by=user_name())


def end_batch(store: Store, sweep_id: str, environ: Mapping[str, str]) -> None:
    """End a sweep on Batch: what waits there never begins. Raises AwsError and StoreError."""
    _, aws, base = _open_place(environ)
    stop_sweep(aws, base, store, sweep_id, by=user_name())


def plan_on_batch(  # noqa: PLR0913 -- a sweep, and where it goes
    target: BatchTarget,
    sweep: SweepRequest,
    points: Sequence[Point],
    again: Collection[int] = (),
    *,
    spot: bool,
    environ: Mapping[str, str],
) -> BatchPlan | None:
    """What would be submitted of a sweep, priced; None when nothing is open. Nothing is made.

    `again` are settled points that are to be run once more. Raises AwsError, StoreError and UsageError.
    """
    return plan_sweep_submission(
        target.aws,
        target.base,
        target.store,
        sweep,
        points,
        again,
        spot=spot,
        environ=environ,
        owner=user_name(),
    )


def plan_retry(
    store: Store,
    sweep: SweepRequest,
    points: Sequence[Point],
    again: Collection[int],
    environ: Mapping[str, str],
) -> BatchPlan | None:
    """What going on with a sweep would submit, on the machines that it had before. Raises as the above."""
    project, aws, base = _open_place(environ)
    target = BatchTarget(aws=aws, base=base, store=store)
    spot = _spot_of(store, sweep.sweep_id, project)
    return plan_on_batch(target, sweep, points, again, spot=spot, environ=environ)


def _open_place(environ: Mapping[str, str]) -> tuple[Project, Aws, BaseStack]:
    project = load_project(Path.cwd(), environ)
    aws = open_project_aws(project)
    return project, aws, load_base(aws, aws_project_name(project))


def _spot_of(store: Store, sweep_id: str, project: Project) -> bool:
    """Whether the sweep was last submitted to spot machines; before that, what the project says."""
    before = load_submissions(store, sweep_id)
    return before[-1].spot if before else project.settings.spot


def start_batch(
    store: Store,
    sweep_id: str,
    environ: Mapping[str, str],
    *,
    spot: bool | None = None,
    agreed: Agreed | None = None,
) -> BatchExecution:
    """Submit the open points of a sweep that the store has; `spot` is None for machines as it had before.

    `agreed` is what it may be at most; a Ctrl-C on the way ends what was submitted until then.
    Raises AwsError, StoreError and UsageError.
    """
    project, aws, base = _open_place(environ)
    key, points = layout.sweep_key(sweep_id, layout.SWEEP), layout.sweep_key(sweep_id, layout.POINTS)
    content, lines = store.get(key), store.get(points)
    if content is None or lines is None:
        raise DayflyError(f"The store {store.url} has no sweep {sweep_id}.")
    execution = BatchExecution(aws=aws, base=base, store=store, sweep_id=sweep_id)
    try:
        submit_sweep(
            aws,
            base,
            store,
            parse_model(SweepRequest, content, key),
            list(decode_points(lines)),
            spot=_spot_of(store, sweep_id, project) if spot is None else spot,
            environ=environ,
            owner=user_name(),
            agreed=agreed,
        )
    except KeyboardInterrupt:
        execution.interrupt()
        raise
    return execution

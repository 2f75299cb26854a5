"""One rehearsal: an AWS with the project's base stack and image in it, and instances that really boot.

Everything of the product is the product's own: plans, templates, boot script, image, runner, keeper. It finds
the rehearsal by the environment alone, as it would find AWS.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from dayfly.aws.base import BaseStack, load_base
from dayfly.aws.base_apply import execute_change, prepare_change
from dayfly.aws.base_parameters import BaseOptions
from dayfly.aws.base_plan import plan_base
from dayfly.aws.client import Aws, open_aws
from dayfly.aws.extras import Extras
from dayfly.aws.identity import load_identity
from dayfly.backends.project_image import project_image
from dayfly.backends.stores import open_bucket
from dayfly.environment.docker import Docker
from dayfly.environment.plan import default_name
from dayfly.project.load import Project
from dayfly.rehearsal.image import DEFAULT_BASE, rehearsal_image
from dayfly.rehearsal.instances import Instances, boot_instances
from dayfly.rehearsal.place import make_place
from dayfly.rehearsal.push import push_to_rehearsal
from dayfly.rehearsal.surroundings import Surroundings, remove_orphans, start_surroundings
from dayfly.runs.store import Store

PROJECT = "rehearsal"
_NOT_THE_USERS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """A rehearsal that is ready for runs. `project` is the user's, in the rehearsed account."""

    around: Surroundings
    instances: Instances
    aws: Aws
    base: BaseStack
    store: Store
    project: Project


@contextmanager
def start_rehearsal(  # noqa: PLR0913 -- what it is made of
    project: Project,
    docker: Docker,
    *,
    image_base: str = DEFAULT_BASE,
    options: BaseOptions | None = None,
    keep: bool = False,
    with_image: bool = True,
    echo: Callable[[str], None],
) -> Iterator[Rehearsal]:
    """An AWS of the rehearsal's own for as long as the block lasts; nothing is left of it but caches.

    For that long, the environment of this process leads to it. `keep` lets instances stand that would power
    off. Raises EngineError, ImageError and RehearsalError.
    """
    remove_orphans(docker)
    environ = dict(os.environ)
    root = project.root or Path.cwd()
    network = project.settings.image.network
    with ExitStack() as ends, ThreadPoolExecutor(1) as pool:
        named = {"name": project.settings.image.name or default_name(root)}
        settings = project.settings.image.model_copy(update=named)
        building = (
            pool.submit(project_image, docker, root, settings, environ, echo=echo) if with_image else None
        )
        image = rehearsal_image(docker, base=image_base, network=network, echo=echo)
        state = ends.enter_context(make_place())
        around = ends.enter_context(start_surroundings(docker, image, state))
        ends.enter_context(
            _environment({**around.emulator.environ(), "XDG_CACHE_HOME": str(state / "cache")})
        )
        aws = open_aws()
        base = make_base(aws, options or BaseOptions())
        store = open_bucket(base.bucket, region=aws.region)
        if building is not None:
            built, _ = building.result()
            push_to_rehearsal(around, base, store, built, environ)
        instances = ends.enter_context(boot_instances(around, keep=keep))
        yield Rehearsal(
            around=around,
            instances=instances,
            aws=aws,
            base=base,
            store=store,
            project=_in_rehearsal(project, base),
        )


def make_base(aws: Aws, options: BaseOptions) -> BaseStack:
    """The base stack, as `dayfly cloud up` makes it. Raises AwsError."""
    plan = plan_base(aws, project=PROJECT, identity=load_identity(aws), options=options, extras=Extras())
    change = prepare_change(aws, plan)
    if change is not None:
        execute_change(aws, change, lambda _: None)
    return load_base(aws, PROJECT)


def _in_rehearsal(project: Project, base: BaseStack) -> Project:
    """The user's project and settings, in the rehearsed account."""
    place = {"profile": None, "region": base.region, "project": PROJECT, "bucket": base.bucket, "ami": None}
    aws = project.settings.aws.model_copy(update=place)
    return replace(project, settings=project.settings.model_copy(update={"aws": aws}))


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """The environment of this process, with these values and without the user's own account."""
    before = dict(os.environ)
    for name in _NOT_THE_USERS:
        os.environ.pop(name, None)
    os.environ.update(values, AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

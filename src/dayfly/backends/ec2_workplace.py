"""From what is asked to the machine that a run would have: found out, checked and priced; nothing is made."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

from dayfly.aws.account import aws_project_name, open_project_aws
from dayfly.aws.base import BaseStack, load_base
from dayfly.aws.client import Aws
from dayfly.aws.deadline import DEFAULT_TIMEOUT_S, SAVE_MARGIN_S
from dayfly.aws.ecr import find_repository_image
from dayfly.aws.estimates import deadline_for_cost
from dayfly.aws.fit import DEFAULT_ARCH, Arch
from dayfly.aws.hardware import Hardware, choose_hardware
from dayfly.aws.image_records import ImageRecord, load_image_record
from dayfly.aws.money import dollars_per_hour
from dayfly.backends.asked import Asked
from dayfly.backends.docker import CHECKOUT
from dayfly.backends.docker_workplace import (
    container_user,
    image_tree,
    kernel_in_image,
    places_in_checkout,
)
from dayfly.backends.ec2_target import Ec2Target
from dayfly.backends.source import Source
from dayfly.backends.stores import open_bucket
from dayfly.backends.workplace import Workplace, snapshot_source
from dayfly.environment.plan import plan_image
from dayfly.errors import AwsError, ImageError, UsageError
from dayfly.project.load import Project
from dayfly.project.settings import Settings
from dayfly.runs.asker import user_name
from dayfly.runs.request import ImageSource, PythonEnvironment, Request
from dayfly.runs.store import Store


def ec2_workplace(asked: Asked, source: Source, project: Project, environ: Mapping[str, str]) -> Workplace:
    """Find base stack, image and machine for a run, in as few calls as there are, side by side.

    Raises AwsError, ImageError, KernelMissingError and UsageError; nothing was made then.
    """
    if source.snapshot is None:
        raise ValueError("a run on a machine is of a snapshot")
    cwd, outputs = places_in_checkout(asked, project, source.snapshot.repository)
    aws, name = open_project_aws(project), aws_project_name(project)
    with ThreadPoolExecutor() as pool:
        finding = pool.submit(load_base, aws, name)
        arch = wanted_arch(project)
        with image_tree(source, project, source.snapshot.repository) as (tree, settings):
            plan = plan_image(tree, settings, platform=PLATFORMS[arch])
        base = finding.result()
        if asked.ssh_cidr and not base.key_name:
            raise UsageError(
                "This project has no key for SSH.", hint="Give it one: dayfly cloud up --ssh-key FILE"
            )
        store = open_bucket(base.bucket, profile=aws.profile, region=aws.region)
        choosing = pool.submit(choose_hardware, aws, base, project.settings, arch=arch, environ=environ)
        record = load_image_record(store, plan.key, arch=arch)
        checking = pool.submit(check_image, aws, base, tag=record.tag, digest=record.digest)
        mirror = mirror_with(aws, base, source.snapshot.commit)
        hardware = choosing.result()
        checking.result()
    return replace(
        workplace_in(record, base, source, cwd=cwd, outputs=outputs),
        target=_make_target(
            aws, base, store, project.settings, hardware, mirror=mirror, ssh_cidr=asked.ssh_cidr
        ),
    )


def workplace_in(
    record: ImageRecord, base: BaseStack, source: Source, *, cwd: str, outputs: str | None
) -> Workplace:
    """A container of an image in the project's repository, wherever in AWS it will be."""
    facts = record.facts()
    return Workplace(
        python=PythonEnvironment(
            executable=facts.python.executable, prefix=facts.python.prefix, source=f"image {record.tag}"
        ),
        cwd=cwd,
        outputs=outputs,
        find_kernel=partial(kernel_in_image, facts=facts, tag=record.tag),
        snapshot=snapshot_source(source, CHECKOUT),
        image=_image_source(record, base),
    )


def _make_target(  # noqa: PLR0913 -- what was found out
    aws: Aws,
    base: BaseStack,
    store: Store,
    settings: Settings,
    hardware: Hardware,
    *,
    mirror: str,
    ssh_cidr: str,
) -> Ec2Target:
    asked_s, timeout_s = settings.timeout or DEFAULT_TIMEOUT_S, _timeout_s(settings, hardware)
    return Ec2Target(
        aws=aws,
        base=base,
        store=store,
        hardware=hardware,
        access=settings.aws.access,
        boot_budget_s=settings.aws.boot_budget,
        timeout_s=timeout_s,
        grace_s=settings.grace,
        hold_s=settings.keep_on_failure or 0.0,
        owner=user_name(),
        ssh_cidr=ssh_cidr,
        notify=settings.aws.notify or "",
        mirror=mirror,
        shortened_from_s=asked_s if timeout_s < asked_s else None,
    )


def target_again(request: Request, project: Project, environ: Mapping[str, str]) -> Ec2Target:
    """The same machine for the same request: type, image, disk and limits as they were, at today's price.

    Raises AwsError, and ImageError when the project's image repository no longer has the run's image.
    """
    machine, image = request.machine, request.image
    if machine is None or image is None:
        raise ValueError("a run on a machine says which, and in which image")
    settings = project.settings.model_copy(
        update={
            "instance": machine.instance_type,
            "arch": machine.arch,
            "spot": machine.spot,
            "disk": machine.disk_gib << 30,
            "cpus": request.cpus,
            "memory": request.memory_bytes,
            "gpus": request.gpus,
            "timeout": request.timeout_s,
            "grace": request.grace_s,
            "max_cost": None,
            "aws": project.settings.aws.model_copy(
                update={
                    "ami": machine.ami,
                    "access": machine.access,
                    "boot_budget": machine.boot_budget_s,
                }
            ),
        }
    )
    aws = open_project_aws(project, region=machine.region)
    base = load_base(aws, machine.project)
    hardware = choose_hardware(aws, base, settings, arch=machine.arch, environ=environ)
    check_image(aws, base, tag=image.tag, digest=image.id.partition("@")[2])
    store = open_bucket(base.bucket, profile=aws.profile, region=aws.region)
    mirror = mirror_with(aws, base, request.snapshot.commit) if request.snapshot else ""
    return _make_target(aws, base, store, settings, hardware, mirror=mirror, ssh_cidr="")


def mirror_with(aws: Aws, base: BaseStack, commit: str) -> str:
    """The project's CodeCommit mirror when it has the commit; empty when there is none, or it has not."""
    if not base.mirror:
        return ""
    try:
        aws.codecommit.get_commit(repositoryName=base.mirror, commitId=commit)
    except AwsError as error:
        if error.code in {"CommitIdDoesNotExistException", "CommitDoesNotExistException"}:
            return ""
        raise
    return base.mirror


def check_image(aws: Aws, base: BaseStack, *, tag: str, digest: str) -> None:
    """Raise ImageError when the repository no longer has the image that the store knows of."""
    if find_repository_image(aws, base, digest=digest) is None:
        raise ImageError(
            f"The image {tag} is no longer in the project's image repository.",
            why=f"It was pushed with the digest {digest[:19]}…, and has been removed since.",
            hint="Push it again with: dayfly image push, or build it with: dayfly image build --on ec2",
        )


PLATFORMS: dict[Arch, str] = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}


def wanted_arch(project: Project) -> Arch:
    """The processors that the settings ask for, else those of the image's platform, else x86_64."""
    settings = project.settings
    if settings.arch is not None:
        return settings.arch
    return "arm64" if (settings.image.platform or "").endswith(("arm64", "aarch64")) else DEFAULT_ARCH


def _image_source(record: ImageRecord, base: BaseStack) -> ImageSource:
    """What the request says of an image in the project's repository."""
    return ImageSource(
        tag=f"{base.repository_uri}:{record.tag}",
        id=record.reference(base.repository_uri),
        key=record.key,
        platform=record.platform,
        # Docker on the machine is root's; a run is nobody's root there.
        user=container_user(record.facts(), uid=0, gid=0, rootless=False),
    )


def _timeout_s(settings: Settings, hardware: Hardware) -> float:
    """The notebook's time, so short that the machine costs no more than it may. Raises UsageError."""
    asked = settings.timeout or DEFAULT_TIMEOUT_S
    if settings.max_cost is None:
        return asked
    if hardware.price is None:
        raise UsageError(
            f"--max-cost {settings.max_cost} cannot be kept.",
            why=f"The price of {hardware.instance_type} is not known.",
            hint="Limit the time instead: --timeout",
        )
    lifetime = deadline_for_cost(settings.max_cost, hardware.price)
    rest = timedelta(seconds=settings.aws.boot_budget + settings.grace + SAVE_MARGIN_S)
    if lifetime <= rest:
        raise UsageError(
            f"--max-cost {settings.max_cost} is too little for {hardware.instance_type}.",
            why=f"At {dollars_per_hour(hardware.price.per_hour)} it pays for "
            f"{lifetime.total_seconds() / 60:.0f} minutes, and booting and saving alone may take "
            f"{rest.total_seconds() / 60:.0f}.",
            hint="Allow more, or name a cheaper machine: --instance, --spot",
        )
    return min(asked, (lifetime - rest).total_seconds())

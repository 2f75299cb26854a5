"""How a lab on a machine begins: commit, image, machine and price, found before anything is made."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dayfly.cli.asking import ask_about_changes
from dayfly.cli.cloud_place import CloudPlace, agree, machine_lines, print_lines
from dayfly.cli.text import to_stderr
from dayfly.errors import SnapshotError, UsageError

if TYPE_CHECKING:
    from dayfly.aws.hardware import Hardware
    from dayfly.aws.labs import LabAsked, LabPlan, LabRequest
    from dayfly.aws.tasks import TaskPlace
    from dayfly.backends.source import Source
    from dayfly.project.load import Project


@dataclass(frozen=True, kw_only=True)
class LabFlags:
    """What the command was told. Durations are seconds."""

    port: int | None
    browser: bool
    timeout_s: float
    idle_s: float
    ssh: str | None
    identity: Path | None
    """The private key for SSH; None: as ssh finds it."""
    commit: str | None
    dirty: bool
    dry_run: bool
    yes: bool


def begin_lab(place: CloudPlace, project: Project, flags: LabFlags) -> tuple[LabRequest, TaskPlace] | None:
    """The lab and where it is in the store; None when only its plan was asked for, and shown."""
    from dayfly.aws.labs import plan_lab, start_lab
    from dayfly.runs.asker import user_name

    with _snapshot(project, flags) as source:
        asked, hardware = _asked(place, project, source, flags)
        plan = plan_lab(place.aws, place.base, asked, hardware, project.settings, owner=user_name())
        lines = _plan_lines(plan, hardware)
        if flags.dry_run:
            print_lines(lines)
            return None
        agree(plan.request.machine, yes=flags.yes)
        print_lines(lines, err=True)
        if source.bundle is None:
            raise ValueError("a lab is of a commit")
        try:
            return plan.request, start_lab(place.aws, place.store, plan, bundle=source.bundle)
        except KeyboardInterrupt:
            tell_it_goes_on(plan.request)
            raise typer.Exit(130) from None


def _plan_lines(plan: LabPlan, hardware: Hardware) -> list[tuple[str, str]]:
    from dayfly.cli.text import format_duration

    request = plan.request
    lines = [
        ("image", request.image),
        (
            "commit",
            f"{(request.base or request.commit)[:12]}{' and the changes since' if request.base else ''}",
        ),
        *machine_lines(request, hardware.choice.describe()),
        ("idle", f"it ends {format_duration(request.idle_s)} after it was last used"),
    ]
    if request.ssh_cidr:
        lines.append(("ssh", f"port 22 is open to {request.ssh_cidr}"))
    return lines


def _asked(place: CloudPlace, project: Project, source: Source, flags: LabFlags) -> tuple[LabAsked, Hardware]:
    """Image, user and machine, found side by side with nothing made."""
    from dayfly.aws.address import ssh_cidr
    from dayfly.aws.ecr import check_image
    from dayfly.aws.hardware import choose_hardware
    from dayfly.aws.image_records import load_image_record
    from dayfly.aws.labs import LabAsked
    from dayfly.backends.docker_workplace import container_user, image_tree
    from dayfly.backends.ec2_workplace import PLATFORMS, wanted_arch
    from dayfly.environment.plan import plan_image
    from dayfly.errors import ImageError

    snapshot = source.snapshot
    if snapshot is None:
        raise ValueError("a lab is of a commit")
    arch = wanted_arch(project)
    with image_tree(source, project, snapshot.repository) as (tree, settings):
        image = plan_image(tree, settings, platform=PLATFORMS[arch])
    record = load_image_record(place.store, image.key, arch=arch)
    check_image(place.aws, place.base, record)
    facts = record.facts()
    if "jupyterlab" not in {name.lower() for name in facts.packages}:
        raise ImageError(
            f"There is no JupyterLab in the image {record.tag}.",
            why=f"The packages of {facts.python.executable} in the image do not include jupyterlab.",
            hint="Add the line `jupyterlab` to requirements.txt (or to what the Dockerfile installs), "
            "and build it again: dayfly image build --on ec2",
        )
    if flags.ssh is not None and not place.base.key_name:
        raise UsageError(
            "This project has no key for SSH.", hint="Give it one: dayfly cloud up --ssh-key FILE"
        )
    hardware = choose_hardware(place.aws, place.base, project.settings, arch=arch, environ=os.environ)
    asked = LabAsked(
        commit=snapshot.commit,
        base=snapshot.base if snapshot.dirty else None,
        record=record,
        user=container_user(facts, uid=0, gid=0, rootless=False),
        timeout_s=flags.timeout_s,
        idle_s=flags.idle_s,
        ssh_cidr=ssh_cidr(flags.ssh) if flags.ssh is not None else "",
    )
    return asked, hardware


@contextmanager
def _snapshot(project: Project, flags: LabFlags) -> Iterator[Source]:
    """The commit that the lab begins with, or the working tree as a commit of its own."""
    from dayfly.backends.source import Source
    from dayfly.runner.directories import cache_directory
    from dayfly.runs import layout
    from dayfly.snapshot.bundle import write_bundle
    from dayfly.snapshot.plan import changed_files, find_repository, plan_snapshot

    root = project.root or Path.cwd()
    repository = find_repository(root)
    changed = changed_files(repository) if repository and not flags.commit and not flags.dirty else []
    dirty = flags.dirty
    if changed:
        ask = ask_about_changes()
        if ask is None:
            raise SnapshotError(
                "The working tree differs from the last commit.",
                hint="Take the tree as it is with --dirty, the last commit with --commit HEAD, or commit.",
            )
        dirty = ask(changed)
    with (
        tempfile.TemporaryDirectory(prefix="dayfly-lab-") as scratch,
        plan_snapshot(
            root,
            commit=flags.commit,
            dirty=dirty,
            allow_secrets=project.settings.allow_secrets,
            cache=cache_directory(os.environ),
        ) as snapshot,
    ):
        bundle = Path(scratch, layout.BUNDLE)
        write_bundle(snapshot, bundle)
        unchanged = dirty or not (changed or flags.commit)
        yield Source(content=b"", snapshot=snapshot, bundle=bundle, as_working_tree=unchanged)


def tell_it_goes_on(request: LabRequest) -> None:
    """Say how long the machine stays, and how to come back."""
    from dayfly.cli.text import describe_deadline, format_duration

    to_stderr(
        f"The machine goes on until {format_duration(request.idle_s)} after its last use; "
        f"at the latest until {describe_deadline(request.machine.deadline, datetime.now(UTC))}."
    )
    to_stderr("Come back with: dayfly lab --on ec2; end it with: dayfly lab --on ec2 --stop")
    to_stderr(f"Bring home what was changed with: dayfly lab --on ec2 --fetch {request.lab_id}")

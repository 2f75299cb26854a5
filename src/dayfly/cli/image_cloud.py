"""`dayfly image … --on ec2`: images in the project's repository, and a machine that builds them."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dayfly.cli.cloud_place import (
    CloudPlace,
    agree,
    machine_lines,
    open_place,
    print_lines,
)
from dayfly.cli.plan import most_it_costs
from dayfly.cli.text import format_duration, format_size, format_when, print_table, safe_text, to_stderr

if TYPE_CHECKING:
    from dayfly.aws.build_context import BuildContext
    from dayfly.aws.builds import BuildPlan, BuildRequest
    from dayfly.aws.hardware import Hardware
    from dayfly.aws.image_records import ImageRecord
    from dayfly.aws.tasks import Told
    from dayfly.environment.docker import Docker
    from dayfly.environment.image import Image
    from dayfly.environment.plan import ImagePlan
    from dayfly.project.load import Project


def push_to_repository(place: CloudPlace, docker: Docker, plan: ImagePlan, image: Image) -> None:
    """Push the image to the project's own repository, and print its name and digest."""
    from dayfly.aws.publish import publish_image
    from dayfly.environment.facts import image_facts
    from dayfly.runner.directories import cache_directory

    done = publish_image(
        place.aws,
        place.base,
        place.store,
        docker=docker,
        plan=plan,
        image=image,
        facts=lambda: image_facts(docker, image, cache=cache_directory(os.environ) / "images"),
    )
    if not done.pushed:
        to_stderr("up to date")
    typer.echo(_name(place, done.record))


def list_repository(project: Project, *, as_json: bool) -> None:
    """What is in the project's repository, newest first."""
    from dayfly.aws.ecr import list_repository_images

    place = open_place(project)
    images = list_repository_images(place.aws, place.base)
    if as_json:
        facts = [
            {
                "repository": place.base.repository_uri,
                **vars(one),
                "tags": list(one.tags),
                "pushed": one.pushed.isoformat(),
            }
            for one in images
        ]
        typer.echo(json.dumps(facts, indent=1))
        return
    if not images:
        to_stderr(f"There are no images in {place.base.repository_uri}.")
        to_stderr("Bring one there with: dayfly image build --on ec2, or dayfly image push")
        return
    rows = [
        [
            ", ".join(one.tags) or "none",
            one.digest[:19],
            format_size(one.size_bytes),
            format_when(one.pushed),
        ]
        for one in images
    ]
    print_table(["TAG", "DIGEST", "SIZE", "PUSHED"], rows)
    to_stderr(f"In {place.base.repository_uri}")


def build_on_machine(
    project: Project,
    *,
    instance: str | None,
    timeout_s: float,
    detach: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Build and push the project's image on a machine of its own; prints its name and digest."""
    from dayfly.aws.publish import find_published
    from dayfly.backends.ec2_workplace import PLATFORMS, wanted_arch
    from dayfly.environment.plan import plan_image

    arch = wanted_arch(project)
    root = project.root or Path.cwd()
    image = plan_image(root, project.settings.image, platform=PLATFORMS[arch])
    place = open_place(project)
    known = find_published(place.aws, place.base, place.store, image.key)
    if known is not None:
        to_stderr("up to date")
        _print_built(place, known, as_json=as_json, built=False)
        return
    with tempfile.TemporaryDirectory(prefix="dayfly-build-") as folder:
        file = Path(folder, "context.tar.gz")
        context = _write_context(project, image, file)
        hardware, plan = _plan(place, project, image, context, instance=instance, timeout_s=timeout_s)
        if dry_run:
            _print_plan(plan, hardware, context, as_json=as_json)
            return
        _begin(place, project, image, plan, hardware, file, yes=yes)
    if detach:
        typer.echo(plan.request.build_id)
        to_stderr(f"Follow it with: dayfly image build --attach {plan.request.build_id}")
        return
    attach_build(place, plan.request.build_id, as_json=as_json)


def attach_build(place: CloudPlace, build_id: str, *, as_json: bool) -> None:
    """Show what a machine builds until it has ended, and print the image's name and digest."""
    from dayfly.aws.builds import find_build, finish_build
    from dayfly.aws.tasks import follow_task

    request, task = find_build(place.store, build_id)
    try:
        for told in follow_task(place.aws, task):
            show_told(told)
    except KeyboardInterrupt:
        _leave(request)
        raise typer.Exit(130) from None
    _print_built(place, finish_build(request, task), as_json=as_json, built=True)


def show_told(told: Told) -> None:
    """What a machine tells of itself, on stderr, as the output of a build would be."""
    if told["type"] == "text":
        for line in str(told["text"]).splitlines():
            to_stderr(safe_text(line, colours=True))
    elif told["type"] == "step":
        took = told.get("took_s")
        time = f" ({format_duration(float(took))})" if isinstance(took, int | float) else ""
        detail = f" {told['detail']}" if told.get("detail") else ""
        to_stderr(safe_text(f"machine: {told.get('step')}{time}{detail}"))
    elif told["type"] == "warning":
        to_stderr(safe_text(f"machine: warning: {told.get('message')}"))
    elif told["type"] == "failed":
        to_stderr(safe_text(f"machine: failed at {told.get('step')}: {told.get('command')}"))


def _write_context(project: Project, image: ImagePlan, file: Path) -> BuildContext:
    from dayfly.aws.build_context import write_build_context
    from dayfly.aws.publish import repository_tag
    from dayfly.snapshot.names import allow
    from dayfly.snapshot.plan import find_repository

    root = project.root or Path.cwd()
    context = write_build_context(
        image,
        file,
        tag=repository_tag(image),
        allowed=allow(project.settings.allow_secrets),
        root=find_repository(root) or root,
    )
    files = "1 file" if context.files == 1 else f"{context.files} files"
    to_stderr(
        f"The machine gets {files} of yours ({format_size(context.files_bytes)}), "
        f"{format_size(context.size_bytes)} packed with dayfly's own."
    )
    return context


def _plan(
    place: CloudPlace,
    project: Project,
    image: ImagePlan,
    context: BuildContext,
    *,
    instance: str | None,
    timeout_s: float,
) -> tuple[Hardware, BuildPlan]:
    from dayfly.aws.builds import build_settings, plan_build
    from dayfly.aws.hardware import choose_hardware
    from dayfly.backends.ec2_workplace import wanted_arch
    from dayfly.runs.asker import user_name

    settings = build_settings(project.settings, instance=instance)
    hardware = choose_hardware(place.aws, place.base, settings, arch=wanted_arch(project), environ=os.environ)
    plan = plan_build(
        place.aws,
        place.base,
        image,
        context,
        hardware,
        owner=user_name(),
        boot_budget_s=settings.aws.boot_budget,
        timeout_s=timeout_s,
    )
    return hardware, plan


def _print_plan(plan: BuildPlan, hardware: Hardware, context: BuildContext, *, as_json: bool) -> None:
    request = plan.request
    if as_json:
        most = most_it_costs(request)
        facts = {
            "request": request.model_dump(mode="json"),
            "context": vars(context),
            "machine": {
                "stack": plan.machine.stack_name(1),
                "why": hardware.choice.describe(),
                "parameters": plan.machine.parameters(1),
                "at_most_dollars": None if most is None else str(most),
            },
        }
        typer.echo(json.dumps(facts, indent=1))
        return
    lines = [("image", f"{plan.machine.base.repository_uri}:{request.tag}"), ("platform", request.platform)]
    print_lines(lines + machine_lines(request, hardware.choice.describe()))


def _begin(
    place: CloudPlace,
    project: Project,
    image: ImagePlan,
    plan: BuildPlan,
    hardware: Hardware,
    file: Path,
    *,
    yes: bool,
) -> None:
    from dayfly.aws.builds import start_build
    from dayfly.environment.plan import plan_image
    from dayfly.errors import ImageError

    again = plan_image(project.root or Path.cwd(), project.settings.image, platform=image.platform)
    if again.key != image.key:
        raise ImageError("The project's files have changed while they were packed.", hint="Try it again.")
    agree(plan.request.machine, yes=yes)
    lines = machine_lines(plan.request, hardware.choice.describe())
    print_lines(lines, err=True)
    try:
        start_build(place.aws, place.store, plan, file)
    except KeyboardInterrupt:
        _leave(plan.request)
        raise typer.Exit(130) from None


def _leave(request: BuildRequest) -> None:
    to_stderr("\nThe machine goes on, if it was made, and ends with the build or at its deadline.")
    to_stderr(f"Come back with: dayfly image build --attach {request.build_id}")
    to_stderr(f"End it with: dayfly stop {request.build_id}")


def _print_built(place: CloudPlace, record: ImageRecord, *, as_json: bool, built: bool) -> None:
    if as_json:
        facts = {**record.model_dump(mode="json"), "built": built, "name": _name(place, record)}
        typer.echo(json.dumps(facts, indent=1))
    else:
        typer.echo(_name(place, record))


def _name(place: CloudPlace, record: ImageRecord) -> str:
    return f"{place.base.repository_uri}:{record.tag}@{record.digest}"

"""`dayfly image`: the image that the project's notebooks run in."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dayfly.cli.options import JsonOption
from dayfly.cli.text import to_stderr

if TYPE_CHECKING:
    from dayfly.environment.docker import Docker
    from dayfly.environment.image import Image
    from dayfly.environment.plan import ImagePlan

OnOption = Annotated[
    str, typer.Option("--on", metavar="BACKEND", help="Where: docker (this machine's engine), ec2.")
]
_MACHINE = "The machine (--on ec2)"
image = typer.Typer(no_args_is_help=True, help="Build and look after the image that notebooks run in.")
_CLOUD_SETTINGS = ("image", "aws", "arch", "disk", "timeout", "allow_secrets")
_NOT_THE_IMAGES = (".git", ".dayfly", ".venv")


@image.command()
def key(as_json: JsonOption = False) -> None:
    """Print the key of the image's content: it changes when the image would, and only then."""
    plan = _plan(_docker(), engine=False)
    if as_json:
        typer.echo(json.dumps(_plan_facts(plan), indent=1))
    else:
        typer.echo(plan.key)


@image.command()
def build(
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Build everything anew.")] = False,
    on: OnOption = "docker",
    instance: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="The instance type. Default: the cheapest that fits.",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    disk: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Its disk: 100GB.", rich_help_panel=_MACHINE)
    ] = None,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="How long it may take.", rich_help_panel=_MACHINE)
    ] = "1h",
    detach: Annotated[
        bool,
        typer.Option("--detach", "-d", help="Begin it, print its id and return.", rich_help_panel=_MACHINE),
    ] = False,
    attach: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Follow one that was begun before.", rich_help_panel=_MACHINE),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", "-n", help="Say what it would be built on, for how much.", rich_help_panel=_MACHINE
        ),
    ] = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", "-y", help="Do not ask, also where no price is known.", rich_help_panel=_MACHINE
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Build the image, unless it is up to date. Prints its tag; of one built by a machine, its digest too."""
    if _is_cloud(on, attach=attach, alone=no_cache):
        _build_on_machine(
            instance, disk, timeout, attach, detach=detach, dry_run=dry_run, yes=yes, as_json=as_json
        )
        return
    if instance or disk or detach or dry_run:
        from dayfly.errors import UsageError

        raise UsageError(
            "--instance, --disk, --detach and --dry-run are for a machine.", hint="Add: --on ec2"
        )
    from dayfly.cli.text import format_duration, format_size, safe_text
    from dayfly.environment.image import build_image, find_image
    from dayfly.runner.clock import steady_s

    docker, begun = _docker(), steady_s()
    plan = _plan(docker, engine=True)
    found = None if no_cache else find_image(docker, plan)
    built = found or build_image(
        docker, plan, no_cache=no_cache, echo=lambda line: to_stderr(safe_text(line, colours=True))
    )
    if as_json:
        typer.echo(json.dumps({**_image_facts(built), "built": found is None, **_plan_facts(plan)}, indent=1))
        return
    if found is not None:
        to_stderr("up to date")
    else:
        to_stderr(f"Built {format_size(built.size_bytes)} in {format_duration(steady_s() - begun)}.")
    typer.echo(built.tag)


def _is_cloud(on: str, *, attach: str | None = None, alone: bool = False) -> bool:
    from dayfly.errors import UsageError

    if on not in {"docker", "ec2"}:
        raise UsageError(f"Images cannot be on {on!r}.", why="They are on: docker, ec2.")
    if on == "ec2" and alone:
        raise UsageError(
            "--no-cache is for this machine's engine.", why="A machine in AWS is new: it has none."
        )
    return on == "ec2" or attach is not None


def _build_on_machine(
    instance: str | None,
    disk: str | None,
    timeout: str,
    attach: str | None,
    *,
    detach: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    from dayfly.cli.cloud_place import open_place
    from dayfly.cli.image_cloud import attach_build, build_on_machine
    from dayfly.project.load import load_project

    flags = {"disk": disk, "timeout": timeout}
    project = load_project(Path.cwd(), os.environ, flags, only=_CLOUD_SETTINGS)
    if attach is not None:
        attach_build(open_place(project), attach, as_json=as_json)
        return
    build_on_machine(
        project,
        instance=instance,
        timeout_s=project.settings.timeout or 0.0,
        detach=detach,
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )


@image.command()
def ls(on: OnOption = "docker", as_json: JsonOption = False) -> None:
    """List the images of all projects, newest first; with --on ec2, those in this project's repository."""
    if _is_cloud(on):
        from dayfly.cli.image_cloud import list_repository
        from dayfly.project.load import load_project

        list_repository(load_project(Path.cwd(), os.environ, only="aws"), as_json=as_json)
        return
    from dayfly.cli.text import format_size, format_when, print_table
    from dayfly.environment.image import list_images

    images = list_images(_docker())
    if as_json:
        typer.echo(json.dumps([_image_facts(one) for one in images], indent=1))
        return
    if not images:
        to_stderr("There are no images. Build one with: dayfly image build")
        return
    rows = [[one.tag, one.platform, format_size(one.size_bytes), format_when(one.created)] for one in images]
    print_table(["IMAGE", "PLATFORM", "SIZE", "BUILT"], rows)


@image.command()
def rm(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[IMAGE...]", help="Images, as `dayfly image ls` has them.")
    ] = None,
    unused: Annotated[
        bool, typer.Option("--unused", help="Those of this project that its files no longer make.")
    ] = False,
) -> None:
    """Remove images."""
    from dayfly.environment.image import list_images, remove_image
    from dayfly.errors import UsageError

    if bool(names) == unused:
        raise UsageError("Name images, or say --unused.", hint="See what there is with: dayfly image ls")
    docker, chosen = _docker(), list(names or [])
    if unused:
        plan = _plan(docker, engine=True)
        chosen = [
            one.tag
            for one in list_images(docker)
            # One without a name is left of two builds at once.
            if one.project == plan.name and (one.key != plan.key or one.tag == one.id)
        ]
    for tag in chosen:
        remove_image(docker, tag)
        typer.echo(tag)


@image.command()
def push(
    registry: Annotated[
        str | None,
        typer.Argument(
            metavar="[REGISTRY]",
            help="Such as ghcr.io/someone, where you are logged in. Default: the one in image.name, else "
            "the project's repository in AWS.",
        ),
    ] = None,
) -> None:
    """Push the image to a registry, or to the project's repository in AWS. Prints its name and digest."""
    from dayfly.cli.cloud_place import find_place
    from dayfly.cli.image_cloud import push_to_repository
    from dayfly.environment.image import find_image, has_registry, push_image, registry_reference
    from dayfly.errors import ImageError
    from dayfly.project.load import load_project

    docker = _docker()
    plan = _plan(docker, engine=True)
    place = None
    if registry is None and not has_registry(plan):
        place = find_place(load_project(Path.cwd(), os.environ, only="aws"))
    reference = "" if place is not None else registry_reference(plan, registry)
    found = find_image(docker, plan)
    if found is None:
        raise ImageError("The image is not built.", hint="Build it with: dayfly image build")
    if place is not None:
        push_to_repository(place, docker, plan, found)
        return
    digest = push_image(docker, found, reference)
    typer.echo(f"{reference}@{digest}")


@image.command()
def dockerfile() -> None:
    """Print what would be built: the project's Dockerfile, or the one made for it, and dayfly's layer."""
    from dayfly.environment.layer import layer_dockerfile

    plan = _plan(_docker(), engine=False)
    typer.echo(f"# {plan.source}, as {plan.base_tag}")
    typer.echo(plan.dockerfile.rstrip() + "\n")
    typer.echo("# dayfly's layer; the user is the one of the image above")
    typer.echo(layer_dockerfile(plan.base_tag, "<its user>"))


def _docker() -> Docker:
    from dayfly.environment.docker import Docker

    return Docker(environ=dict(os.environ))


def _plan(docker: Docker, *, engine: bool) -> ImagePlan:
    """The plan of this project; with no `engine`, its platform is taken for this machine's."""
    from dayfly.environment.builder import engine_platform, machine_platform
    from dayfly.environment.plan import plan_image
    from dayfly.errors import EngineError
    from dayfly.project.load import load_project

    project = load_project(Path.cwd(), os.environ, only="image")
    settings = project.settings.image
    platform = settings.platform
    if platform is None:
        try:
            platform = engine_platform(docker)
        except EngineError:
            if engine:
                raise
            platform = machine_platform()
            to_stderr(f"There is no Docker engine to ask; its platform is taken for {platform}.")
    plan = plan_image(project.root or Path.cwd(), settings, platform=platform)
    taken = [name for name in _NOT_THE_IMAGES if any(file.split("/")[0] == name for file in plan.files)]
    if taken:
        to_stderr(
            f"The Dockerfile copies {', '.join(taken)}, so that nearly everything makes another image: "
            f"write {'it' if len(taken) == 1 else 'them'} into .dockerignore."
        )
    return plan


def _plan_facts(plan: ImagePlan) -> dict[str, Any]:
    return {
        "key": plan.key,
        "tag": plan.tag,
        "platform": plan.platform,
        "source": plan.source,
        "files": list(plan.files),
    }


def _image_facts(one: Image) -> dict[str, Any]:
    return {**vars(one), "created": one.created.isoformat()}

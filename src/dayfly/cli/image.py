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

image = typer.Typer(no_args_is_help=True, help="Build and look after the image that notebooks run in.")
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
    as_json: JsonOption = False,
) -> None:
    """Build the image, unless it is up to date. Prints its tag."""
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


@image.command()
def ls(as_json: JsonOption = False) -> None:
    """List the images of all projects, newest first."""
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
        typer.Argument(metavar="[REGISTRY]", help="Such as ghcr.io/someone. Default: the one in image.name."),
    ] = None,
) -> None:
    """Push the image to a registry, where you are logged in with docker. Prints its name and digest."""
    from dayfly.environment.image import find_image, push_image, registry_reference
    from dayfly.errors import ImageError

    docker = _docker()
    plan = _plan(docker, engine=True)
    reference = registry_reference(plan, registry)
    found = find_image(docker, plan)
    if found is None:
        raise ImageError("The image is not built.", hint="Build it with: dayfly image build")
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

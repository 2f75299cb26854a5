"""The project's image as the place where a run is executed: found, or built when it is not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dayfly.backends.asked import Asked
from dayfly.backends.docker import CHECKOUT
from dayfly.backends.project_image import is_rootless, project_image
from dayfly.backends.source import Source
from dayfly.backends.workplace import Workplace, snapshot_source, within, working_directory
from dayfly.environment.docker import Docker
from dayfly.environment.facts import ImageFacts
from dayfly.environment.plan import default_name
from dayfly.errors import KernelMissingError, UsageError
from dayfly.project.load import Project
from dayfly.project.settings import ImageSettings
from dayfly.runner.kernelspecs import KernelSpec
from dayfly.runs.request import ContainerUser, ImageSource, PythonEnvironment

_UNPRIVILEGED = 1000
"""Who a container runs as when root starts it and the image names no user: root is nobody's default."""


def docker_workplace(asked: Asked, source: Source, project: Project, environ: Mapping[str, str]) -> Workplace:
    """Find the image of the snapshot, build it when it is new, and ask it for its Python and kernels.

    Raises EngineError, ImageError and KernelMissingError.
    """
    if source.snapshot is None:
        raise ValueError("a run in a container is of a snapshot")
    cwd, outputs = places_in_checkout(asked, project, source.snapshot.repository)
    docker = Docker(environ=environ)
    with image_tree(source, project, source.snapshot.repository) as (tree, settings):
        image, facts = project_image(docker, tree, settings, environ, echo=asked.echo)
    return Workplace(
        python=PythonEnvironment(
            executable=facts.python.executable, prefix=facts.python.prefix, source=f"image {image.tag}"
        ),
        cwd=cwd,
        outputs=outputs,
        find_kernel=lambda kernel: kernel_in_image(kernel, facts, image.tag),
        snapshot=snapshot_source(source, CHECKOUT),
        image=ImageSource(
            tag=image.tag,
            id=image.id,
            key=image.key,
            platform=image.platform,
            user=container_user(facts, uid=os.geteuid(), gid=os.getegid(), rootless=is_rootless(docker)),
        ),
    )


def places_in_checkout(asked: Asked, project: Project, repository: Path) -> tuple[str, str | None]:
    """The notebook's directory and the outputs folder, as the container has them. Raises UsageError."""
    here = working_directory(asked.notebook, project)
    cwd = within(Path(CHECKOUT), here, repository)
    if cwd is None:
        raise UsageError(f"The directory {here} is not in the repository {repository}.")
    outputs = project.resolve(project.settings.outputs) if project.settings.outputs else None
    inside = within(Path(CHECKOUT), outputs, repository) if outputs else None
    if outputs is not None and inside is None:
        raise UsageError(f"The outputs folder {outputs} is not in the repository {repository}.")
    return str(cwd), str(inside) if inside else None


@contextmanager
def image_tree(source: Source, project: Project, repository: Path) -> Iterator[tuple[Path, ImageSettings]]:
    """The project's folder as the snapshot has it, and how its image is built.

    What makes the image is that commit's, too; the image's name is that of the project's folder.
    """
    root = project.root or repository
    named = {"name": project.settings.image.name or default_name(root)}
    settings = project.settings.image.model_copy(update=named)
    if source.as_working_tree or source.snapshot is None or source.bundle is None:
        yield root, settings
        return
    from dayfly.snapshot.unpack import unpack_bundle

    with tempfile.TemporaryDirectory(prefix="dayfly-") as folder:
        tree = Path(folder, "tree")
        unpack_bundle(source.bundle, tree, commit=source.snapshot.commit)
        yield within(tree, root, repository) or tree, settings


def container_user(facts: ImageFacts, *, uid: int, gid: int, rootless: bool) -> ContainerUser:
    """Who the containers of a run run as, so that its files are those of whoever started it.

    With a rootless engine, root in the container is the user outside. Root itself gets the image's
    user, or an unprivileged one: it can read every file anyway.
    """
    names = {"name": facts.user.name or "dayfly", "home": facts.user.home or "/"}
    if rootless:
        return ContainerUser(uid=0, gid=0, **names)
    if uid != 0:
        # The image's own group may be what lets its home and environment be written.
        groups = (facts.user.gid,) if facts.user.gid not in {0, gid} else ()
        return ContainerUser(uid=uid, gid=gid, groups=groups, **names)
    if facts.user.uid != 0:
        return ContainerUser(uid=facts.user.uid, gid=facts.user.gid, **names)
    return ContainerUser(uid=_UNPRIVILEGED, gid=_UNPRIVILEGED, **names)


def kernel_in_image(kernel: str, facts: ImageFacts, tag: str) -> KernelSpec:
    """The kernelspec of that name in the image. Raises KernelMissingError with those that there are."""
    found = facts.kernels.get(kernel)
    if found is not None:
        return found
    names = ", ".join(sorted(facts.kernels)) or "none"
    raise KernelMissingError(
        f"The image {tag} has no kernel {kernel!r}.",
        why=f"Its kernels are: {names}.",
        hint="Add ipykernel (or the notebook's kernel) to the image, or name another with --kernel.",
    )

"""What a machine needs to build the project's image: one archive, the same for the same project.

The archive, `context.tar.gz`, holds

    plan.env                  DAYFLY_KEY, DAYFLY_BASE_KEY, DAYFLY_NAME (of the project's images, for labels),
                              DAYFLY_TAG (in the repository), DAYFLY_BASE_TAG (of the image without dayfly's
                              layer, local to the machine), DAYFLY_PLATFORM, DAYFLY_TARGET, DAYFLY_NETWORK,
                              DAYFLY_VERSION; KEY=VALUE lines, values of harmless characters, some empty
    base/Dockerfile           of the user's image
    base/Dockerfile.dockerignore  ignores nothing: the context holds what is wanted already
    base/build-args           NAME=VALUE lines, for `docker build --build-arg`; a value may hold anything
    base/context/             the files that the Dockerfile takes
    layer/Dockerfile          of dayfly's layer; `--build-arg DAYFLY_USER=` names the user of the image below
    layer/context/            dayfly's own files
    build.sh                  what is done with them on the machine

A machine is new, so there are no cache mounts in it: with them, its builder would have to be BuildKit.
"""

from __future__ import annotations

import re
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dayfly._version import __version__
from dayfly.aws.archive import add_bytes, add_folder, add_path, file_sha256, open_archive
from dayfly.aws.boot import build_script
from dayfly.aws.build_checks import build_arguments, check_secrets, check_size, file_sizes
from dayfly.environment.generate import without_cache_mounts
from dayfly.environment.layer import CACHE_MOUNT, layer_dockerfile, write_layer_context
from dayfly.environment.plan import ImagePlan
from dayfly.errors import ImageError
from dayfly.snapshot.names import Allowed

SIZE_LIMIT = 2 << 30
"""Of the files of a build context, in bytes."""
_USER = "DAYFLY_USER"
_HARMLESS = re.compile(r"[A-Za-z0-9_./:@,+=-]*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class BuildContext:
    """An archive that was written. `files` and `files_bytes` are those of the user's context."""

    sha256: str
    size_bytes: int
    files: int
    files_bytes: int


def write_build_context(  # noqa: PLR0913 -- what it is made of, what must not go, and how large it may be
    plan: ImagePlan,
    target: Path,
    *,
    tag: str,
    allowed: Allowed,
    root: Path,
    script: bytes | None = None,
    size_limit: int = SIZE_LIMIT,
) -> BuildContext:
    """Write the archive of `plan` to the file `target`; the image shall have `tag` in the repository.

    `allowed` says which files may go although they look like secrets, by their paths relative to `root`.
    Raises ImageError for a secret, for more than `size_limit` bytes, and for what the archive cannot hold.
    """
    arguments = build_arguments(plan)
    settings = _plan_env(plan, tag)
    sizes = dict(file_sizes(plan))
    check_size(sizes, size_limit)
    check_secrets(plan, sizes, allowed=allowed, root=root)
    with open_archive(target) as archive:
        add_bytes(archive, "plan.env", settings)
        add_bytes(
            archive, "build.sh", script if script is not None else build_script().encode(), program=True
        )
        _add_base(archive, plan, arguments)
        _add_layer(archive, plan)
    return BuildContext(
        sha256=file_sha256(target),
        size_bytes=target.stat().st_size,
        files=len(sizes),
        files_bytes=sum(sizes.values()),
    )


def layer_dockerfile_for_any_user(base_tag: str) -> str:
    """The layer's Dockerfile with the user as an argument: it is known when the image below is built."""
    text = layer_dockerfile(base_tag, f"${{{_USER}}}").replace(CACHE_MOUNT, "")
    return text.replace(f"USER ${{{_USER}}}", f"ARG {_USER}=root\nUSER ${{{_USER}}}")


def _plan_env(plan: ImagePlan, tag: str) -> bytes:
    """Refuses what a shell could take for more than a value, however it is read there."""
    values = {
        "KEY": plan.key,
        "BASE_KEY": plan.base_key,
        "NAME": plan.name,
        "TAG": tag,
        "BASE_TAG": plan.base_tag,
        "PLATFORM": plan.platform,
        "TARGET": plan.target or "",
        "NETWORK": plan.network or "",
        "VERSION": __version__,
    }
    for name, value in values.items():
        if not _HARMLESS.fullmatch(value):
            raise ImageError(
                f"The image cannot be built on a machine: {value!r} is no {name.lower().replace('_', ' ')}.",
                why="It may have letters, digits and _ . / : @ , + = - only.",
                hint="Change the table [image] in dayfly.toml.",
            )
    return "".join(f"DAYFLY_{name}={value}\n" for name, value in values.items()).encode("ascii")


def _add_base(archive: tarfile.TarFile, plan: ImagePlan, arguments: bytes) -> None:
    text = plan.dockerfile if plan.dockerfile_path is not None else without_cache_mounts(plan.dockerfile)
    add_bytes(archive, "base/Dockerfile", text.encode())
    add_bytes(archive, "base/Dockerfile.dockerignore", b"# The context holds what is wanted already.\n")
    add_bytes(archive, "base/build-args", arguments)
    add_folder(archive, "base/context")
    for name in sorted(plan.files):
        add_path(archive, plan.context / name, f"base/context/{name}")


def _add_layer(archive: tarfile.TarFile, plan: ImagePlan) -> None:
    add_bytes(archive, "layer/Dockerfile", layer_dockerfile_for_any_user(plan.base_tag).encode())
    add_folder(archive, "layer/context")
    with tempfile.TemporaryDirectory(prefix="dayfly-layer-") as folder:
        write_layer_context(Path(folder))
        for path in sorted(Path(folder).rglob("*")):
            add_path(archive, path, f"layer/context/{path.relative_to(folder).as_posix()}")

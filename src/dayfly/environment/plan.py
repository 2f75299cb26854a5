"""From a project's files to the image that they make: what is built, and the key of its content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dayfly.environment.builder import normal_platform
from dayfly.environment.content import hash_files, hash_parts
from dayfly.environment.generate import Generated, generate_dockerfile
from dayfly.environment.ignore import parse_dockerignore, read_dockerignore
from dayfly.environment.instructions import read_instructions
from dayfly.environment.layer import layer_files
from dayfly.environment.selection import select_files
from dayfly.errors import ImageError
from dayfly.project.settings import ImageSettings

_FORMAT = 1
"""Part of the key: another number makes every image anew."""
_TAG_DIGITS = 16
_NEVER = (".git", ".dayfly", ".venv", "**/__pycache__", "**/.ipynb_checkpoints")
"""What a generated Dockerfile does not copy with the project."""


@dataclass(frozen=True, kw_only=True)
class ImagePlan:
    """An image as it would be built. Images with one key have one content."""

    name: str
    key: str
    base_key: str
    """The key of the image without dayfly's layer."""
    dockerfile: str
    dockerfile_path: Path | None
    """The user's own Dockerfile; None for one that was made from `source`."""
    source: str
    context: Path
    files: tuple[str, ...]
    """The files, relative to the context, that determine the image."""
    build_args: Mapping[str, str]
    platform: str
    target: str | None
    network: str | None

    @property
    def tag(self) -> str:
        """The image's name and the beginning of its key."""
        return f"{self.name}:{self.key[:_TAG_DIGITS]}"

    @property
    def base_tag(self) -> str:
        """The tag of the image without dayfly's layer."""
        return f"{self.name}:base-{self.base_key[:_TAG_DIGITS]}"


def plan_image(root: Path, settings: ImageSettings, *, platform: str) -> ImagePlan:
    """The image of the project at `root`. Needs no engine. Raises ImageError for what cannot be built."""
    context = (root / settings.context).resolve()
    if not context.is_dir():
        raise ImageError(
            f"There is no folder {context}.",
            why="It is the build context: [image] context in dayfly.toml.",
        )
    path = find_dockerfile(root, settings)
    if path is None:
        generated = generate_dockerfile(context, settings.base)
    else:
        source = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        generated = Generated(dockerfile=_read(path), source=source, files=None)
    arguments = dict(settings.build_args)
    taken = read_instructions(
        generated.dockerfile, arguments, target=settings.target, platform=normal_platform(platform)
    )
    ignored = read_dockerignore(context, path)
    if path is None:  # the context is put together by dayfly
        ignored = parse_dockerignore(_NEVER) if generated.files is not None else ignored.also(_NEVER)
    files = select_files(context, taken.paths, ignored)
    base_key = hash_parts(
        {
            "format": _FORMAT,
            "dockerfile": generated.dockerfile,
            "files": hash_files(context, files),
            "build_args": {name: value for name, value in arguments.items() if name in taken.arguments},
            "target": settings.target or "",
            "platform": normal_platform(platform),
        }
    )
    layer = {name: hashlib.sha256(content).hexdigest() for name, content in layer_files().items()}
    return ImagePlan(
        name=settings.name or default_name(root),
        key=hash_parts({"image": base_key, "layer": layer}),
        base_key=base_key,
        dockerfile=generated.dockerfile,
        dockerfile_path=path,
        source=generated.source,
        context=context,
        files=files,
        build_args=arguments,
        platform=normal_platform(platform),
        target=settings.target,
        network=settings.network,
    )


def default_name(root: Path) -> str:
    """`dayfly/` and the name of the project's folder, as far as an image's name can have it."""
    slug = re.sub(r"[^a-z0-9]+", "-", root.resolve().name.lower()).strip("-")
    return f"dayfly/{slug[:100].rstrip('-') or 'project'}"


def find_dockerfile(root: Path, settings: ImageSettings) -> Path | None:
    """The user's own Dockerfile; None where there is none. Raises ImageError when what is named is not."""
    if settings.dockerfile is None:
        path = root / "Dockerfile"
        return path if path.is_file() else None
    path = root / settings.dockerfile
    if not path.is_file():
        raise ImageError(
            f"There is no {path}.",
            why=f"It is named in dayfly.toml: [image] dockerfile = {settings.dockerfile!r}.",
        )
    return path


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"{path} cannot be read.", why=str(error)) from error

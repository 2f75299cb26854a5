"""Building, finding, listing, removing and pushing images."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dayfly._version import __version__
from dayfly.environment.builder import Builder, build, find_builder, normal_platform
from dayfly.environment.docker import Docker
from dayfly.environment.generate import without_cache_mounts
from dayfly.environment.layer import CACHE_MOUNT, layer_dockerfile, write_layer_context
from dayfly.environment.plan import ImagePlan
from dayfly.errors import ImageError

PROJECT_LABEL = "dev.dayfly.project"
KEY_LABEL = "dev.dayfly.key"
BASE_LABEL = "dev.dayfly.base"
VERSION_LABEL = "dev.dayfly.version"
_TRANSFER_S = 3600.0
_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image with dayfly's layer, as the engine has it. `id` is the engine's own."""

    tag: str
    id: str
    key: str
    platform: str
    size_bytes: int
    created: datetime
    project: str
    """The name of the project's images: the same for all its keys."""


def find_image(docker: Docker, plan: ImagePlan) -> Image | None:
    """The image of this plan; None when it has not been built."""
    found = docker.inspect("image", plan.tag)
    if found is None or _labels(found).get(KEY_LABEL) != plan.key:
        return None
    return _image(found, plan.tag)


def build_image(
    docker: Docker, plan: ImagePlan, *, no_cache: bool = False, echo: Callable[[str], None]
) -> Image:
    """Build the user's image, then dayfly's layer on it. Raises ImageError with the builder's last lines."""
    builder = find_builder(docker)
    check_platform(plan, builder)
    _check_builder(plan, builder)
    if no_cache or docker.inspect("image", plan.base_tag) is None:
        _build_base(docker, builder, plan, no_cache=no_cache, echo=echo)
    _build_layer(docker, builder, plan, no_cache=no_cache, echo=echo)
    image = find_image(docker, plan)
    if image is None:
        raise ImageError(
            f"The image {plan.tag} was built, and is not there.",
            why="Somebody else has removed it meanwhile, or the builder keeps its images elsewhere.",
            hint="Use the builder of the Docker engine itself: docker buildx use default",
        )
    return image


def check_platform(plan: ImagePlan, builder: Builder) -> None:
    """Raise ImageError when the engine cannot build for the plan's platform."""
    if plan.platform != builder.platform:
        raise ImageError(
            f"This Docker engine cannot build an image for {plan.platform}.",
            why=f"Its own platform is {builder.platform}, and an image is built by running it.",
            hint="Leave out [image] platform in dayfly.toml, or use an engine of that platform.",
        )


def _check_builder(plan: ImagePlan, builder: Builder) -> None:
    """Raise ImageError for what only BuildKit would do as the key takes it for done."""
    path = plan.dockerfile_path
    if not builder.buildkit and path is not None and Path(f"{path}.dockerignore").exists():
        raise ImageError(
            f"This Docker engine's builder does not read {path.name}.dockerignore.",
            why="It is the old one, which knows .dockerignore alone: BuildKit is not there.",
            hint="Install the plugin buildx, or write the patterns into .dockerignore.",
        )


def _build_base(
    docker: Docker, builder: Builder, plan: ImagePlan, *, no_cache: bool, echo: Callable[[str], None]
) -> None:
    arguments = _common(plan, no_cache=no_cache)
    for name, value in plan.build_args.items():
        arguments += ["--build-arg", f"{name}={value}"]
    if plan.target is not None:
        arguments += ["--target", plan.target]
    arguments += ["--label", f"{BASE_LABEL}={plan.base_key}", "--tag", plan.base_tag]
    what = f"The image of {plan.source}"
    if plan.dockerfile_path is not None:
        arguments += ["--file", str(plan.dockerfile_path), str(plan.context)]
        build(docker, builder, arguments, what=what, echo=echo)
        return
    with tempfile.TemporaryDirectory(prefix="dayfly-image-") as folder:
        text = plan.dockerfile if builder.buildkit else without_cache_mounts(plan.dockerfile)
        context, dockerfile = Path(folder) / "context", Path(folder) / "Dockerfile"
        dockerfile.write_text(text, encoding="utf-8")
        context.mkdir()
        for name in plan.files:
            _copy(plan.context / name, context / name)
        build(docker, builder, [*arguments, "--file", str(dockerfile), str(context)], what=what, echo=echo)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target, follow_symlinks=False)


def _build_layer(
    docker: Docker, builder: Builder, plan: ImagePlan, *, no_cache: bool, echo: Callable[[str], None]
) -> None:
    base = docker.inspect("image", plan.base_tag) or {}
    user = str((base.get("Config") or {}).get("User") or "root")
    labels = {PROJECT_LABEL: plan.name, KEY_LABEL: plan.key, VERSION_LABEL: __version__}
    with tempfile.TemporaryDirectory(prefix="dayfly-layer-") as folder:
        context = Path(folder) / "context"
        context.mkdir()
        write_layer_context(context)
        text = layer_dockerfile(plan.base_tag, user)
        dockerfile = Path(folder) / "Dockerfile"
        dockerfile.write_text(text if builder.buildkit else text.replace(CACHE_MOUNT, ""), encoding="utf-8")
        arguments = _common(plan, no_cache=no_cache)
        for name, value in labels.items():
            arguments += ["--label", f"{name}={value}"]
        arguments += ["--tag", plan.tag, "--file", str(dockerfile), str(context)]
        build(docker, builder, arguments, what="dayfly's layer", echo=echo)


def _common(plan: ImagePlan, *, no_cache: bool) -> list[str]:
    arguments = ["--no-cache"] if no_cache else []
    return arguments if plan.network is None else [*arguments, "--network", plan.network]


def list_images(docker: Docker) -> list[Image]:
    """Every image with dayfly's layer, newest first."""
    found = _inspect(docker, _ids(docker, KEY_LABEL))
    images = [_image(entry, tag) for entry in found for tag in entry.get("RepoTags") or [entry["Id"]]]
    return sorted(images, key=lambda image: (image.created, image.tag), reverse=True)


def remove_image(docker: Docker, tag: str) -> None:
    """Remove an image by its tag, and what it was made on when no other image is made on that.

    Raises ImageError when a container uses it, it is not dayfly's, or there is none.
    """
    found = docker.inspect("image", tag)
    if found is None or KEY_LABEL not in _labels(found):
        raise ImageError(
            f"There is no image {tag} of dayfly's.", hint="See what there is with: dayfly image ls"
        )
    done = docker.try_run(["image", "rm", tag], timeout_s=_TRANSFER_S)
    if done.returncode != 0:
        raise ImageError(
            f"The image {tag} cannot be removed.",
            why=done.stderr.strip(),
            hint="See which containers use it with: docker ps --all",
        )
    base = _labels(found).get(BASE_LABEL)
    if base is not None and not _ids(docker, f"{BASE_LABEL}={base}", KEY_LABEL):
        for entry in _inspect(docker, _ids(docker, f"{BASE_LABEL}={base}")):
            for name in entry.get("RepoTags") or []:
                docker.try_run(["image", "rm", name], timeout_s=_TRANSFER_S)


def _ids(docker: Docker, *labels: str) -> list[str]:
    filters = [word for label in labels for word in ("--filter", f"label={label}")]
    listed = docker.run(["image", "ls", "--quiet", "--no-trunc", *filters])
    return list(dict.fromkeys(listed.split()))


def _inspect(docker: Docker, ids: list[str]) -> list[dict[str, Any]]:
    # One may have been removed meanwhile: what is told of the others counts.
    return list(json.loads(docker.try_run(["image", "inspect", *ids]).stdout or "[]")) if ids else []


def has_registry(plan: ImagePlan) -> bool:
    """Whether the image's own name says to which registry it goes."""
    first, slash, _ = plan.name.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost")


def registry_reference(plan: ImagePlan, registry: str | None) -> str:
    """What the image is called in a registry. Raises ImageError when none is known."""
    place = (registry or "").removeprefix("https://").rstrip("/")
    if place and not plan.name.startswith(f"{place}/"):
        return f"{place}/{plan.tag}"
    if not place and not has_registry(plan):
        raise ImageError(
            "It is not known where the image is to be pushed.",
            why=f"Its name, {plan.name}, names no registry, and the project has no base stack in AWS.",
            hint="Name one: dayfly image push ghcr.io/someone; or set [image] name in dayfly.toml;\n"
            "or give the project a repository in AWS: dayfly cloud up",
        )
    return plan.tag


def push_image(docker: Docker, image: Image, reference: str) -> str:
    """Push the image as `reference` (registry/name:tag); returns its digest in the registry."""
    docker.run(["image", "tag", image.tag, reference])
    done = docker.try_run(["push", reference], timeout_s=_TRANSFER_S)
    match = _DIGEST.search(done.stdout)
    if done.returncode != 0 or match is None:
        registry = reference.partition("/")[0]
        raise ImageError(
            f"The image cannot be pushed to {registry}.",
            why=(done.stderr or done.stdout).strip()[-2000:],
            hint=f"Log in with: docker login {registry}",
        )
    return match[1]


def _labels(found: dict[str, Any]) -> dict[str, str]:
    return dict((found.get("Config") or {}).get("Labels") or {})


def _image(found: dict[str, Any], tag: str) -> Image:
    parts = (found.get("Os", "linux"), found.get("Architecture", ""), found.get("Variant", ""))
    return Image(
        tag=tag,
        id=found["Id"],
        key=_labels(found).get(KEY_LABEL, ""),
        platform=normal_platform("/".join(part for part in parts if part)),
        size_bytes=int(found.get("Size", 0)),
        created=_moment(found.get("Created", "")),
        project=_labels(found).get(PROJECT_LABEL, ""),
    )


def _moment(text: str) -> datetime:
    # The engine writes nanoseconds, of which Python reads six digits.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00")))

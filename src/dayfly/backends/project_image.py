"""The image that a project's notebooks and its JupyterLab run in: found, or built when it is not there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from dayfly.environment.builder import engine_platform
from dayfly.environment.docker import Docker
from dayfly.environment.facts import ImageFacts, image_facts
from dayfly.environment.image import Image, build_image, find_image
from dayfly.environment.plan import plan_image
from dayfly.project.settings import ImageSettings
from dayfly.runner.directories import cache_directory


def project_image(
    docker: Docker,
    root: Path,
    settings: ImageSettings,
    environ: Mapping[str, str],
    *,
    echo: Callable[[str], None],
) -> tuple[Image, ImageFacts]:
    """The image of the project whose files are at `root`, and what is in it.

    Raises EngineError and ImageError.
    """
    plan = plan_image(root, settings, platform=settings.platform or engine_platform(docker))
    image = find_image(docker, plan)
    if image is None:
        echo(f"The image {plan.tag} is new: building it.")
        image = build_image(docker, plan, echo=echo)
    return image, image_facts(docker, image, cache=cache_directory(environ) / "images")


def is_rootless(docker: Docker) -> bool:
    """Whether root in a container is the user outside. Root's own engine never is, and asking takes time."""
    return os.geteuid() != 0 and "name=rootless" in docker.run(["info", "--format", "{{.SecurityOptions}}"])

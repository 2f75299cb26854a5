"""`dayfly cloud doctor`: which checks there are, in which order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dayfly.aws.client import Aws
    from dayfly.aws.doctor import Finding


def examine_all(aws: Aws, project: str) -> list[Finding]:
    """Who we are and what stands first, since the rest needs it; then everything else at once."""
    from dayfly.aws.cache import open_cache
    from dayfly.aws.doctor import Patient, examine, examine_base, examine_identity
    from dayfly.aws.doctor_checks import cloud_checks
    from dayfly.aws.doctor_tools import tool_checks
    from dayfly.backends.stores import open_bucket

    tools = tool_checks(os.environ)
    identity, found = examine_identity(aws)
    if identity is None:
        return [*found, *examine(tools)]
    base, of_base = examine_base(aws, project)
    if base is None:
        return [*found, *of_base, *examine(tools)]
    store = open_bucket(base.bucket, profile=aws.profile, region=aws.region)
    patient = Patient(aws=aws, project=project, identity=identity, base=base, store=store)
    checks = cloud_checks(patient, open_cache(aws, os.environ), _image_key())
    return [*found, *of_base, *examine([*checks, *tools])]


def _image_key() -> str | None:
    """The key of the image that a run on a machine would have; None where there is no plan of one."""
    from dayfly.backends.ec2_workplace import PLATFORMS, wanted_arch
    from dayfly.environment.plan import plan_image
    from dayfly.errors import DayflyError
    from dayfly.project.load import load_project

    try:
        project = load_project(Path.cwd(), os.environ, only=("image", "arch"))
        root = project.root or Path.cwd()
        return plan_image(root, project.settings.image, platform=PLATFORMS[wanted_arch(project)]).key
    except DayflyError:
        return None

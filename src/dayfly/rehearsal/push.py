"""The project's image into the rehearsal's registry, as `dayfly image push` brings it into ECR."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dayfly.aws.base import BaseStack
from dayfly.aws.image_records import ImageRecord, make_image_record, put_image_record
from dayfly.environment.facts import image_facts
from dayfly.environment.image import Image, push_image
from dayfly.rehearsal.surroundings import Surroundings
from dayfly.runner.directories import cache_directory
from dayfly.runs.compat import UTC
from dayfly.runs.store import Store

USER = "AWS"


def push_to_rehearsal(
    around: Surroundings, base: BaseStack, store: Store, image: Image, environ: Mapping[str, str]
) -> ImageRecord:
    """Push `image` and write its record. What the registry has from an earlier rehearsal is not sent again.

    The engine reaches the registry under an address of this computer's loopback; its name, by which the
    instances pull, is ECR's. Raises ImageError.
    """
    from datetime import datetime

    name = base.repository_uri.partition("/")[2]
    tag = image.tag.rpartition(":")[2]
    digest = push_as(around, image, f"{name}:{tag}")
    facts = image_facts(around.docker, image, cache=cache_directory(environ) / "images")
    record = make_image_record(image, facts, tag=tag, digest=digest, pushed=datetime.now(UTC))
    put_image_record(store, record)
    return record


def push_as(around: Surroundings, image: Image, name: str) -> str:
    """Push `image` into the registry as `name`, a repository and a tag; its digest. Raises ImageError."""
    host = f"127.0.0.1:{around.registry_port}"
    token = base64.b64encode(f"{USER}:{around.password}".encode()).decode()
    with tempfile.TemporaryDirectory(prefix="dayfly-docker-") as folder:
        descriptor = os.open(Path(folder, "config.json"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"auths": {host: {"auth": token}}}, file)
        allowed = replace(around.docker, environ={**around.docker.environ, "DOCKER_CONFIG": folder})
        digest = push_image(allowed, image, f"{host}/{name}")
    around.docker.try_run(["image", "rm", "--no-prune", f"{host}/{name}"])
    return digest

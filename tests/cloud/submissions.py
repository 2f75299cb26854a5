"""A project with a notebook, its image in the emulated repository, and the commands as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dayfly.aws.base import BaseStack
from dayfly.aws.client import Aws
from dayfly.aws.image_records import ImageRecord, put_image_record
from dayfly.backends.stores import open_bucket
from dayfly.environment.facts import ImagePython, ImageUser
from dayfly.environment.plan import default_name, plan_image
from dayfly.project.load import load_project
from dayfly.rehearsal.emulator import Emulator
from dayfly.runner.kernelspecs import KernelSpec
from dayfly.runs.store import Store
from tests.helpers import PATIENCE_S, PROGRAMS, Done

COMMAND_S = 2 * PATIENCE_S
"""How long a whole command may take, or one that is followed until it has made a certain call."""
NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "hello.ipynb"
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": f"sha256:{'0' * 64}",
        "size": 2,
    },
    "layers": [],
}


@dataclass(frozen=True, kw_only=True)
class CloudProject:
    """A repository with one commit, and the base stack that its machines need."""

    root: Path
    emulator: Emulator
    base: BaseStack
    environ: Mapping[str, str] = field(repr=False)

    @property
    def store(self) -> Store:
        """The bucket of its runs."""
        return open_bucket(self.base.bucket, region=self.base.region)

    def cli(self, *arguments: str, code: int | None = 0) -> Done:
        """Run `dayfly ...` in the project, and expect its exit code (None: any)."""
        ended = subprocess.run(
            [str(PROGRAMS / "dayfly"), *arguments],
            cwd=self.root,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_S,
            check=False,
        )
        done = Done(code=ended.returncode, out=ended.stdout.decode(), err=ended.stderr.decode())
        assert "Traceback (most recent" not in done.err, done.err
        assert code is None or done.code == code, f"exit code {done.code}\n{done.out}\n{done.err}"
        return done

    def git(self, *arguments: str) -> str:
        """Run git in the project."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env=dict(self.environ),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout.strip()


def make_project(root: Path, aws: Aws, base: BaseStack, emulator: Emulator) -> CloudProject:
    """The project, committed, with its image in the repository and its record in the bucket."""
    home = root / "home"
    home.mkdir(parents=True)
    place = root / "project"
    place.mkdir()
    (place / "nb.ipynb").write_bytes(NOTEBOOK.read_bytes())
    (place / "requirements.txt").write_text("ipykernel\n", encoding="utf-8")
    (place / "dayfly.toml").write_text(
        f'instance = "m7i.large"\n[aws]\nproject = "{base.project}"\nbucket = "{base.bucket}"\n',
        encoding="utf-8",
    )
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
        **emulator.environ(),
    }
    project = CloudProject(root=place, emulator=emulator, base=base, environ=environ)
    project.git("init", "--quiet", "--initial-branch", "main")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "A notebook")
    _publish_image(project, aws)
    return project


def _publish_image(project: CloudProject, aws: Aws) -> None:
    settings = load_project(project.root, {}).settings.image
    named = settings.model_copy(update={"name": default_name(project.root)})
    plan = plan_image(project.root, named, platform="linux/amd64")
    put = aws.ecr.put_image(
        repositoryName=project.base.repository_uri.partition("/")[2],
        imageManifest=json.dumps(MANIFEST),
        imageTag=plan.key[:16],
    )
    record = ImageRecord(
        key=plan.key,
        tag=plan.key[:16],
        digest=put["image"]["imageId"]["imageDigest"],
        platform=plan.platform,
        user=ImageUser(uid=1000, gid=1000, name="app", home="/home/app"),
        python=ImagePython(executable="/usr/local/bin/python3", prefix="/usr/local", version="3.12.1"),
        kernels={
            "python3": KernelSpec(
                name="python3",
                argv=("/usr/local/bin/python3", "-m", "ipykernel_launcher", "-f", "{connection_file}"),
                display_name="Python 3",
                language="python",
            )
        },
        size_bytes=1,
        pushed=datetime.now(UTC),
    )
    put_image_record(project.store, record)


def names(calls: list[dict[str, Any]]) -> list[str]:
    """`service:operation` of each call."""
    return [f"{call['service']}:{call['operation']}" for call in calls]

"""The bench of tests on AWS Batch: emulated, with a base stack, a project, its image, and real containers."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dayfly.aws.base import BaseStack, load_base
from dayfly.aws.batch_follow import follow_sweep
from dayfly.aws.client import Aws, open_aws
from dayfly.aws.image_records import ImageRecord, put_image_record
from dayfly.backends.asked import Asked
from dayfly.backends.creation import Submission
from dayfly.backends.docker import CHECKOUT
from dayfly.backends.stores import open_bucket
from dayfly.backends.submission import plan_submission
from dayfly.environment.docker import Docker
from dayfly.environment.facts import image_facts
from dayfly.environment.image import Image, list_images
from dayfly.project.load import load_project
from dayfly.rehearsal.emulator import Emulator, start_emulator
from dayfly.runs import layout
from dayfly.runs.ids import sweep_of
from dayfly.runs.request import ImageSource, Request
from dayfly.runs.run import Run
from dayfly.runs.store import Store
from dayfly.runs.sweep import Point, SweepRequest, encode_points
from tests.cloud.conftest import CACHE, OTHERS
from tests.cloud.stacks import IMAGE, PROJECT, base_stack
from tests.cloud.submissions import MANIFEST
from tests.engine.projects import make_repository
from tests.helpers import PATIENCE_S, Place, make_place

PATIENT_S = 120.0
"""So long a test waits for a container of Batch to say or leave something."""
_MADE_BY_BATCH = "label=dev.dayfly.batch=1"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A base stack with Batch, whose containers run on a real engine, and what a sweep is made of."""

    emulator: Emulator
    aws: Aws
    base: BaseStack
    store: Store
    request: Request
    content: bytes
    place: Place
    """The project; its commands reach the emulated AWS, and its runs are points of sweeps on Batch."""

    def sweep(self, sweep_id: str, kinds: list[str], **changed: object) -> tuple[SweepRequest, list[Point]]:
        """A sweep of these points in the store, as `dayfly sweep` makes it."""
        points = [Point(parameters={"kind": kind}) for kind in kinds]
        sweep = SweepRequest(
            sweep_id=sweep_id,
            created=datetime.now(UTC),
            run=self.request.model_copy(update={"run_id": sweep_id, **changed}),
            notebook_sha256="0" * 64,
            base="0" * 64,
            count=len(points),
            points_sha256="0" * 64,
            names=("kind",),
        )
        self.store.put(layout.sweep_key(sweep_id, layout.INPUT), self.content)
        self.store.put(layout.sweep_key(sweep_id, layout.POINTS), encode_points(points))
        self.store.put(layout.sweep_key(sweep_id, layout.SWEEP), sweep.to_bytes())
        return sweep, points

    def wait(self, sweep_id: str, until: Callable[[], bool], what: str, within_s: float = 240.0) -> None:
        """Until it is so; what Batch says of the sweep is told when it never is."""
        begun = time.monotonic()
        while not until():
            jobs = [job.array.job_id for job in follow_sweep(self.aws, self.store, sweep_id)]
            assert time.monotonic() - begun < within_s, (
                what,
                self.aws.batch.describe_jobs(jobs=jobs)["jobs"],
            )
            time.sleep(0.5)

    def over(self, sweep_id: str) -> bool:
        """Whether no job of it runs or waits."""
        return all(one.ended for one in follow_sweep(self.aws, self.store, sweep_id))


@contextmanager
def open_bench(
    folder: Path, docker: Docker, kernel_image: str, notebooks: Mapping[str, bytes]
) -> Iterator[Bench]:
    """A bench in `folder`, whose project has these notebooks by their names; its request is of the first.

    The emulated AWS is named by this process's environment, too, until the block ends.
    """
    engine = docker.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    place = make_place(folder / "place", DOCKER_HOST=engine)
    make_repository(place, dockerfile=f"FROM {kernel_image}\n")
    for name, content in notebooks.items():
        (place.root / f"{name}.ipynb").write_bytes(content)
    planned = _plan(place, next(iter(notebooks)))
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        emulator = stack.enter_context(
            start_emulator(folder / "emulator", cache=CACHE, extra={"DAYFLY_ENGINE": engine})
        )
        for name in OTHERS:
            patch.delenv(name, raising=False)
        for name, value in emulator.environ().items():
            patch.setenv(name, value)
        aws = open_aws()
        base_stack(aws, Batch="true", BatchMaxVcpus="8")
        base = load_base(aws, PROJECT)
        store = open_bucket(base.bucket, region=base.region)
        image = planned.request.image
        assert image is not None
        _publish(aws, base, store, emulator, docker, image, place)
        _put_snapshot(store, planned)
        changed = {
            "backend": "batch",
            "image": image.model_copy(update={"id": IMAGE}),
            "timeout_s": 300.0,
            "memory_bytes": 512 << 20,
        }
        yield Bench(
            emulator=emulator,
            aws=aws,
            base=base,
            store=store,
            request=planned.request.model_copy(update=changed),
            content=planned.content,
            place=_place(place, emulator, store),
        )
        for client in aws._clients.values():
            client.close()


def _plan(place: Place, notebook: str) -> Submission:
    asked = Asked(notebook=str(place.root / f"{notebook}.ipynb"), backend="docker", dirty=True)
    project = load_project(place.root, place.environ)
    return plan_submission(asked, project, place.environ, datetime.now(UTC))


def _put_snapshot(store: Store, planned: Submission) -> None:
    snapshot = planned.request.snapshot
    assert snapshot is not None
    assert planned.bundle is not None
    with planned.bundle:
        store.put(layout.snapshot_key(snapshot.commit), planned.bundle.read())


def _place(place: Place, emulator: Emulator, store: Store) -> Place:
    """The same project for who runs its notebooks on Batch."""
    environ = {**place.environ, **emulator.environ()}

    def container_of(run: Run) -> str:
        """The container of a child, whose name is the engine's; its environment says whose it is."""
        index = sweep_of(run.run_id)
        assert index is not None
        mark = f"DAYFLY_SWEEP={index[0]}"
        listed = _ask_engine(environ, "ps", "--quiet", "--filter", _MADE_BY_BATCH).split()
        [found] = [one for one in listed if mark in variables_of(one)]
        return found

    def variables_of(container: str) -> str:
        """Nothing of one that has gone since it was listed."""
        return _ask_engine(environ, "inspect", "--format", "{{.Config.Env}}", container, check=False)

    return replace(
        place,
        environ=environ,
        store=store,
        flags=("--on", "batch", "--dirty", "--memory", "512MB", "--timeout", "5m"),
        directory=CHECKOUT,
        sweeps=True,
        container_of=container_of,
        patience_s=PATIENT_S,
    )


def _ask_engine(environ: Mapping[str, str], *arguments: str, check: bool = True) -> str:
    done = subprocess.run(
        ["docker", *arguments],
        env=dict(environ),
        capture_output=True,
        text=True,
        check=check,
        timeout=PATIENCE_S,
    )
    return done.stdout


def _publish(  # noqa: PLR0917 -- a test's own
    aws: Aws,
    base: BaseStack,
    store: Store,
    emulator: Emulator,
    docker: Docker,
    image: ImageSource,
    place: Place,
) -> None:
    """The image in the emulated repository, as `dayfly image push` leaves it."""
    facts_of = find_image_of(docker, image)
    facts = image_facts(docker, facts_of, cache=place.root / ".dayfly" / "facts")
    put = aws.ecr.put_image(
        repositoryName=base.repository_uri.partition("/")[2],
        imageManifest=json.dumps(MANIFEST),
        imageTag=image.key[:16],
    )
    digest = put["image"]["imageId"]["imageDigest"]
    record = ImageRecord(
        key=image.key,
        tag=image.key[:16],
        digest=digest,
        platform=image.platform,
        user=facts.user,
        python=facts.python,
        kernels=facts.kernels,
        size_bytes=1,
        pushed=datetime.now(UTC),
    )
    put_image_record(store, record)
    for reference in (IMAGE, f"{base.repository_uri}@{digest}"):
        emulator.ask("POST", "/_dayfly/batch/images", {"reference": reference, "image": image.id})
    (place.root / "dayfly.toml").write_text(
        f'[image]\nnetwork = "host"\n[aws]\nproject = "{base.project}"\nbucket = "{base.bucket}"\n'
    )


def find_image_of(docker: Docker, image: ImageSource) -> Image:
    """The image that the engine has of that tag."""
    return next(one for one in list_images(docker) if one.id == image.id)

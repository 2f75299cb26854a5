"""Sweeps on AWS Batch, emulated, with real containers: a child that fails by its host, one by its cell."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import nbformat
import pytest

from dayfly.aws.base import BaseStack, load_base
from dayfly.aws.batch import follow_sweep, load_submissions, settle_sweep, stop_sweep, submit_sweep
from dayfly.aws.client import Aws, open_aws
from dayfly.aws.image_records import ImageRecord, put_image_record
from dayfly.backends.asked import Asked
from dayfly.backends.stores import open_bucket
from dayfly.backends.submission import plan_submission
from dayfly.environment.docker import Docker
from dayfly.environment.facts import image_facts
from dayfly.environment.image import Image, list_images
from dayfly.errors import NotebookFailedError
from dayfly.project.load import load_project
from dayfly.rehearsal.emulator import Emulator, start_emulator
from dayfly.runs import layout
from dayfly.runs.request import ImageSource, Request
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.store import Store
from dayfly.runs.sweep import Point, SweepRequest, encode_points
from dayfly.runs.sweep_states import list_attempts
from tests.cloud.conftest import CACHE, OTHERS
from tests.cloud.stacks import IMAGE, PROJECT, base_stack
from tests.cloud.submissions import MANIFEST
from tests.engine.conftest import base_image, docker, kernel_image  # noqa: F401
from tests.engine.projects import make_repository
from tests.helpers import PROGRAMS, Place, make_place

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("batch")]

WORK = """\
import os, pathlib, time
found = []
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    for name in ("environ", "cmdline", "mem"):
        try:
            if b"AWS_SECRET" in (folder / name).read_bytes()[:100_000]:
                found.append(str(folder / name))
        except OSError:
            pass
print("secrets:", sorted(name for name in os.environ if "AWS" in name or "SECRET" in name) + found)
print("user:", os.getuid() != 0)
"""
ACT = """\
if kind == "fails":
    raise ValueError("the cell's own doing")
if kind == "waits":
    import time
    time.sleep(30 if pathlib.Path(os.environ["DAYFLY_OUTPUTS"]).parent.name.endswith(".2") else 600)
print("done", kind)
"""
SWEEP = "20261123-101502-work-7f3a"


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

    def cli(self, *arguments: str, code: int = 0) -> str:
        """A command in the project, as a user types it; what it prints on standard output."""
        environ = {**self.place.environ, **self.emulator.environ()}
        done = subprocess.run(
            [str(PROGRAMS / "dayfly"), *arguments],
            cwd=self.place.root,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

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

    def wait(self, until: Callable[[], bool], what: str, within_s: float = 240.0) -> None:
        """Until it is so; what Batch says is told when it never is."""
        begun = time.monotonic()
        while not until():
            jobs = [job.array.job_id for job in follow_sweep(self.aws, self.store, SWEEP)]
            assert time.monotonic() - begun < within_s, (
                what,
                self.aws.batch.describe_jobs(jobs=jobs)["jobs"],
            )
            time.sleep(0.5)

    def over(self, sweep_id: str) -> bool:
        """Whether no job of it runs or waits."""
        return all(one.ended for one in follow_sweep(self.aws, self.store, sweep_id))


@pytest.fixture(scope="module")
def bench(
    tmp_path_factory: pytest.TempPathFactory,
    docker: Docker,  # noqa: F811
    kernel_image: str,  # noqa: F811
) -> Iterator[Bench]:
    """One emulator for the module: making the image takes its time."""
    engine = docker.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    folder = tmp_path_factory.mktemp("batch")
    place = make_place(folder / "place", DOCKER_HOST=engine)
    make_repository(place, dockerfile=f"FROM {kernel_image}\n")
    cells = [nbformat.v4.new_code_cell('kind = "works"', metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(source) for source in (WORK, ACT)]
    (place.root / "work.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook(cells=cells)))
    asked = Asked(notebook=str(place.root / "work.ipynb"), backend="docker", dirty=True)
    project = load_project(place.root, place.environ)
    planned = plan_submission(asked, project, place.environ, datetime.now(UTC))
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
        image, snapshot = planned.request.image, planned.request.snapshot
        assert image is not None
        assert snapshot is not None
        emulator.ask("POST", "/_dayfly/batch/images", {"reference": IMAGE, "image": image.id})
        _publish(aws, base, store, emulator, docker, image, place)
        assert planned.bundle is not None
        with planned.bundle:
            store.put(layout.snapshot_key(snapshot.commit), planned.bundle.read())
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
            place=place,
        )
        for client in aws._clients.values():
            client.close()


def _publish(  # noqa: PLR0917 -- a test's own
    aws: Aws,
    base: BaseStack,
    store: Store,
    emulator: Emulator,
    docker: Docker,  # noqa: F811
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
    reference = f"{base.repository_uri}@{digest}"
    emulator.ask("POST", "/_dayfly/batch/images", {"reference": reference, "image": image.id})
    (place.root / "dayfly.toml").write_text(
        f'[image]\nnetwork = "host"\n[aws]\nproject = "{base.project}"\nbucket = "{base.bucket}"\n'
    )


def find_image_of(docker: Docker, image: ImageSource) -> Image:  # noqa: F811
    """The image that the engine has of that tag."""
    return next(one for one in list_images(docker) if one.id == image.id)


def text(store: Store, run_id: str) -> str:
    """What the cells of a run printed."""
    cells = json.loads(store.get(layout.run_key(run_id, layout.OUTPUT)) or b"{}")["cells"]
    return "".join("".join(out.get("text", "")) for cell in cells for out in cell.get("outputs", []))


@pytest.mark.fault(41)
def test_a_child_whose_host_fails_is_retried_and_one_whose_cell_fails_is_not(bench: Bench) -> None:
    """FAULTS 41: each attempt has a prefix of its own."""
    sweep, points = bench.sweep(SWEEP, ["works", "waits", "fails"])
    before = len(bench.emulator.requests())
    record = submit_sweep(bench.aws, bench.base, bench.store, sweep, points)
    assert record is not None
    calls = [f"{one['service']}:{one['operation']}" for one in bench.emulator.requests()[before:]]
    assert calls.count("batch:SubmitJob") == 1
    assert calls.count("s3:PutObject") == 3  # the children, and the record before and after
    assert calls.index("scheduler:CreateSchedule") < calls.index("batch:SubmitJob")

    def attempts() -> dict[int, State | None]:
        return {i: one.state for i, one in list_attempts(bench.store, SWEEP, sweep.count).items()}

    bench.wait(lambda: attempts().get(1) is State.RUNNING, "the second point runs")
    assert submit_sweep(bench.aws, bench.base, bench.store, sweep, points) is None, "all are under way"
    bench.emulator.ask("POST", "/_dayfly/batch/lose", {"index": 1})
    bench.wait(lambda: bench.over(SWEEP), "the job is over")

    found = list_attempts(bench.store, SWEEP, sweep.count)
    assert {i: (one.number, one.state) for i, one in found.items()} == {
        0: (1, State.SUCCEEDED),
        1: (2, State.SUCCEEDED),
        2: (1, State.FAILED),
    }
    first, second = (Run(f"{SWEEP}.1{attempt}", bench.store) for attempt in ("", ".2"))
    assert first.request.parameters == second.request.parameters == {"kind": "waits"}
    assert first.result is None
    assert "done waits" in text(bench.store, second.run_id)
    failed = Run(f"{SWEEP}.2", bench.store).result
    assert failed is not None
    assert failed.failed_cell is not None
    assert failed.failed_cell.ename == "ValueError"
    children = [f"{record.arrays[0].job_id}:{index}" for index in range(3)]
    jobs = bench.aws.batch.describe_jobs(jobs=children)["jobs"]
    assert [[a["container"]["exitCode"] for a in job["attempts"]] for job in jobs] == [[0], [137, 0], [10]]

    settle_sweep(bench.aws, bench.base, bench.store, SWEEP)
    assert [a.ended for a in load_submissions(bench.store, SWEEP)[0].arrays] == ["done"]
    assert submit_sweep(bench.aws, bench.base, bench.store, sweep, points) is None, "nothing is open"


def test_the_notebook_finds_no_credentials_and_is_not_root(bench: Bench) -> None:
    said = text(bench.store, f"{SWEEP}.0")
    assert "secrets: []" in said
    assert "user: True" in said


def test_a_sweep_that_is_stopped_cancels_what_runs(bench: Bench) -> None:
    name = "20261123-111502-work-7f3b"
    sweep, points = bench.sweep(name, ["waits"])
    assert submit_sweep(bench.aws, bench.base, bench.store, sweep, points) is not None
    bench.wait(
        lambda: any(o.state is State.RUNNING for o in list_attempts(bench.store, name, 1).values()), "it runs"
    )
    assert len(stop_sweep(bench.aws, bench.base, bench.store, name, by="Ada")) == 1
    bench.wait(lambda: bench.over(name), "it is over")
    bench.wait(lambda: Run(f"{name}.0", bench.store).result is not None, "it says so")
    assert Run(f"{name}.0", bench.store).state is State.CANCELLED


def test_the_deadline_ends_a_sweep_whoever_is_gone(bench: Bench) -> None:
    name = "20261123-121502-work-7f3c"
    sweep, points = bench.sweep(name, ["waits", "waits"], timeout_s=900.0)
    record = submit_sweep(bench.aws, bench.base, bench.store, sweep, points)
    assert record is not None
    bench.wait(
        lambda: any(o.state is State.RUNNING for o in list_attempts(bench.store, name, 2).values()), "it runs"
    )
    bench.emulator.let_pass((record.deadline - datetime.now(UTC)).total_seconds() + 5)
    bench.wait(lambda: bench.over(name), "the schedule has ended it")
    [one] = follow_sweep(bench.aws, bench.store, name)
    assert one.status == "FAILED"


def test_a_sweep_as_a_user_types_it(bench: Bench) -> None:
    said = bench.cli(
        *("sweep", "work.ipynb", "--on", "batch", "--dirty", "--memory", "512MB", "--timeout", "5m"),
        *("-p", "kind=works,fails", "--quiet"),
        code=NotebookFailedError.exit_code,
    )
    [sweep_id] = {
        part.partition(".")[0] for part in bench.cli("ps", "--all", "--json").split('"') if "-work-" in part
    } - {SWEEP, "20261123-111502-work-7f3b", "20261123-121502-work-7f3c"}
    found = list_attempts(bench.store, sweep_id, 2)
    assert {i: one.state for i, one in found.items()} == {0: State.SUCCEEDED, 1: State.FAILED}, said

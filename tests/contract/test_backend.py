"""What a finished run leaves in its store, whatever executed it and wherever the store is.

A backend is given a store and runs notebooks; from then on only the store is looked at.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

from dayfly.backends.docker import CHECKOUT
from dayfly.environment.docker import Docker
from dayfly.runs import layout
from dayfly.runs.catalog import list_runs
from dayfly.runs.receipt import hash_bytes
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.store import Store, open_store
from tests.cloud.batch_bench import open_bench
from tests.engine.images import BUILD_S
from tests.engine.projects import make_repository
from tests.helpers import (
    NOTEBOOKS,
    Place,
    assert_nothing_runs,
    cell_states,
    machinery_processes,
    make_place,
    output_of,
    text_of,
    wait_for,
    wait_for_checkpoint,
)

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


@pytest.fixture(
    scope="module",
    params=[
        "local",
        "a point of a sweep here",
        "local, its store in S3",
        "docker",
        pytest.param("batch", marks=pytest.mark.timeout(900)),
    ],
)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A project for each backend."""
    root = tmp_path_factory.mktemp("backend") / "place"
    if request.param == "local":
        yield make_place(root)
        return
    if request.param == "a point of a sweep here":
        yield replace(make_place(root), sweeps=True)
        return
    if request.param == "docker":
        yield _docker_place(root, request)
        return
    if request.param == "batch":
        docker, image = request.getfixturevalue("docker"), request.getfixturevalue("kernel_image")
        with open_bench(root, docker, image, {"hello": (NOTEBOOKS / "hello.ipynb").read_bytes()}) as bench:
            yield bench.place
        return
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        _make_bucket(endpoint, "bucket")
        made = make_place(root, AWS_ENDPOINT_URL=endpoint, **_KEYS)
        (made.root / "dayfly.toml").write_text('store = "s3://bucket/team"\n')
        store = _s3_store(endpoint, "bucket", "team")
        yield Place(root=made.root, environ=made.environ, store=store, directory=str(made.root))
    finally:
        server.stop()


def _docker_place(root: Path, request: pytest.FixtureRequest) -> Place:
    docker: Docker = request.getfixturevalue("docker")
    reach = {name: value for name, value in docker.environ.items() if name.startswith("DOCKER_")}
    made = make_place(root, **reach)
    make_repository(made, dockerfile=f"FROM {request.getfixturevalue('kernel_image')}\n")
    return Place(
        root=made.root,
        environ=made.environ,
        store=made.store,
        flags=("--on", "docker", "--dirty"),
        directory=CHECKOUT,
        patience_s=BUILD_S / 2,  # a command has twice as long: the first may have to build the image
    )


def _make_bucket(endpoint: str, name: str) -> None:
    import boto3

    boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=_KEYS["AWS_REGION"],
        aws_access_key_id=_KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=_KEYS["AWS_SECRET_ACCESS_KEY"],
    ).create_bucket(Bucket=name)


def _s3_store(endpoint: str, bucket: str, prefix: str) -> Store:
    """The store as the test itself reads it, whose environment has none of these."""
    config: S3Config = {
        "endpoint": endpoint,
        "region": _KEYS["AWS_REGION"],
        "access_key_id": _KEYS["AWS_ACCESS_KEY_ID"],
        "secret_access_key": _KEYS["AWS_SECRET_ACCESS_KEY"],
    }
    options: ClientConfig = {"allow_http": True}
    return Store(
        objects=S3Store(bucket, prefix=prefix, config=config, client_options=options),
        url=f"s3://{bucket}/{prefix}",
    )


@pytest.fixture(scope="module")
def succeeded(place: Place) -> Run:
    return place.run("hello", "-p", "name=Ann", "-p", "count=3")[0]


@pytest.fixture(scope="module")
def failed(place: Place) -> Run:
    return place.run("fails", code=10)[0]


def _names(run: Run) -> set[str]:
    prefix = layout.run_prefix(run.run_id)
    return {entry.key.removeprefix(prefix) for entry in run.store.list(prefix.rstrip("/"))}


def test_a_run_is_a_directory_with_these_files(succeeded: Run) -> None:
    in_the_store = _names(succeeded) - {layout.LOCK}
    assert in_the_store == {
        "request.json",
        "input.ipynb",
        "output.ipynb",
        "result.json",
        "receipt.json",
        "outputs/greeting.txt",
        "events/000000000000.jsonl",
        *(
            name
            for name in in_the_store
            if name.startswith(("events/", "log/")) and name.endswith(("l", "t"))
        ),
    }
    assert "log/000000000000.txt" in in_the_store


def test_the_request_says_what_was_asked(place: Place, succeeded: Run) -> None:
    request = succeeded.request
    assert request.run_id == succeeded.run_id
    assert request.parameters == {"name": "Ann", "count": 3}
    assert request.notebook == str(place.root / "hello.ipynb")
    assert request.cwd == place.directory
    assert request.kernel == "python3"


def test_the_input_is_the_notebook_as_submitted(succeeded: Run) -> None:
    submitted = (NOTEBOOKS / "hello.ipynb").read_bytes()
    assert succeeded.store.get(layout.run_key(succeeded.run_id, layout.INPUT)) == submitted


def test_the_output_is_a_valid_notebook_with_every_cell_and_its_output(succeeded: Run) -> None:
    notebook = output_of(succeeded)
    assert cell_states(notebook) == ["executed"] * 5
    injected = notebook["cells"][2]
    assert injected["metadata"]["tags"] == ["injected-parameters"]
    assert text_of(notebook["cells"][3]) == "hello Ann, 0\nhello Ann, 1\nhello Ann, 2\n"
    assert notebook["cells"][5]["outputs"][0]["data"]["text/plain"] == "1.0"


def test_the_output_says_in_its_metadata_what_run_it_is_of_and_how_that_ended(succeeded: Run) -> None:
    metadata = output_of(succeeded)["metadata"]
    assert metadata["dayfly"]["run_id"] == succeeded.run_id
    assert metadata["dayfly"]["state"] == "succeeded"
    assert metadata["papermill"]["parameters"] == {"name": "Ann", "count": 3}


def test_what_the_notebook_left_in_its_outputs_folder_is_in_the_run(succeeded: Run) -> None:
    key = layout.run_key(succeeded.run_id, "outputs/greeting.txt")
    assert succeeded.store.get(key) == b"hello Ann\n"


def test_the_result_tells_the_end(succeeded: Run) -> None:
    result = succeeded.result
    assert result is not None
    assert (result.state, result.reason) == (State.SUCCEEDED, "completed")
    assert result.cells.model_dump() == {
        "code": 5,
        "executed": 5,
        "failed": 0,
        "interrupted": 0,
        "not_run": 0,
    }
    assert 0 < result.duration_s < 60
    assert result.failed_cell is None
    assert result.warnings == []


def test_a_failed_run_names_the_cell_and_keeps_its_traceback(failed: Run) -> None:
    result = failed.result
    assert result is not None
    assert result.failed_cell is not None
    assert (result.state, result.reason) == (State.FAILED, "cell_failed")
    assert (result.failed_cell.number, result.failed_cell.ename) == (2, "ZeroDivisionError")
    assert "division by zero" in result.failed_cell.traceback
    assert cell_states(output_of(failed)) == ["executed", "failed", "not_run"]


def test_the_receipt_is_the_one_the_result_names_and_everything_matches_it(succeeded: Run) -> None:
    receipt, result = succeeded.receipt, succeeded.result
    assert receipt is not None
    assert result is not None
    content = succeeded.store.get(layout.run_key(succeeded.run_id, layout.RECEIPT)) or b""
    assert result.receipt_sha256 == hashlib.sha256(content).hexdigest()
    assert receipt.files["outputs/greeting.txt"] == hash_bytes(iter([b"hello Ann\n"]))
    assert succeeded.verify() == []


def test_the_receipt_keeps_the_packages_of_the_notebooks_python(succeeded: Run) -> None:
    receipt = succeeded.receipt
    assert receipt is not None
    assert receipt.kernel.language == "python"
    assert "ipykernel" in receipt.kernel.packages


def test_the_events_tell_the_run_from_its_first_state_to_its_end(succeeded: Run) -> None:
    events = list(succeeded.events())
    told = [event.get("state") for event in events if event["type"] == "state"]
    assert told == ["preparing", "running", "saving"]
    finished = [event for event in events if event["type"] == "cell_finished"]
    assert [event["cell"] for event in finished] == [2, 3, 4, 5, 6]
    assert {event["state"] for event in finished} == {"executed"}
    assert (events[-1]["type"], events[-1]["state"]) == ("ended", "succeeded")


def test_the_log_has_what_was_printed_cell_by_cell(succeeded: Run) -> None:
    log = succeeded.log()
    assert "── cell 4 of 6 " in log
    assert "hello Ann, 0\nhello Ann, 1\nhello Ann, 2\n" in log


def test_a_listing_knows_the_state_of_every_run(place: Place, succeeded: Run, failed: Run) -> None:
    listed = {summary.run_id: summary.state for summary in list_runs(place.store)}
    assert listed[succeeded.run_id] is State.SUCCEEDED
    assert listed[failed.run_id] is State.FAILED


def test_nothing_of_a_run_goes_on_after_its_end(place: Place, succeeded: Run, failed: Run) -> None:
    for run in (succeeded, failed):
        assert_nothing_runs(run)
    left = [path for path in (Path(place.environ["TMPDIR"])).iterdir() if path.name.startswith("dayfly-")]
    assert left == []
    assert not list(Path(place.environ["HOME"]).rglob("*.ipynb"))


def test_a_run_is_stopped_through_its_store(place: Place) -> None:
    with place.running("waits", says="waiting for a file") as run:
        place.cli("stop", run.run_id)
        assert run.state is State.CANCELLED
        assert cell_states(output_of(run)) == ["executed", "interrupted", "not_run"]
        assert run.verify() == []
        assert_nothing_runs(run)


def test_a_run_can_be_followed_while_it_goes_on(place: Place) -> None:
    with place.running("waits", says="waiting for a file") as run:
        wait_for(
            lambda: run.state is State.RUNNING, "the run to be seen as running", within_s=place.patience_s
        )
        events = run.events(follow=True)
        while next(events)["type"] != "cell_finished":
            pass
        place.go(run)
        assert [event["type"] for event in events][-1] == "ended"
        assert run.wait(place.patience_s) is State.SUCCEEDED
        (place.root / "go").unlink(missing_ok=True)


def test_a_run_whose_runner_is_killed_is_lost_and_keeps_what_it_had(place: Place) -> None:
    with place.running("waits", says="waiting for a file") as run:
        wait_for_checkpoint(run, ["executed", "running", "not_run"], within_s=place.patience_s)
        os.kill(_runner_of(run), signal.SIGKILL)
        wait_for(lambda: run.state is State.LOST, "the run to be seen as lost", within_s=place.patience_s)
        assert cell_states(output_of(run)) == ["executed", "running", "not_run"]
        assert_nothing_runs(run)


def _runner_of(run: Run) -> int:
    """The runner is the process that is neither the keeper nor what holds a container."""
    found: list[int] = []

    def alone() -> bool:
        """A program that the runner starts bears its command line, until it has its own."""
        found[:] = [pid for pid in machinery_processes(run) if not _is_of_another_kind(pid)]
        return len(found) == 1

    wait_for(alone, "the runner alone")
    return found[0]


def _is_of_another_kind(pid: int) -> bool:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended meanwhile
        return True
    return b"dayfly.keeper" in line or line.startswith(b"docker\0")


def test_two_runs_at_the_same_time_are_two_directories(place: Place) -> None:
    with (
        place.running("waits", says="waiting for a file") as one,
        place.running("waits", says="waiting for a file") as other,
    ):
        assert one.run_id != other.run_id
        place.go(one, other)
        assert [one.wait(place.patience_s), other.wait(place.patience_s)] == [
            State.SUCCEEDED,
            State.SUCCEEDED,
        ]
        (place.root / "go").unlink(missing_ok=True)
        assert one.verify() == other.verify() == []


def test_a_store_on_disk_is_found_again_by_its_path(place: Place, succeeded: Run) -> None:
    if place.store.root is None:
        assert place.store.url.startswith("s3://")
        return
    again = open_store(place.store.root)
    assert Run(succeeded.run_id, again).state is State.SUCCEEDED

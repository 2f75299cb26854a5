"""What a container of Batch looks up of itself, without a container: any store will do."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.aws import deadline
from dayfly.backends import batch_process
from dayfly.backends.batch_process import Job, load_request, prepare, read_job, runner_environment
from dayfly.errors import RunConflictError, RunNeverStartedError, StoreError
from dayfly.runs import layout
from dayfly.runs.request import ContainerUser, ImageSource, PythonEnvironment, Request
from dayfly.runs.store import Store, open_store
from dayfly.runs.sweep import Point, SweepRequest, encode_points
from dayfly.runs.sweep_batch import WIDTH, children_key, decode_child, encode_children

SWEEP = "20261123-101502-work-7f3a"
POINTS = [Point(parameters={"x": number, "name": "é" * number}) for number in range(12)]
NOW = 1_000_000.0
ENVIRON = {
    "DAYFLY_STORE": "s3://bucket",
    "DAYFLY_SWEEP": SWEEP,
    "DAYFLY_SUBMISSION": "2",
    "DAYFLY_FIRST_CHILD": "10000",
    "DAYFLY_DEADLINE_EPOCH": "1800000000",
    "DAYFLY_TIMEOUT": "60.5",
    "AWS_BATCH_JOB_ATTEMPT": "3",
}


def request(**changed: Any) -> Request:
    user = ContainerUser(uid=1000, gid=1000, name="app", home="/home/app")
    return Request(
        run_id=SWEEP,
        created=datetime(2026, 11, 23, tzinfo=UTC),
        notebook="work.ipynb",
        backend="batch",
        kernel="python3",
        python=PythonEnvironment(executable="/usr/bin/python3", prefix="/usr", source="image"),
        cwd="/dayfly/project",
        image=ImageSource(tag="t", id="r@sha256:0", key="k", platform="linux/amd64", user=user),
        parameters={"shared": 1},
        **changed,
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A sweep of twelve points, of which 3, 7 and 11 were submitted, 7 for the second time."""
    made = open_store(tmp_path / "store")
    sweep = SweepRequest(
        sweep_id=SWEEP,
        created=datetime(2026, 11, 23, tzinfo=UTC),
        run=request(timeout_s=900.0),
        notebook_sha256="0",
        base="0",
        count=len(POINTS),
        points_sha256="0",
        names=("x",),
    )
    made.put(layout.sweep_key(SWEEP, layout.SWEEP), sweep.to_bytes())
    made.put(layout.sweep_key(SWEEP, layout.INPUT), b"{}")
    made.put(layout.sweep_key(SWEEP, layout.POINTS), encode_points(POINTS))
    made.put(children_key(SWEEP, 1), encode_children(encode_points(POINTS), [(3, 1), (7, 2), (11, 1)]))
    return made


def job(store: Store, **changed: Any) -> Job:
    one = Job(
        store=store.url,
        sweep_id=SWEEP,
        submission=1,
        child=1,
        attempt=1,
        deadline_epoch=NOW + 3600,
        timeout_s=900.0,
    )
    return replace(one, **changed)


def test_a_child_of_a_later_array_counts_from_its_first() -> None:
    one = read_job({**ENVIRON, "AWS_BATCH_JOB_ARRAY_INDEX": "7"})
    assert (one.child, one.attempt, one.submission, one.timeout_s) == (10007, 3, 2, 60.5)
    assert read_job(ENVIRON).child == 10000, "a single point is a job without an array"


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text()), min_size=1, max_size=20), st.data())
def test_a_record_leads_to_its_points_line(values: list[dict[str, str]], data: st.DataObject) -> None:
    lines = encode_points([Point(parameters=one) for one in values])
    index = data.draw(st.integers(0, len(values) - 1))
    records = encode_children(lines, [(0, 1), (index, 9)])
    child = decode_child(records[WIDTH:])
    assert (child.index, child.attempt) == (index, 9)
    assert lines[child.start : child.start + child.length] == lines.split(b"\n")[index]


def test_half_a_record_is_no_record() -> None:
    with pytest.raises(struct.error):
        decode_child(b"\0" * (WIDTH - 1))


@pytest.mark.parametrize(
    ("child", "attempt", "run_id"), [(0, 1, f"{SWEEP}.03"), (1, 1, f"{SWEEP}.07.2"), (1, 3, f"{SWEEP}.07.4")]
)
def test_point_and_attempt_make_the_runs_id(store: Store, child: int, attempt: int, run_id: str) -> None:
    """FAULTS 41: each attempt has its own prefix."""
    made, _ = load_request(store, job(store, child=child, attempt=attempt), NOW)
    assert made.run_id == run_id
    assert made.parameters == {"shared": 1, **POINTS[3 if child == 0 else 7].parameters}


def test_time_is_the_least_of_request_cap_and_deadline(store: Store) -> None:
    assert load_request(store, job(store), NOW)[0].timeout_s == 900.0
    assert load_request(store, job(store, timeout_s=60.0), NOW)[0].timeout_s == 60.0
    near = job(store, deadline_epoch=NOW + 10 + batch_process.SAVE_MARGIN_S + 100)
    assert load_request(store, near, NOW)[0].timeout_s == 100.0


def test_nothing_begins_after_a_stop_or_near_the_deadline(store: Store) -> None:
    with pytest.raises(RunNeverStartedError):
        load_request(store, job(store, deadline_epoch=NOW + batch_process.SAVE_MARGIN_S), NOW)
    store.put(layout.sweep_key(SWEEP, layout.STOP), b"{}")
    with pytest.raises(RunNeverStartedError):
        load_request(store, job(store), NOW)
    assert list(store.list(layout.RUNS)) == []


def test_an_attempt_is_begun_once(store: Store, tmp_path: Path) -> None:
    """FAULTS 42: two that would write to one prefix."""
    folder, runs = tmp_path / "folder", tmp_path / "runs"
    folder.mkdir()
    prepare(job(store), folder, runs, now=lambda: NOW)
    assert (runs / f"{SWEEP}.07.2" / layout.INPUT).read_bytes() == b"{}"
    assert store.exists(layout.status_key(f"{SWEEP}.07.2"))
    with pytest.raises(RunConflictError):
        prepare(job(store), folder, tmp_path / "others", now=lambda: NOW)
    assert not (tmp_path / "others").exists()


def test_a_notebook_never_runs_as_root(store: Store, tmp_path: Path) -> None:
    key = layout.sweep_key(SWEEP, layout.SWEEP)
    store.put(key, (store.get(key) or b"").replace(b'"uid": 1000', b'"uid": 0'))
    with pytest.raises(StoreError):
        prepare(job(store), tmp_path, tmp_path / "runs", now=lambda: NOW)


def test_the_notebook_gets_no_credentials() -> None:
    given_ = {
        "PATH": "/usr/bin",
        "LANG": "C.UTF-8",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/7",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/7",
        "DAYFLY_STORE": "s3://bucket",
    }
    found = runner_environment(given_, {"home": "/home/app", "name": "app"})
    assert found == {
        "PATH": "/usr/bin",
        "LANG": "C.UTF-8",
        "HOME": "/home/app",
        "USER": "app",
        "LOGNAME": "app",
    }


def test_margins_are_those_that_batch_is_told() -> None:
    assert batch_process.SAVE_MARGIN_S == deadline.SAVE_MARGIN_S


def test_what_is_forked_tells_by_its_code() -> None:
    assert batch_process._wait(batch_process.forked(lambda: 7)) == 7

    def raises() -> int:
        raise StoreError("no store")

    assert batch_process._wait(batch_process.forked(raises)) == StoreError.exit_code

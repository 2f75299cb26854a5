"""`python -m dayfly.backends.batch_process`: one point of a sweep, in a container of AWS Batch.

The child's index says which point it is, and Batch's own count which attempt. The container begins as root
with the credentials of the job's role. What talks to the store has them; the notebook must not. So this
process starts the runner as the image's user, without them in its environment, and forks a keeper of that
user, which nobody of that user may look into (prctl(2), PR_SET_DUMPABLE). It never touches the store itself:
the threads of whoever does would not survive a fork.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dayfly.errors import DayflyError, RunConflictError, RunNeverStartedError, StoreError
from dayfly.runs import layout

RUNS = Path("/dayfly/run")
"""In an image, where a run has its directory, whoever it runs as."""
SAVE_MARGIN_S = 300.0
"""What an attempt has after its notebook's time and grace, for the last save."""
LEAST_S = 30.0
"""A point that had less time than this until the deadline is not begun."""
_KEEPERS = 5
_LOOK_S = 0.1
_SECRET = ("AWS_", "ECS_", "DAYFLY_")
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the container was started with."""

    store: str
    sweep_id: str
    submission: int
    child: int
    """Counted over all array jobs of the submission."""
    attempt: int
    """Batch's own count, from 1."""
    deadline_epoch: float
    timeout_s: float
    """The notebook's time: what the sweep's request says, or less where its cost is capped."""


def read_job(environ: Mapping[str, str]) -> Job:
    """The job by its environment. Raises KeyError and ValueError for a container that Batch did not start."""
    return Job(
        store=environ["DAYFLY_STORE"],
        sweep_id=environ["DAYFLY_SWEEP"],
        submission=int(environ["DAYFLY_SUBMISSION"]),
        child=int(environ["DAYFLY_FIRST_CHILD"]) + int(environ.get("AWS_BATCH_JOB_ARRAY_INDEX") or 0),
        attempt=int(environ.get("AWS_BATCH_JOB_ATTEMPT") or 1),
        deadline_epoch=float(environ["DAYFLY_DEADLINE_EPOCH"]),
        timeout_s=float(environ["DAYFLY_TIMEOUT"]),
    )


def prepare(job: Job, folder: Path, runs: Path = RUNS, now: Callable[[], float] = time.time) -> None:
    """Make the run of this child in the store, and its directory here; leave word of it in `folder`.

    Raises RunConflictError when this attempt was begun before, RunNeverStartedError when the sweep was
    stopped or its deadline is too near, and StoreError.
    """
    from dayfly.runs.store import open_store

    store = open_store(job.store, instance_credentials=True)
    request, notebook = load_request(store, job, now())
    name = request.run_id
    if not store.create(layout.run_key(name, layout.REQUEST), request.to_bytes()):
        raise RunConflictError(f"The run {name} was begun before.")
    _say_preparing(store, name)
    store.put(layout.run_key(name, layout.INPUT), notebook)
    run_dir = runs / name
    (run_dir / layout.OUTPUTS).mkdir(parents=True)
    (run_dir / layout.REQUEST).write_bytes(request.to_bytes())
    (run_dir / layout.INPUT).write_bytes(notebook)
    (run_dir / layout.RUNNER_LOG).touch()
    bundle = folder / layout.BUNDLE
    if request.snapshot is not None:
        content = store.get(layout.snapshot_key(request.snapshot.commit))
        if content is None:
            raise StoreError(f"The store has no snapshot {request.snapshot.commit}.")
        bundle.write_bytes(content)
    user = request.image.user if request.image else None
    if user is None or user.uid == 0:
        raise StoreError(f"The request of {name} names no user for its notebook.")
    place = {
        "run_dir": str(run_dir),
        "bundle": str(bundle),
        "user": user.model_dump(),
        "ends_epoch": now() + (request.timeout_s or 0.0) + request.grace_s + SAVE_MARGIN_S,
    }
    (folder / "place.json").write_text(json.dumps(place), encoding="utf-8")


def load_request(store: Any, job: Job, now: float) -> tuple[Any, bytes]:
    """The request of this child's run, as short as the deadline wants it, and its notebook: five GETs."""
    from dayfly.runs.model import parse_model
    from dayfly.runs.sweep import SweepRequest, decode_points, request_of
    from dayfly.runs.sweep_batch import WIDTH, children_key, decode_child

    key = layout.sweep_key(job.sweep_id, layout.SWEEP)
    content, notebook = store.get(key), store.get(layout.sweep_key(job.sweep_id, layout.INPUT))
    if content is None or notebook is None:
        raise StoreError(f"The store has no sweep {job.sweep_id}.")
    sweep = parse_model(SweepRequest, content, key)
    if store.exists(layout.sweep_key(job.sweep_id, layout.STOP)):
        raise RunNeverStartedError("The sweep was stopped before this point began.")
    at = job.child * WIDTH
    child = decode_child(store.get_range(children_key(job.sweep_id, job.submission), at, at + WIDTH))
    points = layout.sweep_key(job.sweep_id, layout.POINTS)
    line = store.get_range(points, child.start, child.start + child.length)
    request = request_of(sweep, child.index, next(decode_points(line)), child.attempt + job.attempt - 1)
    left = job.deadline_epoch - now - request.grace_s - SAVE_MARGIN_S
    if left < LEAST_S:
        raise RunNeverStartedError("The sweep's deadline is too near for this point to begin.")
    return request.model_copy(update={"timeout_s": min(job.timeout_s, left)}), notebook


def _say_preparing(store: Any, run_id: str) -> None:
    from datetime import datetime

    from dayfly.runs.compat import UTC
    from dayfly.runs.state import State
    from dayfly.runs.status import put_status

    put_status(store, run_id, State.PREPARING, datetime.now(UTC))


def runner_environment(environ: Mapping[str, str], user: Mapping[str, Any]) -> dict[str, str]:
    """What the runner, and so the notebook, has of the container's environment: no credentials."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_SECRET)}
    return {**kept, "HOME": user["home"], "USER": user["name"], "LOGNAME": user["name"]}


def start_runner(place: Mapping[str, Any], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """The runner, as the image's user, which can become no other."""
    user = place["user"]
    log = Path(place["run_dir"], layout.RUNNER_LOG)
    module = ["-I", "-m", "dayfly.backends.container_process", place["run_dir"], place["bundle"]]
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *module],
            env=runner_environment(environ, user),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=user["uid"],
            group=user["gid"],
            extra_groups=list(user["groups"]),
            preexec_fn=_forgo_privileges,  # noqa: PLW1509 -- this process has one thread
            start_new_session=True,
        )


def _forgo_privileges() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def keep(place: Mapping[str, Any], store_url: str) -> int:
    """The keeper's work, in a process of its own, as the notebook's user, who may not look into it."""
    from dayfly.keeper.__main__ import main as keep_run

    user = place["user"]
    os.setgroups(user["groups"])
    os.setgid(user["gid"])
    os.setuid(user["uid"])
    # The change of user has done so already; whatever this kernel thinks of that.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.environ["DAYFLY_DEADLINE_EPOCH"] = str(int(place["ends_epoch"]))
    return keep_run(Path(place["run_dir"]), store_url, os.environ)


def forked(work: Callable[[], int]) -> int:
    """Do `work` in a child; its process id. What it raises is told on standard error."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = work()
    except DayflyError as error:
        sys.stderr.write(f"{error.what} {error.why}\n")
        code = error.exit_code
    except BaseException:  # noqa: BLE001 -- it must never go on as its parent would
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _bring_stop(place: Mapping[str, Any], job: Job) -> int:
    """Write stop.json into the run's directory when the whole sweep was stopped; 1 when it was not."""
    from dayfly.runs.store import open_store

    asked = open_store(job.store, instance_credentials=True).get(layout.sweep_key(job.sweep_id, layout.STOP))
    if asked is None:
        return 1
    user = place["user"]
    os.setgroups(user["groups"])
    os.setgid(user["gid"])
    os.setuid(user["uid"])
    new = Path(place["run_dir"], f".{layout.STOP}-sweep")
    new.write_bytes(asked)
    new.replace(new.with_name(layout.STOP))
    return 0


def _see_through(place: Mapping[str, Any], job: Job, runner: subprocess.Popen[bytes]) -> int:
    """Until the runner has ended and all is saved; a keeper that dies is followed by another."""
    asked: list[int] = []
    # Batch asks so for the end: of this job, or of its machine.
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    saved = StoreError.exit_code
    for _ in range(_KEEPERS):
        keeper = forked(lambda: keep(place, job.store))
        while (ended := os.waitpid(keeper, os.WNOHANG))[0] == 0:
            alive = runner.poll() is None  # which also reaps it: it must not look alive when it is not
            if asked and alive and _wait(forked(lambda: _bring_stop(place, job))) != 0:
                runner.send_signal(asked[0])
            asked.clear()
            time.sleep(_LOOK_S)
        saved = os.waitstatus_to_exitcode(ended[1])
        if saved in {0, StoreError.exit_code}:
            break
    code = runner.wait()
    return code if saved == 0 else StoreError.exit_code


def main(environ: Mapping[str, str], runs: Path = RUNS) -> int:
    """Run the child; returns its exit code, which tells how the run ended."""
    job = read_job(environ)
    folder = Path(tempfile.mkdtemp(prefix="dayfly-batch-"))

    def begin() -> int:
        prepare(job, folder, runs)
        return 0

    code = _wait(forked(begin))
    if code != 0:
        return code
    place = json.loads((folder / "place.json").read_text(encoding="utf-8"))
    _give_over(Path(place["run_dir"]), place["user"])
    if Path(place["bundle"]).exists():
        folder.chmod(0o755)
        Path(place["bundle"]).chmod(0o644)
    try:
        return _see_through(place, job, start_runner(place, environ))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _give_over(run_dir: Path, user: Mapping[str, Any]) -> None:
    for path in (run_dir, *run_dir.rglob("*")):
        os.chown(path, user["uid"], user["gid"])


if __name__ == "__main__":
    sys.exit(main(os.environ))

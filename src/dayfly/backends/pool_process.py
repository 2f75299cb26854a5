"""`python -m dayfly.backends.pool_process STORE SWEEP_ID [JOBS]`: runs the open points of a sweep, and ends.

One process a machine works on a sweep: it holds a lock. Its runs are runs like any other; what it knows is in
the store, so that it can be killed at any moment, and the next one goes on.

As in the runner (`runner.main`), the kernels' warm parent is begun first; then comes what takes time to
import, and checks what was read.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dayfly.backends.pool import LOG, default_jobs, pool_directory
from dayfly.errors import DayflyError, KernelMissingError, RunConflictError, StoreError
from dayfly.runner.kernelspecs import load_kernelspec
from dayfly.runner.launch import make_private_directory
from dayfly.runner.main import kernel_environment
from dayfly.runner.signals import ENDING, release_signals
from dayfly.runner.warm import NotWarmError, Warming, warm_kernels
from dayfly.runs import layout
from dayfly.runs.lock import acquire_lock
from dayfly.runs.store import Store, open_store

if TYPE_CHECKING:
    from dayfly.backends.pool_children import Start
    from dayfly.runs.sweep import SweepRequest


def main(store_url: str, sweep_id: str, jobs: int | None = None) -> int:
    """Run what is open; returns the exit code: 0, 12 when the sweep was stopped, 13 when the pool was.

    `jobs` is how many runs at once; None: as the sweep was asked for.
    """
    wake = _catch_signals()
    store = open_store(store_url)
    directory = pool_directory(store, sweep_id, os.environ)
    try:
        lock = acquire_lock(directory)
    except RunConflictError:
        return 0
    with suppress(OSError):
        os.truncate(directory / LOG, 0)  # what the pool before said is no longer so
    try:
        with ExitStack() as stack:
            # Whatever forks comes first: a store is spoken with by threads, and no fork carries them along.
            content = _read(store, sweep_id, layout.SWEEP)
            start = stack.enter_context(_start(store, content))
            return _work(store, _parse(content), start, jobs, wake)
    finally:
        os.close(lock)


def _parse(content: bytes) -> SweepRequest:
    from dayfly.runs.model import parse_model
    from dayfly.runs.sweep import SweepRequest

    return parse_model(SweepRequest, content, layout.SWEEP)


def _work(store: Store, sweep: SweepRequest, start: Start, jobs: int | None, wake: int) -> int:
    from dayfly.backends.pool_loop import Pool
    from dayfly.backends.pool_work import Work
    from dayfly.runs.sweep import decode_points

    points = list(decode_points(_read(store, sweep.sweep_id, layout.POINTS)))
    content = _read(store, sweep.sweep_id, layout.INPUT)
    pool = Pool(
        store=store,
        work=Work(store=store, sweep=sweep, points=points),
        content=content,
        start=start,
        jobs=jobs or sweep.jobs or default_jobs(sweep.run.cpus, sweep.run.memory_bytes),
        wake=wake,
    )
    return pool.run()


def _read(store: Store, sweep_id: str, name: str) -> bytes:
    """A file of the sweep; from the disk where it is there, see `main`. Raises StoreError."""
    key = layout.sweep_key(sweep_id, name)
    path = store.path(key)
    content = store.get(key) if path is None else path.read_bytes() if path.exists() else None
    if content is None:
        raise StoreError(f"There is no {key} in the store {store.url}.")
    return content


@contextmanager
def _start(store: Store, content: bytes) -> Iterator[Start]:
    """How runs of the sweep with this request begin: by forks where all is on this disk, else as usual."""
    run, preload = _glance(content)
    if store.root is None or run.get("backend") != "local" or not sys.platform.startswith("linux"):
        from dayfly.backends.pool_children import UsualStart

        yield UsualStart(store=store, environ=os.environ)
        return
    folder = make_private_directory()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        warming = _begin_warming(run, preload, folder, stack)
        from dayfly.backends.pool_children import ForkedStart
        from dayfly.backends.pool_nursery import nursery

        path = stack.enter_context(nursery(folder))
        kernels = None
        if warming is not None:
            try:
                kernels = warming.wait()
            except NotWarmError as error:
                _warn(str(error))
        start = ForkedStart(store=store, nursery=path, kernels=kernels)
        stack.callback(start.close)
        yield start


def _glance(content: bytes) -> tuple[dict[str, Any], list[str]]:
    """A run of the sweep, and what to preload; nothing where `_parse` will say that it is no request."""
    try:
        sweep = json.loads(content)
        run, preload = sweep["run"], sweep["preload"]
        return {**run, "python": {**run["python"]}}, [*preload]
    except (ValueError, LookupError, TypeError):
        return {}, []


def _begin_warming(
    run: Mapping[str, Any], preload: Sequence[str], folder: Path, stack: ExitStack
) -> Warming | None:
    # DAYFLY_OUTPUTS and DAYFLY_RUN_ID are each run's own.
    environ = kernel_environment(os.environ, {"python": run["python"], "run_id": ""}, Path())
    for name in ("DAYFLY_OUTPUTS", "DAYFLY_RUN_ID"):
        del environ[name]
    python = run["python"]
    try:
        spec = load_kernelspec(
            run["kernel"], python=python["executable"], prefix=Path(python["prefix"]), environ=environ
        )
        return stack.enter_context(
            warm_kernels(spec, preload, directory=folder, environ=environ, log=sys.stderr.buffer)
        )
    except (KernelMissingError, NotWarmError) as error:  # each run tells of the first
        if preload:
            _warn(str(error))
        return None


def _warn(why: str) -> None:
    sys.stderr.write(f"warning: Every kernel starts as usual, without preloading: {why}.\n")
    sys.stderr.flush()


def _catch_signals() -> int:
    """From now on, what would end us wakes the loop; returns the file descriptor that it reads."""
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for number in ENDING:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    release_signals()
    return read_end


if __name__ == "__main__":
    try:
        _code = main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if sys.argv[3:] else None)
    except DayflyError as _error:
        sys.stderr.write(f"{_error}\n")
        _code = _error.exit_code
    sys.stderr.flush()
    os._exit(_code)

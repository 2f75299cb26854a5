"""The runner's warm parent: a process of one thread that has imported the runner, and is forked for runners.

It is a server like that of the kernels (`runner.fork_server`), and as careful: nothing in it may start a
thread, so it never speaks with a store. Its children do, each for itself.

A runner whose run has succeeded takes the next one, since a fork and an end cost as much as half a run: its
pages are copied as they are touched, and taken apart. The kernels are each run's own.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dayfly.backends import local_process
from dayfly.runner.facts import Facts
from dayfly.runner.fork_server import Server, accept, take_another
from dayfly.runner.launch import KernelProcess, start_process
from dayfly.runner.main import Given
from dayfly.runner.parameters import load_translators
from dayfly.runner.signals import ENDING
from dayfly.runner.warm import Forked, WarmKernels
from dayfly.runs import layout
from dayfly.runs.receipt import GitSource

_COLLECT_AFTER = 50_000
_RUNS = 50
"""How many runs a runner has at most: whatever one may leave behind, fifty leave no more than so much."""
_GROWTH_KB = 64 * 1024
"""A runner that has held large outputs is not kept."""


def import_runner() -> None:
    """Everything that a run imports on its way; none of it starts a thread."""
    import importlib

    importlib.import_module("dayfly.runner.entry")  # first: it says what nbformat need not import
    importlib.import_module("dayfly.keeper.heart")
    importlib.import_module("dayfly.runs.status")
    importlib.import_module("obstore.store")
    importlib.import_module("obstore.exceptions")
    nbformat = importlib.import_module("nbformat")
    nbformat.v4.new_output("stream", text="")  # compiles the schema
    load_translators()


@contextmanager
def nursery(directory: Path) -> Iterator[str]:
    """Fork the warm parent; yields where its socket is. It ends when the block does, its runs by SIGTERM."""
    import_runner()
    path = str(directory / "runs")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(128)
    theirs, ours = os.pipe()
    parent = os.fork()
    if parent == 0:
        code = 1
        try:
            code = _serve(listener, theirs, directory)
        except BaseException:  # noqa: BLE001 -- the child of a fork must never return
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(code)
    listener.close()
    os.close(theirs)
    try:
        yield path
    finally:
        os.close(ours)
        os.waitpid(parent, 0)


def _serve(listener: socket.socket, alive: int, directory: Path) -> int:
    """In the nursery: fork until `alive` ends. Returns the exit code, of the nursery or of a child of it."""
    signal.pthread_sigmask(
        signal.SIG_BLOCK, ENDING
    )  # its end is that of the pool; a run takes them when it can
    os.dup2(alive, 0)
    kept = listener.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
    gc.set_threshold(_COLLECT_AFTER)
    gc.collect()
    gc.freeze()
    own = os.getpid()
    server = Server(listener, signal.SIGTERM)
    request = server.run()
    if request is not None:
        return _work(request, server.own, own)
    shutil.rmtree(directory, ignore_errors=True)  # a pool that was killed has left it
    return 0


def _work(request: Mapping[str, Any], connection: socket.socket, parent: int) -> int:
    """In a child: execute this run, and others that are asked for; returns the exit code of the last."""
    os.setsid()
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: nothing goes on without the pool
    if os.getppid() != parent:
        return 1
    size_kb = _size_kb()
    said = os.dup(2)  # where the pool speaks
    for left in reversed(range(_RUNS)):
        started: list[KernelProcess] = []
        code = _run(request, started)
        for descriptor in (1, 2):
            os.dup2(said, descriptor)
        os.chdir("/")
        # A kernel that was not forked elsewhere must come from a process of one thread: see start_process.
        as_it_was = (
            all(isinstance(kernel, Forked) for kernel in started)
            and threading.active_count() == 1
            and _size_kb() < size_kb + _GROWTH_KB
        )
        if code or not left or not as_it_was:
            break
        following = take_another(connection, code)
        if following is None or signal.sigpending() & set(ENDING) or not accept(connection):
            break
        request = following
    return code


def _size_kb() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _run(request: Mapping[str, Any], started: list[KernelProcess]) -> int:
    """Execute the run as `local_process` does; returns its exit code, and which kernel was `started`."""
    run_dir = Path(request["run_dir"])
    os.chdir(run_dir)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(run_dir / layout.RUNNER_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for descriptor, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    os.close(nothing)
    os.close(log)
    kernels = request["kernels"]
    begin = WarmKernels(**{**kernels, "argv": tuple(kernels["argv"])}).start if kernels else start_process

    def start(*arguments: Any) -> KernelProcess:
        started.append(begin(*arguments))
        return started[-1]

    code = local_process.main(run_dir, request["store"], Given(start=start, facts=_facts(request["facts"])))
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def encode_facts(facts: Facts) -> dict[str, Any]:
    """Facts as JSON has them."""
    return {**facts.__dict__, "git": facts.git.model_dump(mode="json") if facts.git else None}


def _facts(encoded: Mapping[str, Any]) -> Facts:
    git = encoded["git"]
    return Facts(**{**encoded, "git": GitSource.model_validate(git) if git else None})

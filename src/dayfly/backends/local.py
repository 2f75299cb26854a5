"""Runs on this machine: processes of their own that outlive the command that started them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from dayfly.backends.processes import Processes, start_processes
from dayfly.runner.directories import cache_directory
from dayfly.runs import layout
from dayfly.runs.request import Request
from dayfly.runs.store import Store


def start_local(store: Store, request: Request, content: bytes, environ: Mapping[str, str]) -> Processes:
    """Start the runner for a run that is in the store. Returns at once.

    With a store elsewhere, the run works in a directory in the user's cache and a keeper carries it.
    """
    directory = store.path(layout.run_key(request.run_id, ""))
    if directory is not None:
        commands = [_python("dayfly.backends.local_process", str(directory), store.url)]
    else:
        directory = scratch_directory(request, content, environ)
        commands = [
            _python("dayfly.backends.checkout_process", str(directory))
            if request.snapshot
            else _python("dayfly.runner", str(directory)),
            _python("dayfly.keeper", str(directory), store.url),
        ]
    return start_processes(commands, directory, environ, held=True)


def _python(*arguments: str) -> list[str]:
    # -P: a module of the user's beside the run must not stand in for one of ours
    return [sys.executable, "-P", "-m", *arguments]


def scratch_directory(request: Request, content: bytes, environ: Mapping[str, str]) -> Path:
    """Where a run works whose store is elsewhere."""
    directory = cache_directory(environ) / "runs" / request.run_id
    directory.mkdir(parents=True)
    (directory / layout.REQUEST).write_bytes(request.to_bytes())
    (directory / layout.INPUT).write_bytes(content)
    return directory

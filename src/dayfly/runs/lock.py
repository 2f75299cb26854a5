"""The runner's lock on its run directory: proof that it lives, and that it is the only one.

The kernel frees a flock when its holder dies, however it dies, so a lock that can be taken means
that the runner is gone. It holds for readers on the same machine; others go by heartbeats.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path

from dayfly.errors import RunConflictError
from dayfly.runs.layout import LOCK

_ATTEMPTS = 10


def acquire_lock(run_dir: Path) -> int:
    """Take the lock for the life of this process and return its file descriptor.

    Raises RunConflictError when another runner has it.
    """
    descriptor = os.open(run_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if attempt + 1 < _ATTEMPTS:
                # A reader that asks whether we live holds the lock for an instant.
                time.sleep(0.02)
                continue
            os.close(descriptor)
            raise RunConflictError(
                f"Another runner is executing {run_dir}.",
                why="A run directory is executed once.",
                hint="Follow it with: dayfly attach " + run_dir.name,
            ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode())
    return descriptor


def lock_holder(run_dir: Path) -> dict[str, object] | None:
    """Host and process id of the runner that took the lock, alive or not; None when none did."""
    try:
        content = json.loads((run_dir / LOCK).read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def runner_alive(run_dir: Path) -> bool | None:
    """Whether the runner lives; None when it cannot be known from this machine."""
    holder = lock_holder(run_dir)
    if holder is not None and holder.get("host") != socket.gethostname():
        return None
    try:
        descriptor = os.open(run_dir / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)

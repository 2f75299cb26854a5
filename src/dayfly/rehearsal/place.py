"""The folder of one rehearsal, which tells the next one whether it has ended as it should.

It is locked as long as its rehearsal lives, and the kernel frees the lock of whoever dies, however it dies: a
folder that is there and whose lock can be taken was left by one that was killed.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "dayfly-rehearsal-"
_LOCK = "lock"
_NAME = "name"


@contextmanager
def make_place() -> Iterator[Path]:
    """A new folder among the temporary files, locked for as long as the block lasts and removed after it."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        place = Path(folder)
        with (place / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write("held\n")  # a lock file that is empty may be about to be locked
            lock.flush()
            yield place


def write_name(place: Path, rehearsal_id: str) -> None:
    """Say what the containers and networks of this rehearsal are called, before there are any."""
    (place / _NAME).write_text(rehearsal_id, encoding="utf-8")


def find_abandoned() -> dict[Path, str]:
    """Folders of killed rehearsals of this computer: each with the name written in it, or an empty one."""
    found = {}
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        if _is_free(lock):
            name = lock.with_name(_NAME)
            found[lock.parent] = name.read_text(encoding="utf-8") if name.exists() else ""
    return found


def remove_place(place: Path) -> None:
    """Remove the folder of one that was killed, when nothing else is left of it."""
    shutil.rmtree(place, ignore_errors=True)


def _is_free(lock: Path) -> bool:
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return bool(file.read())
    except OSError:  # it is held, or has just been removed, or is another user's
        return False

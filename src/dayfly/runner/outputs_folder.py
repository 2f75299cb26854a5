"""Collecting the files a notebook leaves: what it wrote to its project's outputs folder.

What it writes to DAYFLY_OUTPUTS is in the run directory already. A project may name another folder
(the `outputs` setting); runs that share it take turns, so that their files are never mixed.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

_POLL_S = 0.2

Stamp = tuple[int, int, int]


def _stamps(folder: Path, store: Path) -> dict[str, Stamp]:
    """Size, modification time and inode of each file under `folder`; links are not followed.

    A `store` that lies in the folder, as in a project whose outputs folder is the project, is left out.
    """
    found: dict[str, Stamp] = {}
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(parent, name) != store]
        for name in files:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                status = path.stat()
                relative = path.relative_to(folder).as_posix()
                found[relative] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return found


@asynccontextmanager
async def collect_folder(
    folder: Path, into: Path, on_wait: Callable[[], None], given_up: Callable[[], bool]
) -> AsyncIterator[Callable[[], int]]:
    """Hold `folder` for one run; yields a function that copies what the run changed to `into`.

    That function returns the number of files. `on_wait` is called when another run has the folder,
    and waiting for it ends when `given_up` says so.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        await _lock(descriptor, on_wait, given_up)
        store = into.parents[2]  # into is runs/<id>/outputs
        before = _stamps(folder, store)

        def collect() -> int:
            changed = [name for name, stamp in _stamps(folder, store).items() if before.get(name) != stamp]
            for name in changed:
                target = into / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(folder / name, target)
            return len(changed)

        yield collect
    finally:
        os.close(descriptor)


async def _lock(descriptor: int, on_wait: Callable[[], None], given_up: Callable[[], bool]) -> None:
    waited = False
    while not given_up():
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waited:
                on_wait()
            waited = True
            await asyncio.sleep(_POLL_S)
        else:
            return

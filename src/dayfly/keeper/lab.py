"""`python -m dayfly.keeper.lab WORK STORE_URL PREFIX`: keeps what is changed in a lab's project.

Once a minute, and at the end, which SIGTERM asks for. What lies in the folder at the beginning is the commit
and is in the store already. What is deleted stays in the store: nothing is ever lost.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dayfly.errors import StoreError
from dayfly.runs.store import Store, open_store

SAVE_S = 60.0
LAST_SAVE_WITHIN_S = 90.0
_LEFT_OUT = {".ipynb_checkpoints", "__pycache__"}

Stamp = tuple[int, int]


class LabFolder:
    """A project's folder, and what of it is in the store."""

    def __init__(self, folder: Path, store: Store, prefix: str) -> None:
        self._folder = folder
        self._store = store
        self._prefix = prefix
        self._kept = dict(self._files())

    def save(self) -> list[str]:
        """Put what has changed; a sentence for each file that could not be."""
        problems = []
        for name, stamp in self._files():
            if self._kept.get(name) == stamp:
                continue
            try:
                self._store.put(f"{self._prefix}/{name}", self._folder / name)
            except StoreError as error:
                problems.append(f"{name}: {error.why or error.what}")
            else:
                self._kept[name] = stamp
        return problems

    def _files(self) -> Iterator[tuple[str, Stamp]]:
        for parent, folders, names in os.walk(self._folder):
            folders[:] = [name for name in folders if name not in _LEFT_OUT]
            for name in names:
                path = Path(parent, name)
                try:
                    status = path.stat()
                except OSError:
                    continue  # it is gone, or a link to nowhere
                if path.is_file() and not path.is_symlink():
                    yield path.relative_to(self._folder).as_posix(), (status.st_mtime_ns, status.st_size)


def keep_lab(
    folder: LabFolder,
    over: threading.Event,
    *,
    save_s: float = SAVE_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Save until `over`, then once more with patience; what could not be saved is returned."""
    while not over.wait(save_s):
        folder.save()
    deadline = clock() + LAST_SAVE_WITHIN_S
    while (problems := folder.save()) and clock() < deadline:
        sleep(1.0)
    return problems


def main(folder: Path, store_url: str, prefix: str) -> int:
    """Keep the folder; returns the exit code."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    store = open_store(store_url, instance_credentials=True)
    problems = keep_lab(LabFolder(folder, store, prefix), over)
    for problem in problems:
        sys.stderr.write(f"upload_failed: {problem}\n")
    return StoreError.exit_code if problems else 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case [work, url, prefix]:
            sys.exit(main(Path(work), url, prefix))
        case _:
            sys.exit("usage: python -m dayfly.keeper.lab WORK STORE_URL PREFIX")

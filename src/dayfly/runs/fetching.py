"""Bringing a run's notebook and outputs into a directory of the user's."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from dayfly.errors import RunConflictError, StoreError
from dayfly.runs import layout
from dayfly.runs.store import Store

_SHOWN = 5


def fetch_run(store: Store, run_id: str, directory: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Copy output.ipynb and outputs/ into `directory`, made when missing; yields each path written.

    Files that are there with the same content are left alone. Raises RunConflictError, before anything is
    written, when one differs and `overwrite` is not set, and StoreError for a key that would lead out
    of the directory.
    """
    prefix = layout.run_prefix(run_id)
    wanted = [
        entry
        for entry in store.list(prefix.rstrip("/"))
        if entry.key == prefix + layout.OUTPUT or entry.key.startswith(f"{prefix}{layout.OUTPUTS}/")
    ]
    if not wanted:
        raise RunConflictError(
            f"The run {run_id} has left no files.", hint=f"See why with: dayfly show {run_id}"
        )
    targets = {entry.key: _target(directory, entry.key.removeprefix(prefix)) for entry in wanted}
    there = {key for key, target in targets.items() if _is_same(store, key, target)}
    missing = {key: target for key, target in targets.items() if key not in there}
    in_the_way = [target for target in missing.values() if target.exists() or target.is_symlink()]
    if in_the_way and not overwrite:
        shown = ", ".join(str(path) for path in in_the_way[:_SHOWN])
        files = "A file is" if len(in_the_way) == 1 else f"{len(in_the_way)} files are"
        raise RunConflictError(
            f"{files} in the way in {directory}.",
            why=f"They differ from those of the run: {shown}{' ...' if len(in_the_way) > _SHOWN else ''}.",
            hint="Fetch into another directory, or overwrite them with --force.",
        )
    return _copy(store, missing)


def fetch_folder(store: Store, folder: str, directory: Path) -> Iterator[Path]:
    """Copy what lies under the key `folder` into `directory`, which is new; yields each path written.

    Raises RunConflictError when `directory` is there already, StoreError for a key that would lead out of it.
    """
    if directory.exists() or directory.is_symlink():
        raise RunConflictError(f"{directory} is in the way.", hint="Name another directory.")
    keys = [entry.key for entry in store.list(folder)]
    return _copy(store, {key: _target(directory, key.removeprefix(f"{folder}/")) for key in keys})


def _copy(store: Store, targets: dict[str, Path]) -> Iterator[Path]:
    for key, target in targets.items():
        content = store.get(key) or b""
        temporary = target.with_name(f".dayfly-{secrets.token_hex(8)}")  # no file of the run
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.replace(target)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise RunConflictError(f"{target} cannot be written.", why=str(error)) from error
        yield target


def _target(directory: Path, name: str) -> Path:
    """Where a file of the run goes; never outside `directory`, whatever its key and the links there."""
    parts = PurePosixPath(name).parts
    target = directory.joinpath(*parts)
    try:
        inside = target.parent.resolve().is_relative_to(directory.resolve())
        target.lstat()  # a name that is too long fails here
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # too long, or a null byte
        raise StoreError(f"{directory} cannot hold a file of the name {name!r}.", why=str(error)) from error
    if name.startswith("/") or ".." in parts or "\\" in name or not inside:
        raise StoreError(f"The store holds a file whose name leads out of {directory}: {name!r}.")
    return target


def _is_same(store: Store, key: str, target: Path) -> bool:
    return target.is_file() and not target.is_symlink() and target.read_bytes() == store.get(key)

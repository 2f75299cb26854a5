"""What must not be carried, or cannot: found out from the list of files before anything is made."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dayfly.errors import SnapshotError
from dayfly.snapshot.git import GITLINK, SYMLINK, Entry, readable
from dayfly.snapshot.names import Allowed, is_secret_name
from dayfly.snapshot.objects import read_blobs
from dayfly.snapshot.paths import find_escaping_link, is_safe_name
from dayfly.snapshot.scan import check_contents

SIZE_LIMIT = 2 << 30
_SHOWN = 5


def check_entries(  # noqa: PLR0913 -- by name
    repository: Path,
    entries: Sequence[Entry],
    *,
    environ: dict[str, str],
    allowed: Allowed,
    cache: Path | None,
    size_limit: int,
) -> None:
    """Raise SnapshotError for the first thing that must not be carried."""
    _check_submodules(entries)
    _check_size(entries, size_limit)
    _check_names(entries)
    _check_links(repository, entries, environ)
    _check_secret_names(entries, allowed)
    check_contents(repository, entries, environ=environ, allowed=allowed, cache=cache)


def _check_submodules(entries: Sequence[Entry]) -> None:
    modules = [entry.path for entry in entries if entry.mode == GITLINK]
    if modules:
        raise SnapshotError(
            f"The repository has submodules: {name_some(modules)}.",
            why="A snapshot carries one repository; what lies in a submodule would be missing.",
            hint="Install what it has as a package, or copy it in: `git rm --cached PATH`, remove its .git, "
            "and `git add PATH`.",
        )


def _check_size(entries: Sequence[Entry], limit: int) -> None:
    total = sum(entry.size for entry in entries)
    if total <= limit:
        return
    largest = sorted(entries, key=lambda entry: -entry.size)[:_SHOWN]
    shown = "\n".join(f"  {entry.size / 1e6:,.1f} MB  {readable(entry.path)}" for entry in largest)
    raise SnapshotError(
        f"The snapshot would have {total / 1e6:,.1f} MB; it may have {limit / 1e6:,.1f} MB.",
        why=f"The largest of its files:\n{shown}",
        hint="Keep data out of Git (`git rm --cached FILE`, and a line in .gitignore) and let the notebook "
        "fetch it.",
    )


def _check_names(entries: Sequence[Entry]) -> None:
    names = {name for entry in entries for name in entry.path.split("/")}
    unsafe = {name for name in names if not is_safe_name(os.fsencode(name))}
    for entry in entries if unsafe else ():
        if not unsafe.isdisjoint(entry.path.split("/")):
            raise SnapshotError(
                f"{readable(entry.path)} has a name that cannot be carried.",
                why="Some file system takes a part of it for .git.",
                hint="Rename the file.",
            )


def _check_links(repository: Path, entries: Sequence[Entry], environ: dict[str, str]) -> None:
    paths = [entry for entry in entries if entry.mode == SYMLINK]
    if not paths:
        return
    targets = dict(read_blobs(repository, [entry.oid for entry in paths], environ=environ))
    links = {os.fsencode(entry.path): targets[entry.oid] for entry in paths}
    escaping = find_escaping_link(links)
    if escaping is not None:
        raise SnapshotError(
            f"The link {readable(os.fsdecode(escaping))} leads out of the repository.",
            why=f"It points to {readable(os.fsdecode(links[escaping]))}, which would be missing elsewhere.",
            hint="Remove the link, have Git ignore it, or replace it by what it points to.",
        )


def _check_secret_names(entries: Sequence[Entry], allowed: Allowed) -> None:
    for entry in entries:
        if is_secret_name(entry.path) and not allowed(entry.path):
            path = readable(entry.path)
            quoted = path.replace("\\", "\\\\").replace('"', '\\"')
            raise SnapshotError(
                f"{path} looks like a secret by its name.",
                why="It is tracked by Git, so the snapshot would carry it.",
                hint=f"Take it out of Git (`git rm --cached -- {path}`, and a line in .gitignore), or,\n"
                f'if it is no secret, allow it in dayfly.toml: allow_secrets = ["/{quoted}"]',
            )


def name_some(paths: Sequence[str]) -> str:
    """The first few of the paths, in words."""
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(readable(path) for path in paths[:_SHOWN]) + more

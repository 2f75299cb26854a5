"""What a run is made of: the notebook, and the snapshot of the project that it is executed in."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dayfly.backends.asked import STANDARD_INPUT, Asked
from dayfly.errors import SnapshotError, UsageError
from dayfly.project.load import Project
from dayfly.runner.directories import cache_directory
from dayfly.runs import layout

if TYPE_CHECKING:
    from dayfly.snapshot.plan import Snapshot

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Source:
    """A notebook's content and, unless it runs in the working tree, the snapshot to run it in."""

    content: bytes
    snapshot: Snapshot | None = None
    bundle: Path | None = None
    """The snapshot's bundle, as long as the source is open."""
    notebook: PurePosixPath | None = None
    """The notebook's path in the repository; None for one that is not from there."""
    as_working_tree: bool = True
    """Whether the snapshot holds what the working tree holds."""


@contextmanager
def find_source(asked: Asked, project: Project, environ: Mapping[str, str]) -> Iterator[Source]:
    """Read the notebook from where it is to come from. Creates nothing in the project.

    The bundle of its snapshot is there inside the `with` block.

    Raises UsageError and SnapshotError.
    """
    if asked.commit is not None and asked.dirty:
        raise UsageError(
            "--commit and --dirty exclude each other.", why="A commit is what it is; --dirty carries changes."
        )
    if asked.backend == "local" and asked.commit is None and not asked.dirty:
        yield Source(content=asked.content if asked.content is not None else _read(asked.notebook))
        return
    from dayfly.snapshot.bundle import write_bundle
    from dayfly.snapshot.plan import changed_files, find_repository, has_commits, plan_snapshot

    folder = Path.cwd() if asked.notebook == STANDARD_INPUT else Path(asked.notebook).absolute().parent
    repository = find_repository(_existing(folder))
    if repository is None:
        raise SnapshotError(
            f"{folder} is in no Git repository.",
            why="What runs in a container or from a commit must be what the receipt says: a commit.",
            hint="Make it one with: dayfly init && git add --all && git commit\n"
            "or run the notebook as it is: --on local",
        )
    undecided = asked.commit is None and not asked.dirty
    if undecided and not has_commits(repository):
        raise SnapshotError(
            f"The repository {repository} has no commit yet.",
            why="What runs in a container must be what the receipt says: a commit.",
            hint="Commit first (git add --all && git commit), or run the tree as it is: --dirty",
        )
    changed = changed_files(repository) if undecided else []
    dirty = asked.dirty or (bool(changed) and _carry_changes(asked, changed))
    with (
        tempfile.TemporaryDirectory(prefix="dayfly-") as scratch,
        plan_snapshot(
            repository,
            commit=asked.commit,
            dirty=dirty,
            allow_secrets=project.settings.allow_secrets,
            cache=cache_directory(environ),
        ) as snapshot,
    ):
        for name in snapshot.left_out:
            asked.echo(f"Left out, for its name is that of a secret: {name}")
        source = _from_snapshot(asked, snapshot, as_working_tree=dirty or not (changed or asked.commit))
        bundle = Path(scratch, layout.BUNDLE)
        write_bundle(snapshot, bundle)
        yield replace(source, bundle=bundle)


def _from_snapshot(asked: Asked, snapshot: Snapshot, *, as_working_tree: bool) -> Source:
    if asked.notebook == STANDARD_INPUT:
        content = asked.content if asked.content is not None else _read(asked.notebook)
        return Source(content=content, snapshot=snapshot, as_working_tree=as_working_tree)
    from dayfly.snapshot.plan import read_file

    path = Path(os.path.normpath(Path(asked.notebook).absolute()))
    try:
        relative = PurePosixPath(path.relative_to(snapshot.repository))
    except ValueError:
        relative = PurePosixPath(path.resolve().relative_to(snapshot.repository.resolve()))
    found = read_file(snapshot, str(relative))
    if found is None:
        there = "It is in the working tree, but not in that commit." if path.exists() else ""
        raise UsageError(
            f"There is no notebook {relative} in the commit {snapshot.commit[:12]}.",
            why=there,
            hint="Name a commit that has it, commit it, or run the working tree as it is: --dirty"
            if there
            else "See which Git has with: git ls-files '*.ipynb'",
        )
    return Source(content=found, snapshot=snapshot, notebook=relative, as_working_tree=as_working_tree)


def _carry_changes(asked: Asked, changed: list[str]) -> bool:
    """Whether the changes are to be carried; whoever asked decides."""
    if asked.on_dirty is not None:
        return asked.on_dirty(changed)
    more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    raise SnapshotError(
        "The working tree differs from the last commit.",
        why=f"These do: {', '.join(changed[:_SHOWN])}{more}. What runs must be what the receipt says.",
        hint="Run the tree as it is with --dirty, the last commit with --commit HEAD, or commit first.",
    )


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def _read(notebook: str) -> bytes:
    if notebook == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(notebook).read_bytes()
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no notebook {notebook}.", hint=f"The current directory is {Path.cwd()}."
        ) from error
    except OSError as error:
        raise UsageError(f"{notebook} cannot be read.", why=str(error.strerror)) from error

"""Calling Git so that nothing around it changes what it does: no variables, hooks, locks or questions."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dayfly.errors import SnapshotError

SYMLINK, GITLINK = "120000", "160000"
_KEPT = {
    # Where the user's own configuration is, and how far up to look for a repository.
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CEILING_DIRECTORIES",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
}
_SETTINGS = [
    "core.hooksPath=/dev/null",  # post-index-change would be told of an index that is not the user's
    "core.fsmonitor=false",
    "core.splitIndex=false",  # would write beside the user's index
    "core.safecrlf=false",
    "core.quotePath=false",
    "add.ignoreErrors=false",
    "pack.compression=1",
]


class Entry(NamedTuple):
    """A file of a tree."""

    path: str
    mode: str
    oid: str
    size: int


def git_environment(*, objects: Path | None = None, index: Path | None = None) -> dict[str, str]:
    """The environment for Git: of its own variables only those that name the user's configuration.

    `objects` is where new objects go; `index` stands in for the user's.
    """
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT
    }
    environ |= {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    if objects is not None:
        environ["GIT_OBJECT_DIRECTORY"] = str(objects)
    if index is not None:
        environ["GIT_INDEX_FILE"] = str(index)
    return environ


def git_command(directory: Path, arguments: Sequence[str]) -> list[str]:
    """The whole command line of Git."""
    settings = [part for setting in _SETTINGS for part in ("-c", setting)]
    return ["git", "-C", str(directory), *settings, *arguments]


def try_git(
    directory: Path,
    *arguments: str,
    environ: dict[str, str] | None = None,
    data: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    """What Git answered, whether it succeeded or not. Raises SnapshotError when there is no Git."""
    command, environ = git_command(directory, arguments), environ or git_environment()
    try:
        return subprocess.run(command, env=environ, input=data, capture_output=True, check=False)
    except FileNotFoundError as error:
        if not directory.is_dir():
            raise SnapshotError(f"{directory} is no directory.") from error
        raise SnapshotError(
            "Git is not installed.",
            why="A snapshot is taken of a Git repository, by the program `git`.",
            hint="Install Git, for instance with your system's packages.",
        ) from error


def git(
    directory: Path,
    *arguments: str,
    environ: dict[str, str] | None = None,
    data: bytes = b"",
) -> bytes:
    """What Git printed. Raises SnapshotError with Git's own words when it failed."""
    done = try_git(directory, *arguments, environ=environ, data=data)
    if done.returncode:
        raise SnapshotError(
            f"Git could not do its part of the snapshot (git {arguments[0]}).",
            why=done.stderr.decode("utf-8", "replace").strip() or f"It ended with {done.returncode}.",
            hint=f"Try `git -C {directory} status`, which may say more.",
        )
    return done.stdout


def git_line(directory: Path, *arguments: str, environ: dict[str, str] | None = None) -> str:
    """The one line that Git printed, which may be a path with any character."""
    return os.fsdecode(git(directory, *arguments, environ=environ).removesuffix(b"\n"))


def list_tree(
    repository: Path, tree: str, *, environ: dict[str, str]
) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """The files of a tree with their sizes, and the ids of all its subtrees; sizes of gitlinks are 0."""
    listed = os.fsdecode(
        git(repository, "ls-tree", "-r", "-t", "-l", "-z", "--full-tree", tree, environ=environ)
    )
    entries, trees = [], []
    for line in listed.split("\0")[:-1]:
        facts, _, path = line.partition("\t")
        mode, kind, oid, size = facts.split()
        if kind == "tree":
            trees.append(oid)
        else:
            entries.append(Entry(path, mode, oid, int(size) if size != "-" else 0))
    return tuple(entries), tuple(dict.fromkeys(trees))


def readable(path: str) -> str:
    """A path as a message shows it: quoted when it has what a terminal would not print."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return text if text.isprintable() else repr(text)

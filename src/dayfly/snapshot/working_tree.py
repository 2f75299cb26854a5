"""The working tree as a commit that no ref names and whose objects lie beside the repository.

Git does the work, on a copy of the index and with an object directory of its own, so the repository's index,
HEAD, refs and objects and the working tree stay as they are, also in the middle of a merge.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dayfly.errors import SnapshotError
from dayfly.snapshot.git import git, git_environment, git_line, readable
from dayfly.snapshot.names import Allowed, is_secret_name

STORE = ".dayfly"
_IDENTITY = "dayfly <dayfly@localhost>"
_MESSAGE = "Uncommitted changes, carried by dayfly\n"


@dataclass(frozen=True, kw_only=True)
class WorkingTree:
    """A working tree, written as a tree into `objects`."""

    tree: str
    left_out: tuple[str, ...]


def write_working_tree(repository: Path, scratch: Path, objects: Path, allowed: Allowed) -> WorkingTree:
    """Write the working tree's files and trees into `objects`; `scratch` is a directory for the index.

    What Git ignores, stores of runs and untracked files with a secret's name are not taken.
    """
    index = scratch / "index"
    _copy_index(Path(git_line(repository, "rev-parse", "--git-path", "index")), repository, index)
    _point_to_repository(repository, objects)
    environ = git_environment(objects=objects, index=index)
    taken, left_out = _sort_untracked(repository, environ, allowed)
    git(repository, "add", "--update", environ=environ)
    if taken:
        names = b"".join(os.fsencode(path) + b"\0" for path in taken)
        git(repository, "update-index", "--add", "--replace", "-z", "--stdin", environ=environ, data=names)
    tree = git_line(repository, "write-tree", "--missing-ok", environ=environ)
    return WorkingTree(tree=tree, left_out=tuple(left_out))


def write_commit(repository: Path, tree: str, base: str | None, *, environ: dict[str, str]) -> str:
    """A commit of the tree on `base`; the same tree and base make the same commit, whoever and whenever."""
    moment = "0 +0000"
    if base is not None:
        header = git(repository, "cat-file", "commit", base, environ=environ).partition(b"\n\n")[0]
        committer = next(line for line in header.split(b"\n") if line.startswith(b"committer "))
        moment = f"{committer.split()[-2].decode('ascii')} +0000"
    parent = f"parent {base}\n" if base else ""
    who = f"author {_IDENTITY} {moment}\ncommitter {_IDENTITY} {moment}\n"
    content = f"tree {tree}\n{parent}{who}\n{_MESSAGE}".encode("ascii")
    written = git(repository, "hash-object", "-t", "commit", "-w", "--stdin", environ=environ, data=content)
    return written.decode("ascii").strip()


def _copy_index(source: Path, repository: Path, target: Path) -> None:
    """Copy the index with its modification time, by which Git knows which of its entries to mistrust."""
    try:
        with (repository / source).open("rb") as file:
            status = os.fstat(file.fileno())
            target.write_bytes(file.read())
    except FileNotFoundError:
        return  # nothing was ever added
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _point_to_repository(repository: Path, objects: Path) -> None:
    """Let Git find in `objects` what the repository has. The path is quoted as Git quotes it, as in C."""
    real = os.fsencode((repository / git_line(repository, "rev-parse", "--git-path", "objects")).absolute())
    quoted = b"".join(
        bytes([byte]) if byte >= ord(" ") and byte not in b'"\\' else b"\\%03o" % byte for byte in real
    )
    (objects / "info").mkdir(parents=True)
    (objects / "info" / "alternates").write_bytes(b'"' + quoted + b'"\n')


def _sort_untracked(
    repository: Path, environ: dict[str, str], allowed: Allowed
) -> tuple[list[str], list[str]]:
    """The untracked files to take, and those to leave because their names are those of secrets."""
    command = ("ls-files", "-z", "--others", "--exclude-standard", f"--exclude={STORE}/")
    listed = os.fsdecode(git(repository, *command, environ=environ)).split("\0")[:-1]
    taken, left_out = [], []
    for path in listed:
        if path.endswith("/"):
            raise SnapshotError(
                f"{readable(path)} is a Git repository of its own.",
                why="A snapshot carries one repository.",
                hint=f"Move it out of {repository}, or have Git ignore it (.gitignore).",
            )
        if is_secret_name(path) and not allowed(path):
            left_out.append(path)
        else:
            taken.append(path)
    return taken, left_out

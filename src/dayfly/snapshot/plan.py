"""What a snapshot would carry, found out before anything is made."""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dayfly.errors import SnapshotError, UsageError
from dayfly.snapshot.checks import SIZE_LIMIT, check_entries
from dayfly.snapshot.git import SYMLINK, Entry, git, git_environment, git_line, list_tree, readable, try_git
from dayfly.snapshot.names import Allowed, allow, is_secret_name
from dayfly.snapshot.working_tree import STORE, write_commit, write_working_tree

_LINKS_FOLLOWED = 10


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A commit that may be carried: its files were looked at, and none must stay."""

    repository: Path
    """The top of the working tree."""
    commit: str
    """What is carried: a commit of the repository, or one that only this snapshot has."""
    tree: str
    base: str | None
    """The commit that a dirty working tree is based on; `commit` itself when not dirty."""
    branch: str | None
    dirty: bool
    """Whether `commit` is a synthetic commit of the working tree, which differs from `base`."""
    files: int
    size_bytes: int
    left_out: tuple[str, ...]
    """Untracked files that were not taken because their names are those of secrets."""
    entries: tuple[Entry, ...] = field(default=(), repr=False)
    """The files, in Git's order."""
    trees: tuple[str, ...] = field(default=(), repr=False)
    """The ids of all trees below `tree`."""
    objects: Path | None = field(default=None, repr=False)
    """Where the objects are that the repository does not have, as long as the plan is open."""

    def environment(self) -> dict[str, str]:
        """The environment in which Git finds all objects of the snapshot."""
        return git_environment(objects=self.objects)


def find_repository(start: Path) -> Path | None:
    """The top of the working tree that a directory lies in; None when it lies in none."""
    if not start.is_dir():
        return None
    found = try_git(start, "rev-parse", "--show-toplevel")
    if found.returncode == 0:
        top = os.fsdecode(found.stdout.removesuffix(b"\n"))
        return Path(top) if top else None
    words = found.stderr.decode("utf-8", "replace").strip()
    if "dubious ownership" in words:
        raise SnapshotError(f"Git does not trust the repository around {start}.", why=words)
    return None


def has_commits(repository: Path) -> bool:
    """Whether HEAD is a commit; it is none in a repository that was just made."""
    return try_git(repository, "rev-parse", "--quiet", "--verify", "HEAD^{commit}").returncode == 0


def changed_files(repository: Path) -> list[str]:
    """The files that differ from HEAD, and the untracked ones not ignored by Git.

    An untracked file with the name of a secret makes no difference: no snapshot takes it.
    """
    command = ("status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
    lines = os.fsdecode(git(repository, *command, "--ignore-submodules=none")).split("\0")[:-1]
    paths = [line[3:] for line in lines if not (line.startswith("??") and is_secret_name(line[3:]))]
    return [path for path in paths if STORE not in path.split("/")[:-1]]


@contextmanager
def plan_snapshot(  # noqa: PLR0913 -- each may be left out
    start: Path,
    *,
    commit: str | None = None,
    dirty: bool = False,
    allow_secrets: Sequence[str] = (),
    cache: Path | None = None,
    size_limit: int = SIZE_LIMIT,
) -> Iterator[Snapshot]:
    """Find out what would be carried of the repository that the directory `start` lies in.

    `commit` is anything that Git takes for a commit, HEAD when not given; `dirty` takes the working tree
    instead. The snapshot can be read and bundled inside the `with` block; nothing of the repository is
    changed. `cache` is a directory that remembers which contents were found to be without secrets. Raises
    SnapshotError for what must not or cannot be carried: secrets (unless `allow_secrets` has a pattern, as in
    `.gitignore`, for the file), submodules, files in Git LFS, links that lead out, more than `size_limit`.
    """
    if commit is not None and dirty:
        raise UsageError("A snapshot is of a commit or of the working tree, not of both.")
    repository = find_repository(start)
    if repository is None:
        raise SnapshotError(
            f"{start} is not in a Git repository.",
            why="A snapshot is a commit, so that it is known later what ran.",
            hint="Make one with: git init && git add . && git commit -m 'First version'",
        )
    allowed = allow(allow_secrets)
    with tempfile.TemporaryDirectory(prefix="dayfly-snapshot-") as scratch:
        found = _plan_dirty(repository, Path(scratch), allowed) if dirty else _plan_commit(repository, commit)
        check_entries(
            repository,
            found.entries,
            environ=found.environment(),
            allowed=allowed,
            cache=cache,
            size_limit=size_limit,
        )
        yield found


def read_file(snapshot: Snapshot, path: str) -> bytes | None:
    """The content of a file of the snapshot, by its posix path from the top; None when there is none.

    Links within the snapshot are followed.
    """
    entries = {entry.path: entry for entry in snapshot.entries}
    for _ in range(_LINKS_FOLLOWED):
        entry = entries.get(posixpath.normpath(path))
        if entry is None:
            return None
        content = git(snapshot.repository, "cat-file", "blob", entry.oid, environ=snapshot.environment())
        if entry.mode != SYMLINK:
            return content
        path = posixpath.join(posixpath.dirname(entry.path), os.fsdecode(content))
    return None


def _plan_commit(repository: Path, wanted: str | None) -> Snapshot:
    named = wanted or "HEAD"
    commit, tree = _resolve(repository, named)
    entries, trees = list_tree(repository, tree, environ=git_environment())
    return Snapshot(
        repository=repository,
        commit=commit,
        tree=tree,
        base=commit,
        branch=_branch_of(repository, named),
        dirty=False,
        files=len(entries),
        size_bytes=sum(entry.size for entry in entries),
        left_out=(),
        entries=entries,
        trees=trees,
    )


def _plan_dirty(repository: Path, scratch: Path, allowed: Allowed) -> Snapshot:
    objects = scratch / "objects"
    written = write_working_tree(repository, scratch, objects, allowed)
    environ = git_environment(objects=objects)
    head = try_git(repository, "rev-parse", "HEAD^{commit}", "HEAD^{tree}")
    base, base_tree = _lines(head.stdout) if head.returncode == 0 else (None, None)
    if base is None or base_tree != written.tree:
        commit = write_commit(repository, written.tree, base, environ=environ)
    else:
        commit = base
    entries, trees = list_tree(repository, written.tree, environ=environ)
    return Snapshot(
        repository=repository,
        commit=commit,
        tree=written.tree,
        base=base,
        branch=_branch_of(repository, "HEAD"),
        dirty=commit != base,
        files=len(entries),
        size_bytes=sum(entry.size for entry in entries),
        left_out=written.left_out,
        entries=entries,
        trees=trees,
        objects=objects,
    )


def _resolve(repository: Path, wanted: str) -> tuple[str, str]:
    """The ids of a commit and of its tree."""
    if wanted and "\0" not in wanted and "\n" not in wanted:
        command = ("rev-parse", "--verify", "--quiet", "--end-of-options")
        found = try_git(repository, *command, f"{wanted}^{{commit}}")
        if found.returncode == 0:
            commit = _lines(found.stdout)[-1]
            return commit, git_line(repository, "rev-parse", f"{commit}^{{tree}}")
    if wanted == "HEAD":
        raise SnapshotError(
            f"{repository} has no commit yet.",
            hint="Commit something, or carry the working tree as it is with --dirty.",
        )
    raise SnapshotError(
        f"{repository} has no commit {readable(wanted)!r}.",
        why="No branch, tag or commit of this clone is called so, or several commits begin so.",
        hint="Look with `git log --oneline --all`; what others have pushed comes with `git fetch --tags`.",
    )


def _branch_of(repository: Path, named: str) -> str | None:
    """The branch that is called so; for HEAD, the one that is checked out, which may have no commit yet."""
    if named == "HEAD":
        found = try_git(repository, "symbolic-ref", "--quiet", "HEAD")
    else:
        found = try_git(repository, "rev-parse", "--verify", "--quiet", "--symbolic-full-name", named)
    name = os.fsdecode(found.stdout.strip())
    return name.removeprefix("refs/heads/") if name.startswith("refs/heads/") else None


def _lines(answer: bytes) -> list[str]:
    return answer.decode("ascii").split()

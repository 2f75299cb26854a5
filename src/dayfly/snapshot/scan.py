"""Looking into every file that would be carried, once for each content."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from dayfly.errors import SnapshotError
from dayfly.snapshot.detect import Finding, find_secrets, rules_version
from dayfly.snapshot.git import SYMLINK, Entry, readable
from dayfly.snapshot.names import Allowed
from dayfly.snapshot.objects import read_blobs

BASELINE = ".secrets.baseline"
_POINTER = b"version https://git-lfs.github.com/spec/"
_LARGEST_POINTER = 1024
_CACHE_LIMIT = 32 << 20
_SHOWN = 5


def check_contents(
    repository: Path,
    entries: Sequence[Entry],
    *,
    environ: dict[str, str],
    allowed: Allowed,
    cache: Path | None,
) -> None:
    """Raise SnapshotError when a file holds a secret, or is a pointer of Git LFS.

    What was found to be neither is remembered by its id in a file under `cache`.
    """
    paths: dict[str, list[str]] = {}
    for entry in entries:
        if entry.mode != SYMLINK:
            paths.setdefault(entry.oid, []).append(entry.path)
    clean = _CleanBlobs(cache)
    waiting = clean.without(paths)
    pointers: list[str] = []
    found: list[tuple[str, Finding]] = []
    for oid, content in read_blobs(repository, waiting, environ=environ) if waiting else ():
        if len(content) <= _LARGEST_POINTER and content.startswith(_POINTER):
            pointers += paths[oid]
            continue
        findings = list(find_secrets(content))
        if not findings:
            clean.add(oid)
        found += [
            (path, finding) for path in paths[oid] if findings and not allowed(path) for finding in findings
        ]
    clean.save()
    if pointers:
        raise _is_in_lfs(pointers)
    if found:
        known = _read_baseline(repository, entries, environ)
        found = [(path, finding) for path, finding in found if (path, finding.digest) not in known]
    if found:
        raise _holds_secret(found)


def _is_in_lfs(paths: list[str]) -> SnapshotError:
    shown = ", ".join(readable(path) for path in paths[:_SHOWN]) + (" ..." if len(paths) > _SHOWN else "")
    return SnapshotError(
        f"Files are kept in Git LFS: {shown}.",
        why="Git has only pointers to them, so the notebook would find those instead of the files.",
        hint="Take them out of LFS with `git lfs untrack PATTERN` and commit them as they are, or let the "
        "notebook fetch its data.",
    )


def _holds_secret(found: list[tuple[str, Finding]]) -> SnapshotError:
    seen = dict.fromkeys((path, finding.line, finding.kind) for path, finding in found)
    (path, line, kind), *rest = seen
    others = [f"{readable(path)}, line {line}: {kind}" for path, line, kind in rest[:_SHOWN]]
    if len(rest) > _SHOWN:
        others.append(f"and {len(rest) - _SHOWN} more")
    quoted = readable(path).replace("\\", "\\\\").replace('"', '\\"')
    return SnapshotError(
        f"{readable(path)}, line {line}: this looks like a secret ({kind}).",
        why="\n".join(
            ["It would be carried with the snapshot.", *(["So would:"] if others else []), *others]
        ),
        hint="Remove it, and revoke it if it was ever pushed. If it is none, write\n"
        "`# pragma: allowlist secret` at the end of its line, or allow the file in dayfly.toml:\n"
        f'allow_secrets = ["/{quoted}"]',
    )


def _read_baseline(
    repository: Path, entries: Sequence[Entry], environ: dict[str, str]
) -> set[tuple[str, str]]:
    """What `.secrets.baseline` knows, by file and SHA-1: the secrets that detect-secrets' user has seen."""
    oids = [entry.oid for entry in entries if entry.path == BASELINE and entry.mode != SYMLINK]
    known: set[tuple[str, str]] = set()
    for _, content in read_blobs(repository, oids, environ=environ):
        with suppress(ValueError, AttributeError, KeyError, TypeError):
            for path, secrets in json.loads(content)["results"].items():
                known |= {(path, secret["hashed_secret"]) for secret in secrets}
    return known


class _CleanBlobs:
    """The ids of contents without secrets, in a file that only grows; a broken one is as good as none."""

    def __init__(self, cache: Path | None) -> None:
        self._file = cache / "clean-blobs" / rules_version() if cache else None
        self._added: list[str] = []

    def without(self, oids: Iterable[str]) -> list[str]:
        """Those of the ids that are not known to be clean, in their order."""
        known: set[str] = set()
        if self._file is not None:
            with suppress(OSError):
                known = set(self._file.read_text(encoding="ascii", errors="replace").split("\n"))
        return [oid for oid in oids if oid not in known]

    def add(self, oid: str) -> None:
        """Remember a content."""
        self._added.append(oid)

    def save(self) -> None:
        """Write what was added; that it cannot be written is no reason to stop."""
        if self._file is None or not self._added:
            return
        lines = "".join(f"\n{oid}\n" if number == 0 else f"{oid}\n" for number, oid in enumerate(self._added))
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            if self._file.exists() and self._file.stat().st_size > _CACHE_LIMIT:
                self._file.unlink()
            # One write at the end of the file: others may write at the same time.
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, lines.encode("ascii"))
            finally:
                os.close(descriptor)

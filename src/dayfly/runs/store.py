"""The store: where run directories live. One set of calls over a local directory, S3 and memory.

obstore does the work. What is added: our errors, a URL or path in, and the local path of a key
where there is one (for the runner, which works on files).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from dayfly.errors import StoreError, UsageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_UPLOADS = 2
"""Parts of 5 MiB that are on their way at once. Each has 30 s, and on a home's uplink obstore's twelve
would share the line until none came through."""


_LOG_IN = "Log in again: aws sso login, and repeat the command."
_MENDS = {
    "ExpiredToken": _LOG_IN,
    "TokenRefreshRequired": _LOG_IN,
    "SSOTokenError": _LOG_IN,
    "RequestTimeTooSkewed": "The clock of this computer is wrong: set it by the network's time.",
}
"""What to do, by what S3 or boto3 calls the error."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One object of a listing: its key, its size in bytes, when it was last written (UTC)."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, kw_only=True)
class Store:
    """Objects under keys. Make one with `open_store`; `root` is None unless it is a directory."""

    objects: ObjectStore = field(repr=False)
    url: str
    root: Path | None = None
    clock: Callable[[], datetime] | None = field(default=None, repr=False)
    """The time by the clock of the store, which `Entry.modified` is of; None where that is our own."""

    def get(self, key: str) -> bytes | None:
        """The object, or None when there is none."""
        import obstore

        try:
            return bytes(obstore.get(self.objects, key).bytes())
        except FileNotFoundError:
            return None
        except _failures() as error:
            raise self._error("read", key, error) from error

    def get_range(self, key: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (exclusive) of an object that has at least as many."""
        import obstore

        if end <= start:
            return b""
        try:
            return bytes(obstore.get_range(self.objects, key, start=start, end=end))
        except _failures() as error:
            raise self._error("read", key, error) from error

    def put(self, key: str, data: bytes | Path | IO[bytes]) -> None:
        """Write an object whole, or replace it; a reader sees the old one or the new one."""
        import obstore

        self._check_place(key)
        try:
            obstore.put(self.objects, key, data, max_concurrency=_UPLOADS)
        except _failures() as error:
            raise self._error("write", key, error) from error

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one already; True when this call made it."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            obstore.put(self.objects, key, data, mode="create")
        except (AlreadyExistsError, PreconditionError):
            return False
        except _failures() as error:
            raise self._error("write", key, error) from error
        return True

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        import obstore

        try:
            obstore.head(self.objects, key)
        except FileNotFoundError:
            return False
        except _failures() as error:
            raise self._error("read", key, error) from error
        return True

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[Entry]:
        """Every object whose key lies under `prefix` (a folder) and sorts after `after`."""
        import obstore

        try:
            for chunk in obstore.list(self.objects, prefix, offset=after, chunk_size=1000):
                for meta in chunk:
                    yield Entry(key=meta["path"], size=meta["size"], modified=meta["last_modified"])
        except _failures() as error:
            raise self._error("list", prefix, error) from error

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are not there are no error."""
        import obstore

        try:
            if self.root is None:
                obstore.delete(self.objects, list(keys))
                return
            for key in keys:
                (self.root / key).unlink(missing_ok=True)
        except _failures() as error:
            raise self._error("delete from", keys[0], error) from error

    def _check_place(self, key: str) -> None:
        """Raise StoreError for a folder that is mounted and deleted: obstore would try for ever."""
        if self.root is None:
            return
        with suppress(OSError):
            if (self.root / key).parent.stat().st_nlink == 0:
                raise StoreError(
                    f"Could not write the store {self.url} ({key}).", why="Its folder was deleted."
                )

    def path(self, key: str) -> Path | None:
        """Where the object lies on this machine's disk, or None for a store that is elsewhere."""
        return self.root / key if self.root is not None else None

    def _error(self, verb: str, key: str, error: BaseException) -> StoreError:
        first = (str(error).strip() or type(error).__name__).split("\n\nDebug")[0]
        said = re.search(r"<Code>(.*?)</Code>\s*<Message>(.*?)</Message>", first, re.DOTALL)
        if said:  # S3 answers in XML
            first = f"{said[1]}: {said[2]}"
        hint = next((hint for words, hint in _MENDS.items() if words in first), "")
        return StoreError(f"Could not {verb} the store {self.url} ({key}).", why=first, hint=hint)


def open_store(url: str | Path, *, instance_credentials: bool = False) -> Store:
    """The store at a local directory (made when missing), `s3://bucket/prefix` or `memory://`.

    S3 credentials, region and endpoint come from where the AWS CLI has them; `instance_credentials` is for
    what runs in an image on a machine, where there is no boto3 to find them. Raises UsageError
    for any other scheme and StoreError when the directory cannot be made.
    """
    text = os.fspath(url)
    if text.startswith("s3://"):
        from dayfly.runs.s3 import S3Clock, open_s3

        objects = open_s3(text, instance_credentials=instance_credentials)
        return Store(objects=objects, url=text, clock=S3Clock())
    from obstore.store import LocalStore, MemoryStore

    if text == "memory://":
        return Store(objects=MemoryStore(), url=text)
    if "://" in text:
        raise UsageError(
            f"Cannot use {text!r} as a store.",
            hint="A store is a local directory or an s3://bucket/prefix URL.",
        )
    root = Path(text).expanduser().absolute()
    try:
        root.mkdir(parents=True, exist_ok=True)
        _hide_from_git(root)
    except OSError as error:
        raise StoreError(f"Could not make the store directory {root}.", why=str(error)) from error
    return Store(objects=LocalStore(root), url=str(root), root=root)


def _hide_from_git(root: Path) -> None:
    """A store inside a repository ignores itself, as virtual environments do."""
    ignore = root / ".gitignore"
    if root.name == ".dayfly" and not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")


def _failures() -> tuple[type[BaseException], ...]:
    from obstore.exceptions import BaseError

    return (BaseError, OSError, ValueError)

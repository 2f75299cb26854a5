"""What AWS has said and will say again for a while: small JSON files in the user's cache.

A fact is kept with the time at which AWS said it, so that whoever shows it can show that too. Files are
replaced whole, so that two processes at once do no harm; one that is damaged, or of another version, is as
good as none. A cache that cannot be written (a full disk, a home without write permission) costs
time and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict

from dayfly.aws.client import Aws
from dayfly.runner.directories import cache_directory

T = TypeVar("T")
_VERSION = "1"
"""In the folder's name: raised when a kept form changes, so that no older dayfly's file is read."""
_CLOCKS_DIFFER = timedelta(minutes=5)
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9.-]+")


class Fact(BaseModel, Generic[T]):
    """Something that AWS has said, and when (UTC)."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    value: T


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Facts in a directory. `now` is the clock by which they age."""

    directory: Path
    now: Callable[[], datetime]

    def remember(
        self, key: str, kind: type[Fact[T]], *, max_age: timedelta, load: Callable[[], T]
    ) -> Fact[T]:
        """The fact under `key` when it is not older than `max_age`; else what `load` returns, which is kept.

        What `load` raises is raised, and nothing is kept.
        """
        found = self.find(key, kind, max_age=max_age)
        return found if found is not None else self.save(key, kind, load())

    def find(self, key: str, kind: type[Fact[T]], *, max_age: timedelta) -> Fact[T] | None:
        """The fact under `key`; None when there is none, it is too old, from the future, or damaged."""
        try:
            fact = kind.model_validate_json(self._file(key).read_bytes())
        except (OSError, ValueError):
            return None
        age = self.now() - fact.at
        return fact if -_CLOCKS_DIFFER <= age <= max_age else None

    def save(self, key: str, kind: type[Fact[T]], value: T) -> Fact[T]:
        """Keep `value` as said just now, and return it as a fact."""
        fact = kind(at=self.now().astimezone(UTC), value=value)
        with suppress(OSError):
            _replace(self._file(key), fact.model_dump_json().encode())
        return fact

    def forget(self, key: str) -> None:
        """Ask AWS the next time."""
        with suppress(OSError):
            self._file(key).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        """Keys may hold anything; their hash tells those apart that would have one file's name."""
        digest = hashlib.sha256(key.encode()).hexdigest()[:8]
        return self.directory / f"{_NOT_IN_A_NAME.sub('-', key)[:80]}-{digest}.json"


def open_cache(aws: Aws, environ: Mapping[str, str]) -> Cache:
    """The cache of what this AWS says. One reached at another endpoint (`AWS_ENDPOINT_URL`) has its own."""
    endpoint = re.sub(r"^https?://", "", aws.ec2.meta.endpoint_url)
    folder = _NOT_IN_A_NAME.sub("-", endpoint).strip("-.")
    return Cache(directory=cache_directory(environ) / "aws" / f"v{_VERSION}" / folder, now=aws.now)


def _replace(file: Path, content: bytes) -> None:
    """A reader sees the old content or the new one, never a part."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as new:
            new.write(content)
        Path(name).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise

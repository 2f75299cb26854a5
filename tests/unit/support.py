"""What the unit tests share: records with defaults, a clock of their own, stores that count or fail."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from obstore.store import MemoryStore

from dayfly.errors import StoreError
from dayfly.runs import layout
from dayfly.runs.receipt import FileHash, KernelFacts, Receipt
from dayfly.runs.request import PythonEnvironment, Request
from dayfly.runs.result import CellCounts, Reason, Result
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Entry, Store

RUN_ID = "20261123-101502-analysis-7f3a"
Calls = list[tuple[Any, ...]]
Keys = list[str]
NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)


def make_request(run_id: str = RUN_ID, **changes: Any) -> Request:
    """A request for the run, with everything that has no default."""
    fields: dict[str, Any] = {
        "run_id": run_id,
        "created": NOW,
        "notebook": "/home/ada/analysis.ipynb",
        "kernel": "python3",
        "python": PythonEnvironment(executable="/env/bin/python", prefix="/env", source="a test"),
        "cwd": "/home/ada",
    }
    return Request(**{**fields, **changes})


def make_result(run_id: str = RUN_ID, state: State = State.SUCCEEDED, **changes: Any) -> Result:
    """A result of the run."""
    fields: dict[str, Any] = {
        "run_id": run_id,
        "state": state,
        "reason": Reason.COMPLETED,
        "message": "Every cell was executed.",
        "started": NOW,
        "ended": NOW + timedelta(seconds=5),
        "duration_s": 5.0,
        "cells": CellCounts(code=1, executed=1),
    }
    return Result(**{**fields, **changes})


def make_receipt(files: dict[str, FileHash], run_id: str = RUN_ID) -> Receipt:
    """A receipt of the run for these files."""
    return Receipt(
        run_id=run_id,
        created=NOW,
        dayfly="0.1.0",
        platform="Linux",
        host="here",
        notebook="/home/ada/analysis.ipynb",
        parameters={},
        kernel=KernelFacts(name="python3"),
        files=files,
    )


def put_run(store: Store, run_id: str = RUN_ID, state: State = State.SUCCEEDED) -> str:
    """A run in the store as far as a listing sees it: a request and a status object; returns its id."""
    store.put(layout.run_key(run_id, layout.REQUEST), make_request(run_id).to_bytes())
    put_status(store, run_id, state, NOW)
    return run_id


def code_cell(source: str = "1", **fields: Any) -> dict[str, Any]:
    """A code cell that was never executed."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": source,
        **fields,
    }


def markdown_cell(source: str = "text") -> dict[str, Any]:
    """A markdown cell."""
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def tagged(tag: str, source: str) -> dict[str, Any]:
    """A code cell with one tag."""
    return code_cell(source, metadata={"tags": [tag]})


def make_notebook(*cells: dict[str, Any], language: str = "python", minor: int = 4) -> dict[str, Any]:
    """A notebook of these cells."""
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": language}}
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": minor}


def to_content(notebook: dict[str, Any]) -> bytes:
    """The notebook as a file has it."""
    return json.dumps(notebook).encode()


def wait_for(look: Callable[[], object], *, within_s: float = 20) -> None:
    """Look until it is so; a test that waits in vain fails."""
    deadline = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


@dataclass
class FakeClock:
    """Time that passes only when somebody sleeps."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass(frozen=True, kw_only=True)
class RecordingStore(Store):
    """A store that notes each call: (`get`, key), (`put`, key, bytes), (`list`, prefix);
    and each key that a listing gave.
    """

    calls: Calls = field(default_factory=list)
    listed: Keys = field(default_factory=list)

    def get(self, key: str) -> bytes | None:
        self.calls.append(("get", key))
        return super().get(key)

    def get_range(self, key: str, start: int, end: int) -> bytes:
        self.calls.append(("get", key, end - start))
        return super().get_range(key, start, end)

    def put(self, key: str, data: bytes | Path | IO[bytes]) -> None:
        size = len(data) if isinstance(data, bytes) else data.stat().st_size if isinstance(data, Path) else 0
        self.calls.append(("put", key, size))
        super().put(key, data)

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[Entry]:
        self.calls.append(("list", prefix))
        for entry in super().list(prefix, after=after):
            self.listed.append(entry.key)
            yield entry

    def count(self, kind: str) -> int:
        """How many calls of this kind there were."""
        return sum(call[0] == kind for call in self.calls)

    def puts(self) -> Keys:
        """The keys that were written, in order."""
        return [call[1] for call in self.calls if call[0] == "put"]


@dataclass(frozen=True, kw_only=True)
class FailingStore(RecordingStore):
    """A store whose next `failures` writes fail; those to a key that contains a word of `refuses`, always."""

    failures: deque[None] = field(default_factory=deque)
    refuses: tuple[str, ...] = ()

    def put(self, key: str, data: bytes | Path | IO[bytes]) -> None:
        if self.failures:
            self.failures.pop()
            raise StoreError("The store is down.")
        if any(word in key for word in self.refuses):
            raise StoreError("The store refuses this key.")
        super().put(key, data)


def recording_store() -> RecordingStore:
    """A recording store in memory."""
    return RecordingStore(objects=MemoryStore(), url="memory://")


def failing_store(failures: int = 0, *, refuses: tuple[str, ...] = ()) -> FailingStore:
    """A store in memory that fails."""
    return FailingStore(
        objects=MemoryStore(), url="memory://", failures=deque([None] * failures), refuses=refuses
    )

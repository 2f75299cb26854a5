"""Results of runs in a store elsewhere, as they were read before: they never change, so they are kept.

A run that was removed may come again under its id: with each goes the time of the status that told its end.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dayfly.runs.state import State
from dayfly.runs.store import Store

Lean = dict[str, Any]
"""What a table needs of a `result.json`."""
_LARGEST_KEPT_BYTES = 64 * 1024
"""A result with more recorded than this is asked for again rather than kept."""
_FIELDS = {"run_id", "state", "reason", "message", "started", "duration_s", "failed_cell", "records", "as_of"}
_STATES = frozenset(str(state) for state in State)


@dataclass(frozen=True)
class Kept:
    """Results that were read before: JSON lines in a file of the user's alone. None: nothing is kept.

    Lines are only ever added; one that is damaged, by whatever, is as good as none, and a cache that cannot
    be written costs time and nothing else.
    """

    file: Path | None = None

    @classmethod
    def of(cls, directory: Path | None, store: Store, sweep_id: str) -> Kept:
        """What is kept of a sweep in a store. Of one on this disk or in memory nothing is."""
        if directory is None or store.root is not None or store.url == "memory://":
            return cls()
        name = hashlib.sha256(f"2\n{store.url}\n{sweep_id}".encode()).hexdigest()[:32]
        return cls(directory / f"{name}.jsonl")

    def load(self) -> dict[str, Lean]:
        """All of it, by run id."""
        if self.file is None:
            return {}
        try:
            lines = self.file.read_bytes().splitlines()
        except OSError:
            return {}
        found: dict[str, Lean] = {}
        for line in lines:
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                lean = json.loads(line)
                if lean.keys() >= _FIELDS and lean["state"] in _STATES:
                    found[lean["run_id"]] = lean
        return found

    def add(self, results: Sequence[Lean]) -> None:
        """Keep these as well."""
        if self.file is None or not results:
            return
        lines = [line for each in results if len(line := json.dumps(each)) <= _LARGEST_KEPT_BYTES]
        data = "".join(f"{line}\n" for line in lines).encode()
        with suppress(OSError):
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # One write to the end of the file: two commands at once do not mix their lines.
            descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                # After a line that was cut off, the next begins anew.
                os.write(descriptor, b"\n" + data)
            finally:
                os.close(descriptor)

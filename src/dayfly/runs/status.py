"""The status object: one small object a run, under `status/<run-id>`.

It is rewritten at each change of state and at each heartbeat, so that **one LIST tells the state
of a thousand runs without a GET**: the object's time of last modification is the last heartbeat
(by the store's own clock), and its *size* names the state. The content, for people and for
whoever has it already, is JSON padded with spaces to that size.
(`docs/decisions/0001-state-in-a-listing.md` says why.)
"""

from __future__ import annotations

import json
from datetime import datetime

from dayfly.runs.layout import status_key
from dayfly.runs.state import State
from dayfly.runs.store import Store

_BASE_BYTES = 512
_ORDER = tuple(State)
"""The position of a state is its code: append new states, never reorder."""


def encode_status(run_id: str, state: State, at: datetime) -> bytes:
    """The content of a status object; its length is the code of `state`."""
    text = json.dumps({"run_id": run_id, "state": state, "at": at.isoformat()})
    return text.ljust(_BASE_BYTES + _ORDER.index(state) - 1).encode() + b"\n"


def state_of_size(size: int) -> State | None:
    """The state that a status object of `size` bytes names; None when it names none we know."""
    code = size - _BASE_BYTES
    return _ORDER[code] if 0 <= code < len(_ORDER) else None


def put_status(store: Store, run_id: str, state: State, at: datetime) -> None:
    """Say that the run is in `state` and alive at `at`."""
    store.put(status_key(run_id), encode_status(run_id, state, at))

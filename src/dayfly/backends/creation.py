"""A submission into the store: from then on the run exists."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from dayfly.errors import DamagedFileError, StoreError
from dayfly.runs import ids, layout
from dayfly.runs.model import parse_model
from dayfly.runs.request import Request
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store

if TYPE_CHECKING:
    from dayfly.backends.batch_target import BatchTarget
    from dayfly.backends.ec2_target import Ec2Target

_ID_ATTEMPTS = 20


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A request that has been checked, the notebook that goes with it, and the commit's bundle."""

    request: Request
    content: bytes
    bundle: IO[bytes] | None = None
    """Of the commit to carry; None for a run in the working tree, or whose bundle is in the store."""
    target: Ec2Target | None = None
    batch: BatchTarget | None = None
    """Where in AWS, for a run on a machine."""
    token: str | None = None
    """Two submissions with one token are one run."""


def create_run(store: Store, submission: Submission) -> Request:
    """Put the request into the store: from now on the run exists. Returns the request as it stands.

    The run directory is this run's alone: the request is created, never overwritten, and an id that is
    taken is replaced by another. A token that has made a run already gives that one.
    """
    request = submission.request
    if submission.token is not None:
        request = request.model_copy(update={"run_id": _run_id_of(store, submission.token, request)})
    if submission.bundle is not None and request.snapshot is not None:
        key = layout.snapshot_key(request.snapshot.commit)
        with submission.bundle as bundle:
            if not store.exists(key):  # all runs of a commit share it
                store.put(key, bundle)
    for _ in range(_ID_ATTEMPTS):
        if _create(store, request, submission.content):
            return request
        if submission.token is not None:
            return _made_before(store, request, submission.content)
        again = ids.new_run_id(ids.notebook_slug(request.run_id), datetime.now(UTC))
        request = request.model_copy(update={"run_id": again})
    raise StoreError(f"No free run id could be found in {store.url}.")


def _run_id_of(store: Store, token: str, request: Request) -> str:
    """The id of the run that the token has made, or, from now on, makes."""
    key = layout.token_key(hashlib.sha256(token.encode()).hexdigest())
    if store.create(key, request.run_id.encode()):
        return request.run_id
    found = (store.get(key) or b"").decode("ascii", "replace")
    if not ids.is_run_id(found):
        raise DamagedFileError(f"{key} in the store {store.url} is damaged.", why="It should be a run id.")
    return found


def _made_before(store: Store, request: Request, content: bytes) -> Request:
    """The request that is in the store; what was cut off after it is made good."""
    found = store.get(layout.run_key(request.run_id, layout.REQUEST)) or b""
    if not store.exists(layout.status_key(request.run_id)):
        _complete(store, request, content)
    return parse_model(Request, found, layout.REQUEST)


def _create(store: Store, request: Request, content: bytes) -> bool:
    """Put a run that is not there; False when its id is taken. Of one that is cut off nothing stays."""
    key, ours = layout.run_key(request.run_id, layout.REQUEST), request.to_bytes()
    try:
        created = store.create(key, ours)
        if created:
            _complete(store, request, content)
    except BaseException:
        with suppress(StoreError):
            if store.get(key) == ours:  # else it is of another who was given the same token
                input_key = layout.run_key(request.run_id, layout.INPUT)
                store.delete([layout.status_key(request.run_id), input_key, key])
        raise
    return created


def _complete(store: Store, request: Request, content: bytes) -> None:
    """What a run needs beside its request."""
    state = State.PROVISIONING if request.machine is not None else State.REQUESTED
    store.put(layout.run_key(request.run_id, layout.INPUT), content)
    put_status(store, request.run_id, state, request.created)

"""A sweep: many runs of one notebook. `sweeps/<sweep-id>/sweep.json` and `points.jsonl`, immutable both.

A sweep id has the form of a run id. The run of point 7 is `<sweep-id>.7` (zeros in front, so that a listing
has them in order), a later attempt at it `<sweep-id>.7.2`. So the runs of a sweep are runs like any other,
and one listing of their status objects tells the state of a thousand points.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from dayfly.runs.ids import child_id
from dayfly.runs.model import Model
from dayfly.runs.request import Request


class SweepRequest(Model):
    """One sweep as it was asked for. Durations are seconds, money is dollars, times are UTC."""

    version: Literal[1] = 1
    sweep_id: str
    created: AwareDatetime
    run: Request
    """What the requests of all points are made of: `run_id` is the sweep's, `parameters` what all share."""
    notebook_sha256: str
    """Its `notebook_identity`."""
    base: str
    """What makes two points of two sweeps comparable: see `base_identity`."""
    count: int
    points_sha256: str
    names: tuple[str, ...]
    """The parameters that differ between points, in the order asked for."""
    jobs: int | None = None
    """How many runs at once, as first asked for: whoever goes on may say another number.

    None: as many as cores and memory bear.
    """
    retries: int = 0
    preload: tuple[str, ...] = ()
    """Modules that the kernels' common parent imports before it is forked."""
    max_cost: float | None = None
    price_per_hour: Decimal | None = None
    """Dollars for an hour of one point, at most, where points share machines; None where it is not known."""


class Point(Model):
    """One point: its own parameters; and the run of an earlier sweep, where one stands for it."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    run: str | None = None


def encode_points(points: Sequence[Point]) -> bytes:
    """`points.jsonl`: a line a point, in order; the line's number from 0 is the point's index."""
    lines = (json.dumps(_lean(point), ensure_ascii=False, separators=(",", ":")) for point in points)
    return "".join(f"{line}\n" for line in lines).encode()


def _lean(point: Point) -> dict[str, Any]:
    return {"parameters": point.parameters} | ({"run": point.run} if point.run else {})


def decode_points(content: bytes) -> Iterator[Point]:
    """The points of `points.jsonl`, in order."""
    for line in content.splitlines():
        raw = json.loads(line)
        # Ours, and its hash was compared: to check ten thousand of them once more takes its time.
        yield Point.model_construct(parameters=raw["parameters"], run=raw.get("run"))


def canonical(value: Any) -> bytes:
    """JSON in one form for equal values (1 and 1.0 differ: a notebook may tell them apart)."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def notebook_identity(content: bytes) -> str:
    """What of a notebook makes its points what they are: types, sources and tags of its cells, as a SHA-256.

    Outputs, counters, ids and the form of the JSON are left out: an editor changes them whenever it saves.
    Of what has no cells in that way, all bytes count.
    """
    try:
        cells = [
            [cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", [])]
            for cell in json.loads(content)["cells"]
        ]
        content = canonical(cells)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    return hashlib.sha256(content).hexdigest()


def base_identity(run: Request, notebook_sha256: str) -> str:
    """What all points of a sweep share of their identity: code, environment and notebook.

    Code is the commit's tree, or the working directory where there is no snapshot (then nothing tells whether
    a file beside the notebook was changed); environment is the image's content, or the Python environment.
    """
    code = {"tree": run.snapshot.tree} if run.snapshot else {"cwd": run.cwd}
    environment = (
        {"image": run.image.key, "platform": run.image.platform}
        if run.image
        else {"prefix": run.python.prefix}
    )
    return hashlib.sha256(
        canonical(
            {
                **code,
                **environment,
                "notebook": notebook_sha256,
                "kernel": run.kernel,
                "allow_errors": run.allow_errors,
            }
        )
    ).hexdigest()


def point_identity(base: str, shared: Mapping[str, Any], point: Point) -> str:
    """The identity of a point: two with the same one are one run."""
    return hashlib.sha256(base.encode() + canonical({**shared, **point.parameters})).hexdigest()


def request_of(sweep: SweepRequest, index: int, point: Point, attempt: int = 1) -> Request:
    """The request of one point's run. Where runs share a disk, each has a checkout of its own."""
    run_id = child_id(sweep.sweep_id, index, sweep.count, attempt)
    changes: dict[str, Any] = {
        "run_id": run_id,
        "parameters": {**sweep.run.parameters, **point.parameters},
    }
    snapshot = sweep.run.snapshot
    if snapshot is not None and sweep.run.backend == "local":
        own = f"{snapshot.checkout}{run_id.removeprefix(sweep.sweep_id)}"
        changes["snapshot"] = snapshot.model_copy(update={"checkout": own})
        for name in ("cwd", "outputs"):
            path = getattr(sweep.run, name)
            if path is not None and f"{path}/".startswith(f"{snapshot.checkout}/"):
                changes[name] = own + path[len(snapshot.checkout) :]
    return sweep.run.model_copy(update=changes)

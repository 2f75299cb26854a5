"""The checkout of a commit that a run is executed in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def prepare_checkout(bundle: Path) -> Callable[[dict[str, Any]], None]:
    """What a runner does before its kernel starts: unpack `bundle` where the request says.

    A run without a snapshot needs none. Raises SnapshotError when the bundle is not that commit.
    """

    def prepare(request: dict[str, Any]) -> None:
        source = request.get("snapshot")
        if source is None:
            return
        # Without a snapshot nobody pays for this import.
        from dayfly.snapshot.unpack import unpack_bundle

        unpack_bundle(bundle, Path(source["checkout"]), commit=source["commit"])
        Path(request["cwd"]).mkdir(parents=True, exist_ok=True)

    return prepare

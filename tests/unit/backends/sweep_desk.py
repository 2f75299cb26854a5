"""A user who asks for sweeps, and a pool that ends their runs as it is told to."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dayfly.backends.asked import Asked
from dayfly.backends.sweep_plan import SweepPlan, SweepWish, plan_sweep
from dayfly.backends.sweep_points import grid_from_flags
from dayfly.backends.sweep_start import begin_sweep
from dayfly.backends.sweep_view import Sweep
from dayfly.project.load import load_project
from dayfly.runs import ids
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store

ENVIRON: Mapping[str, str] = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}


@dataclass
class FakePool:
    """Ends each open point as it is told to, and remembers who asked for what."""

    ends: Mapping[int, State] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    ran: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, store: Store, sweep_id: str, environ: Mapping[str, str]) -> FakePool:
        self.started.append(sweep_id)
        sweep = Sweep(sweep_id, store)
        for index, attempt in sweep.look().open.items():
            self.ran.append((index, attempt))
            run_id = ids.child_id(sweep_id, index, sweep.request.count, attempt)
            put_status(store, run_id, self.ends.get(index, State.SUCCEEDED), datetime.now(UTC))
        return self

    def wait(self, timeout_s: float | None = None) -> bool:
        return True

    def leave(self) -> None:
        pass

    def interrupt(self) -> None:
        pass


@dataclass
class Desk:
    """A user with a notebook that takes `a` (a whole number) and `b` (text)."""

    folder: Path
    store: Store
    minutes: int = 0

    def plan(self, *pairs: str, wish: Mapping[str, Any] | None = None, **settings: Any) -> SweepPlan:
        self.minutes += 1  # ids sort by time
        now = datetime.now(UTC) - timedelta(hours=5) + timedelta(minutes=self.minutes)
        project = load_project(self.folder, ENVIRON, {"python": sys.executable, **settings})
        return plan_sweep(
            Asked(notebook=str(self.folder / "nb.ipynb")),
            SweepWish(grid=grid_from_flags(pairs), **(wish or {})),
            project,
            ENVIRON,
            now,
            lambda _: self.store,
        )

    def run(self, *pairs: str, pool: FakePool | None = None, **more: Any) -> Sweep:
        plan = self.plan(*pairs, **more)
        return begin_sweep(self.store, plan, ENVIRON, pool or FakePool()).sweep

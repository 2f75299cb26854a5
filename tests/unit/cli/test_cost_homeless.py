"""`dayfly cost` for a user without a home, as in a container whose user has no name."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from dayfly.backends.sweep_view import Sweep
from dayfly.cli.cost import _cost_of
from dayfly.runs.batch_record import record_key
from dayfly.runs.store import open_store
from tests.unit.aws.batch_support import POINTS, last_word, submission
from tests.unit.runs.sweep_stores import SWEEP_ID, put_point, put_sweep
from tests.unit.support import NOW


def test_a_sweep_has_a_cost_where_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    store = open_store(tmp_path / "store")
    sweep = put_sweep(store, POINTS, backend="batch")
    store.put(record_key(SWEEP_ID, 1), submission(store, sweep).to_bytes())
    last_word(store, put_point(store, sweep, 0, duration_s=40.0), NOW + timedelta(seconds=40))
    assert _cost_of(Sweep(SWEEP_ID, store), NOW).dollars == pytest.approx(1)

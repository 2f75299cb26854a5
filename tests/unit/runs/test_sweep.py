"""The identity of points, and the ids of their runs."""

from __future__ import annotations

import json
from itertools import zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.runs import ids
from dayfly.runs.request import SnapshotSource
from dayfly.runs.sweep import (
    Point,
    SweepRequest,
    decode_points,
    encode_points,
    notebook_identity,
    point_identity,
    request_of,
)
from tests.unit.support import NOW, make_request

SWEEP = "20261123-101502-analysis-7f3a"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
PARAMETERS = st.dictionaries(st.text(min_size=1), VALUES, max_size=4)


@given(st.lists(PARAMETERS, max_size=5))
def test_points_come_back_as_they_were(parameters: list[dict[str, object]]) -> None:
    points = [Point(parameters=one) for one in parameters]
    assert list(decode_points(encode_points(points))) == points


Cell = dict[str, object]
CELLS: list[Cell] = [
    {"cell_type": "markdown", "metadata": {}, "source": ["# A\n", "b"]},
    {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "a = 1", "outputs": []},
]


def _notebook(*changes: Cell, indent: int | None = None) -> bytes:
    """The cells with these changes, in order; one change more is one cell more."""
    cells: list[Cell] = [{**cell, **change} for cell, change in zip_longest(CELLS, changes, fillvalue=Cell())]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}, indent=indent).encode()


@pytest.mark.parametrize(
    "saved",
    [
        _notebook(indent=4),
        _notebook({"source": "# A\nb"}, {"source": ["a = 1"]}),
        _notebook({"id": "0a"}, {"outputs": [{"output_type": "stream"}], "execution_count": 3}),
        _notebook({"metadata": {"collapsed": True}}),
    ],
)
def test_a_notebook_that_was_only_saved_again_is_the_same(saved: bytes) -> None:
    assert notebook_identity(saved) == notebook_identity(_notebook())


@pytest.mark.parametrize(
    "changed",
    [
        _notebook({}, {"source": "a = 2"}),
        _notebook({}, {"metadata": {}}),
        _notebook({}, {"cell_type": "raw"}),
        _notebook({"source": "# A\nc"}),
        _notebook({}, {}, CELLS[1]),
        b"[]",
        b'{"cells": ' + b"[" * 100_000,
        b"{",
        json.dumps({"cells": [{"cell_type": "code", "metadata": {}, "source": "\ud800"}]}).encode(),
    ],
)
def test_a_notebook_with_other_cells_is_another(changed: bytes) -> None:
    assert notebook_identity(changed) != notebook_identity(_notebook())


def test_the_order_of_parameters_makes_no_other_point() -> None:
    one = point_identity("base", {"a": 1}, Point(parameters={"b": 2, "c": 3}))
    assert one == point_identity("base", {"a": 1}, Point(parameters={"c": 3, "b": 2}))


def test_what_all_points_share_is_part_of_each() -> None:
    shared = point_identity("base", {"a": 1}, Point(parameters={"b": 2}))
    assert shared == point_identity("base", {}, Point(parameters={"a": 1, "b": 2}))
    assert shared != point_identity("base", {"a": 2}, Point(parameters={"b": 2}))


def test_a_points_own_value_stands_before_the_shared_one() -> None:
    assert point_identity("base", {"a": 1}, Point(parameters={"a": 2})) == point_identity(
        "base", {"a": 2}, Point()
    )


def test_runs_of_a_sweep_are_listed_in_the_order_of_its_points() -> None:
    made = [ids.child_id(SWEEP, index, 1000) for index in range(1000)]
    assert made == sorted(made)
    assert made[7] == f"{SWEEP}.007"


@given(
    st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))), st.integers(1, 999)
)
def test_a_run_tells_its_sweep_point_and_attempt(count_index: tuple[int, int], attempt: int) -> None:
    count, index = count_index
    made = ids.child_id(SWEEP, index, count, attempt)
    assert ids.is_run_id(made)
    assert ids.sweep_of(made) == (SWEEP, index, attempt)


def test_a_run_alone_has_no_sweep() -> None:
    assert ids.sweep_of(SWEEP) is None


def test_runs_on_this_machine_have_each_a_checkout_of_their_own() -> None:
    snapshot = SnapshotSource(commit="c", tree="t", checkout="/cache/c-1")
    run = make_request(snapshot=snapshot, cwd="/cache/c-1/notebooks", outputs="/data/out")
    sweep = SweepRequest(
        sweep_id=SWEEP,
        created=NOW,
        run=run,
        notebook_sha256="0",
        base="0",
        count=11,
        points_sha256="0",
        names=("a",),
    )
    request = request_of(sweep, 7, Point(parameters={"a": 1}), attempt=2)
    assert request.snapshot is not None
    assert (request.run_id, request.parameters) == (f"{SWEEP}.07.2", {"a": 1})
    assert request.snapshot.checkout == "/cache/c-1.07.2"
    assert (request.cwd, request.outputs) == ("/cache/c-1.07.2/notebooks", "/data/out")

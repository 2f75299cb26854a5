"""The page of a sweep, as text: what it shows, and that nothing of a notebook's gets into it unescaped."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest

from dayfly.errors import UsageError
from dayfly.report import sweep_page_plots
from dayfly.report.sweep_page import render_sweep
from dayfly.report.sweep_page_style import POLICY, STYLE
from dayfly.runs.state import State
from dayfly.runs.store import Store, open_store
from dayfly.runs.sweep import Point
from dayfly.runs.sweep_results import load_table
from tests.unit.runs.sweep_stores import PLOT, SWEEP_ID, put_point, put_sweep
from tests.unit.support import NOW

PNG = base64.b64encode(b"\x89PNG and more").decode()
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'"


def notebook(*data: dict[str, Any] | None) -> dict[str, Any]:
    """An executed notebook: a cell for each, with that output."""
    return {
        "cells": [
            {
                "cell_type": "code",
                "id": f"id-{number}",
                "outputs": [] if each is None else [{"output_type": "display_data", "data": each}],
            }
            for number, each in enumerate(data, 1)
        ]
    }


def page(store: Store, *, cell: str | None = None, beside: Path | None = None) -> str:
    return render_sweep(store, load_table(store, SWEEP_ID), cell=cell, beside=beside, now=NOW)


def fill(store: Store, grid: list[dict[str, Any]], output: dict[str, Any] | None, **records: Any) -> None:
    sweep = put_sweep(store, [Point(parameters=each) for each in grid])
    for index in range(len(grid)):
        put_point(store, sweep, index, records=records, output=output)


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


GRID = [{"alpha": alpha, "seed": seed} for alpha in (0.1, 0.2) for seed in (1, 2, 3)]


def test_two_parameters_make_a_grid(store: Store) -> None:
    fill(store, GRID, notebook({"image/png": PNG}))
    shown = page(store)
    assert re.findall(r"<th>(.*?)</th>", shown) == ["seed = 1", "seed = 2", "seed = 3"]
    assert re.findall(r'<th class="side">([^<]+)</th>', shown) == ["alpha = 0.1", "alpha = 0.2"]
    assert shown.count(f"data:image/png;base64,{PNG}") == 6


def test_a_third_parameter_makes_one_grid_for_each_of_its_values(store: Store) -> None:
    fill(store, [{"model": model, **each} for model in "ab" for each in GRID], notebook({"image/png": PNG}))
    assert re.findall(r"<h3>(.*?)</h3>", page(store)) == ["model = a", "model = b"]


@pytest.mark.parametrize(
    "grid",
    [
        [{"alpha": index} for index in range(4)],
        [{"alpha": index, "beta": -index} for index in range(9)],  # pairs: mostly holes as a grid
        [{"alpha": 1, "beta": 2}, {"alpha": 1, "beta": 2}, {"alpha": 2, "beta": 1}],
        [{"alpha": alpha, "seed": seed} for alpha in (1, 2) for seed in range(20)],  # too wide
    ],
)
def test_what_is_no_grid_stands_in_rows(store: Store, grid: list[dict[str, Any]]) -> None:
    fill(store, grid, notebook({"image/png": PNG}))
    shown = page(store)
    assert '<div class="wrap">' in shown
    assert shown.count("<figure>") == len(grid)
    assert "Point 1: " in shown


def test_a_point_without_a_plot_has_its_place_and_says_why(store: Store) -> None:
    sweep = put_sweep(store, [Point(parameters=each) for each in GRID])
    for index in range(4):
        put_point(store, sweep, index, output=notebook({"image/png": PNG}))
    put_point(store, sweep, 4, State.TIMED_OUT, message="too long")
    assert re.findall(r'<td class="none">(.*?)</td>', page(store)) == ["timed out", "waiting"]


def test_the_last_cell_with_a_picture_is_shown_unless_another_is_named(store: Store) -> None:
    first, last = (base64.b64encode(each).decode() for each in (b"first", b"last"))
    fill(store, GRID[:2], notebook(None, {"image/png": first}, {"image/jpeg": last}, {"text/plain": "x"}))
    assert last in page(store)
    assert first not in page(store)
    assert "Plots of cell 3" in page(store)
    for cell in ("2", "id-2"):
        assert first in page(store, cell=cell)
        assert last not in page(store, cell=cell)
    with pytest.raises(UsageError, match="These have one: 2 id-2, 3 id-3"):
        page(store, cell="4")


def test_without_pictures_there_is_no_section_of_them(store: Store) -> None:
    fill(store, GRID, notebook({"text/html": "<b>table</b>"}))
    assert "Plots of" not in page(store)


def test_everything_from_outside_is_text(store: Store) -> None:
    sweep = put_sweep(
        store,
        [Point(parameters={EVIL: EVIL, "a": 1}), Point(parameters={EVIL: [EVIL], "a": 2})],
        notebook=f"/tmp/{EVIL}",  # noqa: S108 -- no file
        parameters={EVIL: {EVIL: EVIL}},
    )
    put_point(store, sweep, 0, records={EVIL: EVIL, "x": 1}, output=notebook({"image/png": PNG}))
    put_point(store, sweep, 1, State.FAILED, message=EVIL)
    shown = page(store)
    assert "<script>alert" not in shown
    assert "<img src=x" not in shown
    assert shown.count("<script>") == 1
    assert "&lt;script&gt;alert(1)" in shown


def failed(store: Store, number: int, *, long: bool = False) -> str:
    """The page of a sweep of which so many points failed alike."""
    sweep = put_sweep(
        store, [Point(parameters={"n": index, "kind": "<x>" + "y" * (999 * long)}) for index in range(60)]
    )
    for index in range(number):
        put_point(store, sweep, index, State.FAILED, message="no")
    return page(store).partition("<h2>Points")[0]


def test_a_point_that_failed_alone_is_told_with_its_parameters(store: Store) -> None:
    assert "<b>Point 0</b> <small>n = 0, kind = &lt;x&gt;</small>" in failed(store, 1)


def test_a_few_that_failed_alike_are_each_told_with_their_parameters(store: Store) -> None:
    shown = failed(store, 3)
    assert "<b>3 points</b>" in shown
    assert "<li><b>2</b> n = 2, kind = &lt;x&gt;</li>" in shown


def test_of_many_that_failed_alike_the_parameters_are_tooltips_as_far_as_a_page_can_bear(
    store: Store,
) -> None:
    shown = failed(store, 50, long=True)
    assert re.findall(r"<span title=\"n = (\d+)", shown) == [str(index) for index in range(40)]
    assert " and 10 more</small>" in shown
    assert max(map(len, re.findall(r'title="(.*?)"', shown))) < 220


def test_every_end_that_is_shown_has_a_look_of_its_own(store: Store) -> None:
    states = (State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.LOST, State.CANCELLED, State.RUNNING)
    sweep = put_sweep(store, [Point(parameters={"n": index}) for index in range(7)])
    for index, state in enumerate(states):
        put_point(store, sweep, index, state, message=f"message {index}")
    kinds = re.findall(r'<li><i class="(\w+)"></i>', page(store))
    assert len(set(kinds)) == 7
    assert all(f"i.{kind} {{" in STYLE and f".pill.{kind} {{" in STYLE for kind in kinds)


@pytest.mark.parametrize(
    "data",
    [
        {"image/png": '"><script>alert(1)</script>'},
        {"image/png": ["AAAA", '" onload="x']},
        {"image/png": 3},
        {"image/png": ""},
        {"image/png": {"a": 1}},
        {"image/bmp;x": PNG},
        {"text/html": f"<img src='data:image/png;base64,{PNG}'>"},
    ],
)
def test_what_is_no_picture_is_left_out(store: Store, data: dict[str, Any]) -> None:
    fill(store, GRID, notebook(data))
    assert "<img" not in page(store)


def test_an_svg_is_a_picture_in_which_nothing_runs(store: Store) -> None:
    fill(store, GRID[:1], notebook({"image/svg+xml": [PLOT.format(points="0,0 9,9"), "<script>x</script>"]}))
    shown = page(store)
    assert shown.count('<img src="data:image/svg+xml;base64,') == 1
    assert "<svg" not in shown


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b'{"cells": 3}', b'{"cells": [3, {"outputs": [4, {"data": 5}]}]}']
)
def test_a_damaged_notebook_costs_its_own_picture_alone(store: Store, content: bytes) -> None:
    fill(store, GRID, notebook({"image/png": PNG}))
    store.put(f"runs/{SWEEP_ID}.3/output.ipynb", content)
    assert page(store).count("<figure>") == 5


def test_a_page_bears_so_many_bytes_of_pictures(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_page_plots, "MOST_BYTES", 150)
    fill(store, GRID, notebook({"image/png": PNG}))
    shown = page(store)
    assert shown.count("<figure>") == 2
    assert "The pictures of the first 2 points" in shown


def test_links_are_relative_and_elsewhere_there_is_a_command(tmp_path: Path) -> None:
    local = open_store(tmp_path / "a b" / "store")
    fill(local, GRID[:1], None)
    link = f'href="../a%20b/store/runs/{SWEEP_ID}.0/output.ipynb"'
    assert link in page(local, beside=tmp_path / "pages")
    assert f"<code>dayfly open {SWEEP_ID}.0</code>" in page(local)


def test_the_policy_allows_nothing_but_our_script() -> None:
    assert "default-src 'none'" in POLICY
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}'", POLICY)
    assert "http" not in POLICY

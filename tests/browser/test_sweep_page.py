"""The page of a sweep in a real browser: it sorts and enlarges, and runs and asks for nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dayfly.report.sweep_page import render_sweep
from dayfly.runs.state import State
from dayfly.runs.store import open_store
from dayfly.runs.sweep import Point
from dayfly.runs.sweep_results import load_table
from tests.unit.runs.sweep_stores import PLOT, SWEEP_ID, put_point, put_sweep

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EVIL = "<img src='http://127.0.0.1:9/x' onerror='window.ran = 1'><script>window.ran = 1</script>"
SVG = PLOT.format(points="10,110 80,30 150,90").replace(
    "</svg>", "<script>window.ran = 1</script><image href='http://127.0.0.1:9/svg'/></svg>"
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of which much is hostile; rmse is 4, 10, -1, NaN, nothing (failed), nothing (open)."""
    root = tmp_path_factory.mktemp("sweep")
    store = open_store(root / "store")
    points = [
        Point(parameters={"alpha": alpha, "kind": kind}) for alpha in (0.1, 0.2) for kind in ("a", "b", EVIL)
    ]
    sweep = put_sweep(store, points)
    output = {"cells": [{"id": "x", "outputs": [{"data": {"image/svg+xml": SVG}}]}]}
    for index, rmse in enumerate((4.0, 10.0, -1.0, float("nan"))):
        put_point(store, sweep, index, records={"rmse": rmse, "note": EVIL}, output=output)
    put_point(store, sweep, 4, State.FAILED, message=EVIL)
    page = root / "page.html"
    page.write_text(render_sweep(store, load_table(store, SWEEP_ID), beside=root))
    return page


class Watched:
    """A page, and what it said and asked for."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.errors: list[str] = []
        self.asked: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(file.as_uri(), wait_until="load")
        page.wait_for_load_state("networkidle")

    def column(self, name: str) -> list[str]:
        """A column of the table as it stands."""
        table = self.page.locator("table.points")
        heads = [head.strip() for head in table.locator("th").all_text_contents()]
        return [
            row.strip() for row in table.locator(f"td:nth-child({heads.index(name) + 1})").all_text_contents()
        ]

    def sort(self, name: str) -> None:
        self.page.locator("table.points th").get_by_role("button", name=re.compile(rf"^\W*{name}")).click()

    def assert_quiet(self, file: Path) -> None:
        """Nothing ran, nothing was complained of, and nobody was asked but the file and its own data."""
        assert self.page.evaluate("window.ran") is None
        assert self.errors == []
        assert [url for url in self.asked if not url.startswith("data:image/svg+xml;base64,")] == [
            file.as_uri()
        ]


@pytest.fixture(params=["light", "dark"])
def watched(browser: Browser, file: Path, request: pytest.FixtureRequest) -> Iterator[Watched]:
    context = browser.new_context(color_scheme=request.param)
    yield Watched(context.new_page(), file)
    context.close()


def test_it_is_shown_failures_first_and_nothing_is_asked_for(watched: Watched, file: Path) -> None:
    assert watched.column("point") == ["4", "0", "1", "2", "3", "5"]
    assert watched.page.get_by_text("window.ran").first.is_visible()
    pictures = watched.page.locator("figure img")
    assert pictures.count() == 4
    assert all(
        picture.evaluate("image => image.complete && image.naturalWidth") for picture in pictures.all()
    )
    watched.assert_quiet(file)


def test_a_heading_sorts_by_number_and_the_other_way(watched: Watched, file: Path) -> None:
    watched.sort("rmse")
    assert watched.column("rmse")[:3] == ["-1", "4", "10"]
    assert sorted(watched.column("rmse")[3:]) == ["", "", "nan"]
    watched.sort("rmse")
    assert watched.column("rmse")[:3] == ["10", "4", "-1"]
    watched.sort("state")
    assert watched.column("state") == ["failed", *["succeeded"] * 4, "waiting"]
    assert watched.page.locator("th[aria-sort]").count() == 1
    watched.assert_quiet(file)


def test_a_plot_becomes_large_and_small_again(watched: Watched, file: Path) -> None:
    figure = watched.page.locator("figure").first
    small = figure.bounding_box()
    figure.get_by_role("button").click()
    large = figure.bounding_box()
    assert small
    assert large
    assert large["width"] > 2 * small["width"]
    watched.page.keyboard.press("Escape")
    assert figure.bounding_box() == small
    watched.assert_quiet(file)


@pytest.mark.parametrize("with_policy", [True, False])
def test_the_policy_alone_would_hold(browser: Browser, file: Path, tmp_path: Path, with_policy: bool) -> None:
    """Were something of a notebook's to stand in the page, it would not run; without the policy it would."""
    text = file.read_text()
    if not with_policy:
        text = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", text)
    missed = tmp_path / "missed.html"
    missed.write_text(text.replace("</main>", f"{EVIL}</main>"))
    context = browser.new_context()
    page = Watched(context.new_page(), missed).page
    assert (page.evaluate("window.ran") is None) == with_policy
    context.close()

"""The pictures of a timeline: lines for a terminal, and SVG."""

import itertools
import re
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.cli.text import format_duration, safe_text
from dayfly.report.timeline import Part, Phase, Timeline
from dayfly.report.timeline_svg import render_svg
from dayfly.report.timeline_text import draw_bar, render_lines
from tests.unit.machine_runs import after
from tests.unit.support import NOW, RUN_ID

SVG = "{http://www.w3.org/2000/svg}"


def phase(name: str, start: float, end: float | None, part: Part = Part.BEFORE, **changes: Any) -> Phase:
    return Phase(name=name, part=part, start=after(start), end=None if end is None else after(end), **changes)


def timeline(*phases: Phase, now: float = 100) -> Timeline:
    return Timeline(run_id=RUN_ID, start=NOW, phases=phases, now=after(now))


RUN = timeline(
    phase("boot", 0, 25),
    phase("cell 1", 25, 75, Part.NOTEBOOK, detail="fit(x)"),
    phase("save", 75, 100, Part.AFTER),
)


def lines(made: Timeline, width: int = 80) -> list[str]:
    drawn = render_lines(made, width=width, format_duration=format_duration, clean=safe_text)
    return [line.plain for line in drawn]


def svg(made: Timeline) -> str:
    return render_svg(made, format_duration=format_duration)


class TestInATerminal:
    def test_each_phase_has_a_line_with_its_name_how_long_it_took_and_its_share(self) -> None:
        boot, cell, save, *_ = lines(RUN)
        assert re.fullmatch(r"boot +█+ +25\.0 s  25%", boot)
        assert re.fullmatch(r"cell 1  fit\(x\) +█+[▏▎▍▌▋▊▉]? +50\.0 s  50%", cell)
        assert re.fullmatch(r"save +█+[▏▎▍▌▋▊▉]? +25\.0 s  25%", save)

    def test_the_parts_are_told_below(self) -> None:
        assert lines(RUN)[-1].split("■ ")[1:] == [
            "25.0 s before the first cell  ",
            "50.0 s in cells  ",
            "25.0 s after the last  ",
        ]

    @pytest.mark.parametrize("width", [60, 80, 120])
    def test_no_line_is_wider_than_the_terminal(self, width: int) -> None:
        long = timeline(phase("cell 1", 0, 86_400, Part.NOTEBOOK, detail="x" * 500), now=86_400)
        assert max(map(len, lines(long, width)[:-1])) <= width

    @pytest.mark.parametrize(
        ("start", "end", "bar"),
        [
            (0, 100, "████████"),
            (0, 50, "████    "),
            (50, 100, "    ████"),
            (25, 31.25, "  ▌     "),
            (99.9, 100, "       ▏"),
            (0, 0, "▏       "),
        ],
    )
    def test_a_bar_stands_at_its_place_and_is_as_long_as_its_phase(
        self, start: float, end: float, bar: str
    ) -> None:
        one = phase("one", start, end)
        assert draw_bar(one, timeline(phase("all", 0, 100), one), 8) == bar

    @given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(10, 200))
    def test_a_bar_is_as_wide_as_there_is_room(self, start: float, took: float, width: int) -> None:
        one = phase("one", start, start + took)
        assert len(draw_bar(one, timeline(phase("first", 0, start), one, now=2e6), width)) == width

    def test_a_phase_that_goes_on_is_marked(self) -> None:
        assert lines(timeline(phase("boot", 0, None)))[0].startswith("boot …")

    def test_a_failed_phase_says_why(self) -> None:
        failed = phase("Docker", 0, 10, failed=True, detail="No match for argument: docker")
        assert lines(timeline(failed))[1].strip() == "No match for argument: docker"

    def test_of_many_cells_the_slowest_are_drawn(self) -> None:
        many = timeline(*(phase(f"cell {n}", n, n + 1, Part.NOTEBOOK) for n in range(30)))
        drawn = lines(many)
        assert sum(line.startswith("cell") for line in drawn) == 20
        assert "The slowest 20 cells; 10 more are left out, all with --json." in drawn

    def test_a_cells_source_cannot_drive_the_terminal(self) -> None:
        hostile = timeline(phase("cell 1", 0, 1, Part.NOTEBOOK, detail="\x1b]0;title\x07x = 1"))
        assert not re.search(r"[\x00-\x1f]", "".join(lines(hostile)))


class TestAsSvg:
    def test_it_is_xml_with_a_bar_for_each_phase(self) -> None:
        root = ET.fromstring(svg(RUN))  # noqa: S314 -- our own
        groups = root.findall(f"{SVG}g")
        assert [(one.findtext(f"{SVG}title") or "").partition("\n")[0] for one in groups] == [
            "boot: 25.0 s",
            "cell 1: 50.0 s",
            "save: 25.0 s",
        ]
        widths = [float(one.find(f"{SVG}rect").attrib["width"]) for one in groups]  # type: ignore[union-attr]
        assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)

    def test_a_bar_begins_where_the_one_before_ends(self) -> None:
        root = ET.fromstring(svg(RUN))  # noqa: S314
        bars = [one.attrib for one in root.iterfind(f"{SVG}g/{SVG}rect")]
        for one, following in itertools.pairwise(bars):
            assert float(one["x"]) + float(one["width"]) == pytest.approx(float(following["x"]), abs=0.2)

    def test_it_is_light_or_dark_as_its_reader_has_it(self) -> None:
        assert "prefers-color-scheme: dark" in svg(RUN)

    def test_its_names_are_text(self) -> None:
        root = ET.fromstring(svg(RUN))  # noqa: S314
        texts = {one.text for one in root.iter(f"{SVG}text")}
        assert {RUN_ID, "boot", "cell 1", "fit(x)", "50.0 s", "1m 40s in all"} <= texts

    def test_it_grows_with_its_phases_and_no_bar_leaves_it(self) -> None:
        many = timeline(*(phase(f"cell {n}", n, n + 1, Part.NOTEBOOK) for n in range(60)), now=60)
        root = ET.fromstring(svg(many))  # noqa: S314
        height, width = float(root.attrib["height"]), float(root.attrib["width"])
        for bar in root.iter(f"{SVG}rect"):
            assert float(bar.attrib["y"]) + float(bar.attrib["height"]) < height
            assert float(bar.attrib["x"]) + float(bar.attrib["width"]) < width
        assert "The slowest 40 cells are shown; 20 more are not." in svg(many)

    @given(st.text())
    def test_whatever_a_cell_says_stays_text(self, source: str) -> None:
        """No script, no handler, no element of its own, and XML that every reader takes."""
        hostile = f'</title><script>alert("{source}")</script>'
        root = ET.fromstring(  # noqa: S314
            svg(timeline(phase("cell 1", 0, 1, Part.NOTEBOOK, detail=hostile + source)))
        )
        assert {one.tag.removeprefix(SVG) for one in root.iter()} <= {
            *("svg", "style", "g", "title", "text", "rect", "line"),
        }

    def test_a_run_that_took_no_time_is_drawn_too(self) -> None:
        nothing = timeline(phase("submit", 0, 0))
        assert nothing.total == timedelta()
        assert "submit" in svg(nothing)


@pytest.mark.parametrize("seconds", [50, 159, 400, 2000, 5000, 40_000])
def test_no_two_ticks_of_the_axis_say_the_same(seconds: int) -> None:
    page = svg(timeline(phase("boot", 0, seconds), now=seconds))
    ticks = re.findall(r'class="tick"[^>]*>([^<]+)<', page)
    assert len(ticks) == len(set(ticks)) > 2

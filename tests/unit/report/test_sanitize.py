from __future__ import annotations

from html.parser import HTMLParser

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.report.sanitize import clean_html, without_svg
from tests.unit.support import code_cell, make_notebook

pieces = st.sampled_from(
    [
        *(
            "<script>",
            "</script>",
            "<img src=x onerror=alert(1)>",
            "<svg onload=alert(1)>",
            "<math><mi//xlink:href=",
        ),
        *(
            "<a href='javascript:alert(1)'>",
            '<a href="java\tscript:alert(1)">',
            "<iframe src=//x>",
            "<style>",
        ),
        *(
            "<form action=//x>",
            "<object data=//x>",
            "<base href=//x>",
            "<meta http-equiv=refresh>",
            "<!--",
            "-->",
        ),
        *(
            "<table>",
            "<td style='background:url(//x)'>",
            "<noscript>",
            "<template>",
            "<b",
            "'",
            '"',
            ">",
            "<",
            "text",
        ),
        *("<a href='data:text/html,<script>'>", "<p onclick=x>", "</p>", "<![CDATA[", "]]>", "&lt;", "\x00"),
    ]
)


class Acts(HTMLParser):
    """Collects whatever in a page could act."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {
            "script",
            "iframe",
            "object",
            "embed",
            "form",
            "base",
            "meta",
            "link",
            "style",
            "svg",
            "math",
        }:
            self.found.append(tag)
        for name, value in attrs:
            compact = "".join((value or "").split()).lower()
            if name.startswith("on") or compact.startswith(("javascript:", "vbscript:", "data:text")):
                self.found.append(f"{name}={value}")


@given(st.lists(pieces | st.text(max_size=5), max_size=12).map("".join))
def test_nothing_that_acts_comes_through(html: str) -> None:
    acts = Acts()
    acts.feed(clean_html(html))
    acts.close()
    assert acts.found == []


@pytest.mark.parametrize(
    "html",
    [
        "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>",
        '<img src="data:image/png;base64,cG5n" alt="plot">',
        '<div class="note" style="color:red">text</div>',
    ],
)
def test_tables_pictures_and_colours_stay(html: str) -> None:
    assert clean_html(html) == html


def test_bytes_are_read_as_text() -> None:
    assert clean_html(b"<b>\xff</b>") == "<b>\ufffd</b>"


@pytest.mark.parametrize("svg", ["<svg onload='alert(1)'/>", "\ud800", {"not": "text"}, ["a", 1]])
def test_an_svg_is_only_ever_a_picture(svg: object) -> None:
    """Whatever a notebook says that it is."""
    output = {"output_type": "display_data", "metadata": {}, "data": {"image/svg+xml": svg}}
    notebook = without_svg(nbformat.from_dict(make_notebook(code_cell(outputs=[output]))))
    (data,) = [output["data"] for output in notebook.cells[0].outputs]
    assert "image/svg+xml" not in data
    assert "onload" not in str(data)

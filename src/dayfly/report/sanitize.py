"""Which HTML of a notebook may stand in a page of ours: text, tables and pictures, nothing that acts."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import nh3

if TYPE_CHECKING:
    from nbformat import NotebookNode

_TAGS = nh3.ALLOWED_TAGS | {"font", "section"}
_ATTRIBUTES = {
    **nh3.ALLOWED_ATTRIBUTES,
    "*": {"class", "style", "title", "align", "dir", "id", "valign"},
    "img": {"src", "alt", "width", "height"},
    "font": {"color", "size"},
}
_STYLES = {
    *("color", "background-color", "background", "border", "border-collapse", "border-left"),
    *("font-family", "font-size", "font-style", "font-weight", "text-align", "text-decoration"),
    *("width", "height", "min-width", "max-width", "margin", "padding", "vertical-align", "white-space"),
}


def clean_html(html: str | bytes) -> str:
    """The safe part of `html`: scripts and styles go with their content, other tags leave their text."""
    text = html.decode("utf-8", "replace") if isinstance(html, bytes) else str(html)
    return nh3.clean(
        text,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_keep_attribute,
        filter_style_properties=_STYLES,
        url_schemes={"http", "https", "mailto", "data"},
        link_rel="noopener noreferrer",
    )


def _keep_attribute(tag: str, attribute: str, value: str) -> str | None:
    """Data URLs are for pictures alone."""
    if value.lstrip().lower().startswith("data:"):
        is_picture = (tag, attribute) == ("img", "src") and value.lstrip().lower().startswith("data:image/")
        return value if is_picture else None
    return value


def picture_of_svg(svg: str) -> str:
    """An SVG as a picture: a browser runs no script in it and loads nothing for it."""
    data = base64.b64encode(svg.encode("utf-8", "replace")).decode()
    return f'<img src="data:image/svg+xml;base64,{data}">'


def without_svg(notebook: NotebookNode) -> NotebookNode:
    """The notebook with its SVG outputs as pictures, in place."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            svg = output.get("data", {}).pop("image/svg+xml", None)
            if isinstance(svg, str):
                output["data"].setdefault("text/html", picture_of_svg(svg))
    return notebook

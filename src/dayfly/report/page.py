"""An executed notebook as one HTML page whose scripts cannot run.

Two defences, each enough on its own: what markdown and outputs hold is sanitised, and a content
security policy in the page allows no script, no frame, no form and no request to anywhere. So a
page may be opened from disk whatever the notebook printed.
"""

from __future__ import annotations

import html
import re
import tempfile
import warnings
import webbrowser
from pathlib import Path

from dayfly.runs.run import Run

POLICY = (
    "default-src 'none'; img-src data:; media-src data:; font-src data:; style-src 'unsafe-inline'; "
    "script-src 'none'; frame-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'"
)


def render_page(run: Run) -> str:
    """The page. Raises RunConflictError when the run has no executed notebook yet."""
    from nbconvert import HTMLExporter

    from dayfly.report.sanitize import clean_html, without_svg

    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        sanitize_html=True,  # makes the template call this filter on all that the notebook holds
        filters={"clean_html": clean_html},
    )
    notebook = without_svg(run.output)
    with warnings.catch_warnings():
        # Where dayfly is a tool of its own there is no IPython, and Python's own colours will do.
        warnings.filterwarnings("ignore", message="IPython3 lexer unavailable")
        body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": run.run_id}})
    return _harden(body)


def _harden(body: str) -> str:
    """Put the policy first in the head, and leave out the scripts of the template itself."""
    without = re.sub(r"<script\b[^>]*>.*?</script\s*>", "", body, flags=re.DOTALL | re.IGNORECASE)
    policy = f'<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">'
    hardened, count = re.subn(r"<head>", lambda _: f"<head>{policy}", without, count=1)
    if count != 1:
        raise AssertionError("the template has no <head>")
    return hardened


def open_page(run_id: str, page: str) -> tuple[Path, bool]:
    """Write the page where only the user can read it and show it; the file, and whether a browser came."""
    directory = Path(tempfile.mkdtemp(prefix="dayfly-page-"))
    file = directory / f"{run_id}.html"
    file.write_text(page, encoding="utf-8")
    try:
        return file, webbrowser.open(file.as_uri())
    except webbrowser.Error:
        return file, False

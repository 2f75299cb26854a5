import stat
from pathlib import Path

import pytest

from dayfly.errors import RunConflictError
from dayfly.report.page import POLICY, _harden, open_page, render_page
from dayfly.runs import layout
from dayfly.runs.run import Run
from dayfly.runs.store import open_store
from tests.unit.support import RUN_ID, code_cell, make_notebook, markdown_cell, put_run, to_content


@pytest.fixture
def run() -> Run:
    store = open_store("memory://")
    put_run(store)
    shown = {
        "output_type": "display_data",
        "metadata": {},
        "data": {"text/html": "<script>alert(1)</script><b>bold</b>"},
    }
    notebook = make_notebook(
        markdown_cell("# Emergence <script>alert(2)</script>"), code_cell("1 + 1", outputs=[shown])
    )
    store.put(layout.run_key(RUN_ID, layout.OUTPUT), to_content(notebook))
    return Run(RUN_ID, store)


def test_a_page_shows_the_notebook_and_holds_no_script(run: Run) -> None:
    page = render_page(run)
    assert "Emergence" in page
    assert "<b>bold</b>" in page
    assert RUN_ID in page
    assert "<script" not in page.lower()


def test_its_policy_comes_before_all_that_it_governs(run: Run) -> None:
    head = render_page(run).partition("<head>")[2]
    assert head.lstrip().startswith('<meta http-equiv="Content-Security-Policy"')
    assert "script-src &#x27;none&#x27;" in head
    assert "script-src 'none'" in POLICY


def test_a_template_without_a_head_is_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError, match="no <head>"):
        _harden("<html></html>")


def test_a_run_that_has_no_notebook_yet_has_no_page() -> None:
    store = open_store("memory://")
    put_run(store)
    with pytest.raises(RunConflictError):
        render_page(Run(RUN_ID, store))


def test_a_page_is_the_users_alone_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER", "true")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file, _ = open_page(RUN_ID, "<html></html>")
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.read_text() == "<html></html>"

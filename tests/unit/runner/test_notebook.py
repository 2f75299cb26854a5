import json
from contextlib import suppress
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.errors import NotebookInvalidError
from dayfly.runner.notebook import (
    find_tagged,
    kernel_name_of,
    language_of,
    parse_notebook,
    tags_of,
    will_execute,
)
from tests.unit.support import code_cell, make_notebook, markdown_cell, tagged, to_content


def refuse(content: bytes) -> NotebookInvalidError:
    with pytest.raises(NotebookInvalidError) as caught:
        parse_notebook(content, "nb.ipynb")
    assert caught.value.what.startswith("nb.ipynb ")
    assert caught.value.exit_code == 2
    return caught.value


def test_a_notebook_is_read() -> None:
    notebook = make_notebook(markdown_cell(), code_cell("1"))
    assert parse_notebook(to_content(notebook), "nb.ipynb") == notebook


def test_a_source_that_is_a_list_of_lines_becomes_text() -> None:
    """As Jupyter writes it."""
    notebook = parse_notebook(to_content(make_notebook(code_cell(["a\n", "b"]))), "nb.ipynb")  # type: ignore[arg-type]
    assert notebook["cells"][0]["source"] == "a\nb"


def test_an_older_format_is_converted() -> None:
    old = nbformat.v3.new_notebook(
        worksheets=[nbformat.v3.new_worksheet(cells=[nbformat.v3.new_code_cell(input="1 + 1")])]
    )
    notebook = parse_notebook(json.dumps(old).encode(), "nb.ipynb")
    assert notebook["nbformat"] == 4
    assert notebook["cells"][0]["source"] == "1 + 1"


def test_a_newer_format_is_refused_with_a_way_out() -> None:
    error = refuse(b'{"nbformat": 9, "cells": [], "metadata": {}}')
    assert "format 9" in error.what
    assert "nbconvert" in error.hint


def test_text_that_is_no_json_names_the_line() -> None:
    assert refuse(b'{\n "cells": [,]\n}').what == "nb.ipynb is not a notebook, line 2."


@pytest.mark.parametrize("content", [b"", b"  \n"])
def test_an_empty_file_is_said_to_be_empty(content: bytes) -> None:
    assert refuse(content).what == "nb.ipynb is empty."


def test_git_conflict_markers_are_recognised() -> None:
    error = refuse(b'{\n<<<<<<< HEAD\n "a": 1\n=======\n "a": 2\n>>>>>>> other\n}')
    assert "Git conflict markers" in error.what
    assert "nbdime" in error.hint


@pytest.mark.parametrize("content", [b"[]", b"{}", b"5", b'{"nbformat": "4"}', b"\xff\xfe", b"[" * 100_000])
def test_anything_else_is_no_notebook(content: bytes) -> None:
    refuse(content)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"metadata": None}, "`metadata` should be an object."),
        ({"cells": {}}, "`cells` should be a list."),
        ({"nbformat_minor": "5"}, "`nbformat_minor` should be a number."),
        ({"cells": [5]}, "Cell 1 has no `cell_type` of code, markdown or raw."),
        ({"cells": [{"cell_type": "sql"}]}, "Cell 1 has no `cell_type` of code, markdown or raw."),
        ({"cells": [markdown_cell(), {"cell_type": "code"}]}, "Cell 2 has no `source` text."),
        ({"cells": [{"cell_type": "code", "source": ["a", 1]}]}, "Cell 1 has no `source` text."),
        ({"cells": [{"cell_type": "raw", "source": ""}]}, "Cell 1 has no `metadata` object."),
        ({"cells": [code_cell(outputs=5)]}, "Cell 1 has `outputs` that are no list."),
        (
            {"cells": [code_cell("'\ud800'")]},
            "Cell 1 has half a surrogate pair in its `source`, which no kernel can be sent.",
        ),
    ],
)
def test_what_keeps_a_notebook_from_being_run_is_named(change: dict[str, Any], problem: str) -> None:
    assert refuse(to_content({**make_notebook(), **change})).why == problem


def test_what_only_the_schema_forbids_is_let_through() -> None:
    """JupyterLab opens such notebooks too."""
    notebook = make_notebook({**code_cell("1"), "unknown": 1})
    del notebook["cells"][0]["outputs"]
    parse_notebook(to_content(notebook), "nb.ipynb")


@pytest.mark.parametrize("tags", [None, 5, "skip-execution", ["a", 5]])
def test_tags_are_a_list_of_text_for_whoever_looks_into_them_later(tags: Any) -> None:
    notebook = parse_notebook(to_content(make_notebook(code_cell("1", metadata={"tags": tags}))), "nb.ipynb")
    assert notebook["cells"][0]["metadata"]["tags"] == (["a"] if isinstance(tags, list) else [])


@pytest.mark.parametrize("strange", [None, 5])
def test_an_id_that_is_no_text_is_none(strange: Any) -> None:
    notebook = parse_notebook(to_content(make_notebook(code_cell("1", id=strange))), "nb.ipynb")
    assert "id" not in notebook["cells"][0]


@given(st.binary(max_size=50) | st.text(max_size=50).map(str.encode))
def test_any_bytes_are_a_notebook_or_a_notebook_error(content: bytes) -> None:
    with suppress(NotebookInvalidError):
        parse_notebook(content, "nb.ipynb")


@pytest.mark.parametrize(
    ("cell", "executes"),
    [
        (code_cell("1"), True),
        (code_cell("# only a comment"), True),
        (code_cell(""), False),
        (code_cell("  \n\t"), False),
        (tagged("skip-execution", "1"), False),
        (tagged("parameters", "a = 1"), True),
        (markdown_cell("1"), False),
    ],
)
def test_code_is_executed_unless_it_is_empty_or_says_no(cell: dict[str, Any], executes: bool) -> None:
    assert will_execute(cell) is executes


@pytest.mark.parametrize("tags", [None, "parameters", 5, {"parameters": 1}, [5, None]])
def test_tags_of_a_strange_kind_are_none(tags: Any) -> None:
    cell = code_cell(metadata={"tags": tags})
    assert tags_of(cell) == []
    assert find_tagged(make_notebook(cell), "parameters") is None


def test_the_first_tagged_cell_is_found() -> None:
    notebook = make_notebook(markdown_cell(), tagged("a", "1"), tagged("a", "2"))
    assert find_tagged(notebook, "a") == 1


def test_kernel_and_language_are_what_the_notebook_says() -> None:
    notebook = make_notebook(language="R")
    assert (kernel_name_of(notebook), language_of(notebook)) == ("python3", "r")


@pytest.mark.parametrize(
    "metadata", [{}, {"kernelspec": None}, {"kernelspec": {"name": 5}}, {"kernelspec": []}]
)
def test_a_notebook_may_say_nothing(metadata: dict[str, Any]) -> None:
    notebook = {**make_notebook(), "metadata": metadata}
    assert (kernel_name_of(notebook), language_of(notebook)) == (None, "")


def test_the_language_may_stand_in_the_language_info() -> None:
    notebook = {**make_notebook(), "metadata": {"language_info": {"name": "Julia"}}}
    assert language_of(notebook) == "julia"

"""A cell on its way into output.ipynb: whatever a kernel sends, the file says the same."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.runner.notebook_file import NotebookFile
from dayfly.runner.serialize import LONG_TEXT, dump_metadata
from tests.unit.support import code_cell, make_notebook, markdown_cell

texts = st.text() | st.lists(
    st.sampled_from(["a", "\n", "\r", "\r\n", "\u2028", "\x1b", '"', "\\", "é"])
).map("".join)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
metadata = st.dictionaries(st.text(), json_values, max_size=3)
mimes = st.sampled_from(["text/plain", "text/html", "image/png", "application/javascript", "image/svg+xml"])
json_mimes = st.sampled_from(["application/json", "application/vnd.vegalite.v5+json", "application/geo+json"])
bundles = st.builds(
    lambda plain, structured: {**plain, **structured},
    st.dictionaries(mimes, texts, max_size=3),
    st.dictionaries(json_mimes, json_values, max_size=2),
)
outputs = st.one_of(
    st.fixed_dictionaries(
        {"output_type": st.just("stream"), "name": st.sampled_from(["stdout", "stderr"]), "text": texts}
    ),
    st.fixed_dictionaries({"output_type": st.just("display_data"), "metadata": metadata, "data": bundles}),
    st.fixed_dictionaries(
        {
            "output_type": st.just("execute_result"),
            "metadata": metadata,
            "data": bundles,
            "execution_count": st.integers(1, 100),
        }
    ),
    st.fixed_dictionaries(
        {
            "output_type": st.just("error"),
            "ename": texts,
            "evalue": texts,
            "traceback": st.lists(texts, max_size=3),
        }
    ),
)
cells = st.one_of(
    st.fixed_dictionaries(
        {
            "cell_type": st.just("code"),
            "metadata": metadata,
            "source": texts,
            "execution_count": st.none() | st.integers(1, 99),
            "outputs": st.lists(outputs, max_size=3),
        }
    ),
    st.fixed_dictionaries(
        {"cell_type": st.sampled_from(["markdown", "raw"]), "metadata": metadata, "source": texts}
    ),
)


def write(notebook: dict[str, Any]) -> str:
    """The notebook's file as it is written."""
    with tempfile.TemporaryDirectory() as folder:
        file = NotebookFile(Path(folder, "output.ipynb"), copy.deepcopy(notebook))
        try:
            file.write(file.snapshot())
        finally:
            file.close()
        return file.path.read_bytes().decode()


def read(text: str) -> Any:
    return nbformat.reads(text, as_version=nbformat.NO_CONVERT)


@given(st.lists(cells, max_size=3), metadata)
def test_any_notebook_read_back_by_nbformat_is_the_same(
    given_cells: list[dict[str, Any]], extra: dict[str, Any]
) -> None:
    notebook = make_notebook(*given_cells)
    notebook["metadata"].update({f"x{key}": value for key, value in extra.items()})
    assert json.loads(json.dumps(read(write(notebook)))) == notebook


@given(st.lists(cells, max_size=2))
def test_it_is_written_as_nbformat_writes_it(given_cells: list[dict[str, Any]]) -> None:
    """Byte for byte, so that a notebook under Git shows no difference that is none."""
    notebook = make_notebook(*given_cells)
    theirs = nbformat.v4.writes(nbformat.from_dict(copy.deepcopy(notebook)))
    assert write(notebook).removesuffix("\n") == theirs.removesuffix("\n")


@pytest.mark.parametrize("size", [LONG_TEXT - 1, LONG_TEXT + 1, 3 * LONG_TEXT])
def test_a_long_text_of_any_kind_is_kept_whole(size: int) -> None:
    text = ('a line with a "quote", a \\ and an é\n' * (size // 36 + 1))[:size]
    notebook = make_notebook(
        markdown_cell(text),
        code_cell(
            text,
            outputs=[
                {"output_type": "stream", "name": "stdout", "text": text},
                {
                    "output_type": "display_data",
                    "metadata": {},
                    "data": {"text/plain": text, "image/png": text, "text/html": "short"},
                },
            ],
        ),
        markdown_cell("the end"),
    )
    assert json.loads(json.dumps(read(write(notebook)))) == notebook


def test_a_long_text_is_one_string_not_a_million_lines() -> None:
    text = "line\n" * (LONG_TEXT // 4)
    output = {"output_type": "stream", "name": "stdout", "text": text}
    written = json.loads(write(make_notebook(code_cell(outputs=[output]))))
    assert written["cells"][0]["outputs"][0]["text"] == text


def test_text_that_comes_in_pieces_is_joined() -> None:
    output = {"output_type": "stream", "name": "stdout", "text": ["one\ntw", "o\nthree"]}
    (cell,) = read(write(make_notebook(code_cell(outputs=[output])))).cells
    assert cell.outputs[0].text == "one\ntwo\nthree"


def test_half_of_a_surrogate_pair_is_replaced() -> None:
    """UTF-8 has none; a kernel that is not Python may send one."""
    output = {"output_type": "stream", "name": "stdout", "text": "a\ud800b"}
    (cell,) = read(write(make_notebook(code_cell(outputs=[output])))).cells
    assert cell.outputs[0].text == "a?b"


@pytest.mark.parametrize("data", [[1, 2], ["a", 1], {"a": ["b"]}, 5, None, True, []])
def test_data_of_a_mime_type_that_should_be_text_is_kept_as_it_came(data: Any) -> None:
    output = {"output_type": "display_data", "metadata": {}, "data": {"application/x-thing": data}}
    written = json.loads(write(make_notebook(code_cell(outputs=[output]))))
    assert written["cells"][0]["outputs"][0]["data"] == {"application/x-thing": data}


def test_metadata_is_written_at_its_depth() -> None:
    assert dump_metadata({"b": 1, "a": [2]}) == b'{\n  "a": [\n   2\n  ],\n  "b": 1\n }'

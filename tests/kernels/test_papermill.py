"""A notebook written for papermill gives the same with both, down to the metadata that its readers read."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from tests.helpers import Place, output_of

_PARAMETERS = """
number: 5
ratio: 0.25
text: "a 'quoted' text\\nof two lines"
items: [3, "x", null]
table: {b: 2.5, c: [true]}
flag: true
"""


@dataclass(frozen=True, kw_only=True)
class Both:
    """The same notebook executed by dayfly and by papermill."""

    dayfly: NotebookNode
    papermill: NotebookNode


@pytest.fixture(scope="module")
def both(shared_place: Place) -> Both:
    place = shared_place
    notebook = place.notebook("for_papermill")
    (place.root / "parameters.yaml").write_text(_PARAMETERS)
    arguments = ["-f", "parameters.yaml", "-p", "number", "7"]
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "papermill", str(notebook), "papermill.ipynb", *arguments],
        cwd=place.root,
        env=dict(place.environ),
        check=True,
        capture_output=True,
        timeout=60,
    )
    run, _ = place.run("for_papermill", "-f", "parameters.yaml", "-p", "number=7", "-o", "dayfly.ipynb")
    return Both(
        dayfly=output_of(run),
        papermill=nbformat.read(place.root / "papermill.ipynb", as_version=4),
    )


def _cells(notebook: NotebookNode) -> list[tuple[Any, ...]]:
    return [
        (cell["cell_type"], cell["source"], cell["metadata"].get("tags"), cell.get("execution_count"))
        for cell in notebook["cells"]
    ]


def test_the_cells_are_the_same_with_the_injected_one_in_the_same_place(both: Both) -> None:
    theirs = _cells(both.papermill)
    # papermill gives every cell an empty list of tags.
    ours = [(kind, source, tags or [], count) for kind, source, tags, count in _cells(both.dayfly)]
    assert ours == [(kind, source, tags or [], count) for kind, source, tags, count in theirs]


def test_the_outputs_are_the_same(both: Both) -> None:
    def outputs(notebook: NotebookNode) -> list[Any]:
        return [cell.get("outputs") for cell in notebook["cells"]]

    assert outputs(both.dayfly) == outputs(both.papermill)


def test_the_notebooks_metadata_has_papermills_keys_and_values(both: Both) -> None:
    ours, theirs = both.dayfly["metadata"]["papermill"], both.papermill["metadata"]["papermill"]
    assert set(ours) == set(theirs)
    for same in ("parameters", "default_parameters", "environment_variables", "exception"):
        assert ours[same] == theirs[same], same
    for key in ("start_time", "end_time", "duration", "version", "input_path", "output_path"):
        assert type(ours[key]) is type(theirs[key]), key


def test_each_cells_metadata_has_papermills_keys_and_values(both: Both) -> None:
    for ours, theirs in zip(both.dayfly["cells"], both.papermill["cells"], strict=True):
        if ours["cell_type"] != "code":
            continue
        assert set(ours["metadata"]["papermill"]) == set(theirs["metadata"]["papermill"])
        if ours["source"]:
            assert ours["metadata"]["papermill"]["status"] == theirs["metadata"]["papermill"]["status"]
            assert ours["metadata"]["papermill"]["exception"] == theirs["metadata"]["papermill"]["exception"]


def test_kernelspec_and_language_are_the_same(both: Both) -> None:
    for key in ("kernelspec", "language_info"):
        assert both.dayfly["metadata"][key] == both.papermill["metadata"][key]


def test_papermill_runs_what_dayfly_has_executed(shared_place: Place, both: Both) -> None:
    """And replaces the injected cell, as it does with its own outputs."""
    subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "papermill",
            "dayfly.ipynb",
            "again.ipynb",
            "-p",
            "number",
            "9",
        ],
        cwd=shared_place.root,
        env=dict(shared_place.environ),
        check=True,
        capture_output=True,
        timeout=60,
    )
    again = nbformat.read(shared_place.root / "again.ipynb", as_version=4)
    assert len(again["cells"]) == len(both.dayfly["cells"])
    assert "number = 9" in again["cells"][2]["source"]

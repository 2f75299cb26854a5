"""What Jupyter users expect of cells, tags, displays and widgets, with a real kernel."""

from __future__ import annotations

import json
from typing import Any

from tests.helpers import Place, cell_states, output_of, text_of


def test_a_cell_that_is_tagged_as_raising_may_raise(place: Place) -> None:
    """`raises-exception` goes on after the error, `skip-execution` leaves the cell alone."""
    run, _ = place.run("tags")
    notebook = output_of(run)
    assert cell_states(notebook) == ["executed", "not_run", "executed"]
    assert notebook["cells"][0]["outputs"][0]["ename"] == "KeyError"
    assert notebook["cells"][1]["outputs"] == []
    assert text_of(notebook["cells"][2]) == "reached\n"


def test_allow_errors_goes_on_after_cells_that_raise(place: Place) -> None:
    run, _ = place.run("raises_twice", "--allow-errors")
    notebook = output_of(run)
    assert [cell["outputs"][0].get("ename") for cell in notebook["cells"]] == [
        None,
        "ValueError",
        "ValueError",
        None,
    ]
    assert text_of(notebook["cells"][3]) == "reached\n"


def test_displays_are_updated_in_the_cells_that_showed_them(place: Place) -> None:
    """A later cell changes an earlier one's output; what is cleared is not kept."""
    cells = output_of(place.run("display_updates")[0])["cells"]
    assert cells[0]["outputs"][0]["data"]["text/plain"] == "'after'"
    assert text_of(cells[1]) == "between\n"
    assert text_of(cells[3]) == "kept\n"


def test_widgets_keep_their_state(place: Place) -> None:
    """So that the executed notebook shows them as they were at the end."""
    notebook = output_of(place.run("widgets")[0])
    assert cell_states(notebook) == ["executed"] * 3
    saved = notebook["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    view = notebook["cells"][0]["outputs"][0]["data"]["application/vnd.jupyter.widget-view+json"]
    assert saved[view["model_id"]]["model_name"] == "IntSliderModel"
    assert saved[view["model_id"]]["state"]["value"] == 7
    captured: list[dict[str, Any]] = [
        model["state"] for model in saved.values() if model["model_name"] == "OutputModel"
    ]
    assert "inside the widget" in json.dumps(captured)


def test_an_executed_notebook_can_be_run_again(place: Place) -> None:
    """What an earlier run left (outputs, states, injected cell) is replaced, not added to."""
    first, _ = place.run("hello", "-p", "name=Ann", "-o", "once.ipynb")
    again = place.find(place.cli("run", "once.ipynb", "-p", "name=Bob").run_id)
    notebook = output_of(again)
    assert len(notebook["cells"]) == len(output_of(first)["cells"])
    assert "hello Bob, 0\n" in text_of(notebook["cells"][3])
    assert "Ann" not in json.dumps(notebook["cells"])

"""What a notebook records in a real kernel, in environments with and without dayfly."""

from __future__ import annotations

import math
from pathlib import Path

import nbformat
import pytest

from tests.helpers import Place, cell_states, output_of, text_of
from tests.kernels.test_environments import make_environment

RECORDS = """
import dayfly
print(dayfly.__file__)
dayfly.record("rmse", 0.5)
dayfly.record("worst", float("nan"))
dayfly.record("rmse", 0.25)
"""
GLUES = """
from IPython.display import display
scrap = {"name": "glued", "data": [1, 2], "encoder": "json", "version": 1}
display({"application/scrapbook.scrap.json+json": scrap}, raw=True)
"""
LEAKS = "print(sorted(name for name in dir() if not name.startswith('_')), len(In), _)"
FAILS = "raise ValueError(_)"


def _notebook(place: Place, *sources: str) -> Path:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    file = place.root / "records.ipynb"
    nbformat.write(notebook, file)
    return file


@pytest.fixture
def without_dayfly(tmp_path: Path) -> Path:
    """An environment that has this one's packages, ipykernel among them, and no dayfly."""
    return make_environment(tmp_path / "theirs", "theirs")


def test_a_kernel_without_dayfly_records(place: Place, without_dayfly: Path) -> None:
    file = _notebook(place, LEAKS, RECORDS, GLUES)
    done = place.cli("run", str(file), "--python", str(without_dayfly))
    run = place.find(done.run_id)
    assert run.result is not None
    records = run.result.records
    assert math.isnan(records.pop("worst"))
    assert records == {"rmse": 0.25, "glued": [1, 2]}
    cells = output_of(run)["cells"]
    assert text_of(cells[0]) == "['In', 'Out', 'exit', 'get_ipython', 'open', 'quit'] 2 \n"
    assert text_of(cells[1]).endswith("for_kernels/dayfly.py\n")
    assert cells[1]["execution_count"] == 2
    assert "recorded   worst = nan" in place.show(run)


def test_an_installed_dayfly_is_not_shadowed(place: Place, without_dayfly: Path) -> None:
    (site,) = without_dayfly.glob("lib/*/site-packages")
    (site / "dayfly.py").write_text("def record(name, value): print('theirs')\n")
    done = place.cli("run", str(_notebook(place, RECORDS)), "--python", str(without_dayfly))
    run = place.find(done.run_id)
    assert text_of(output_of(run)["cells"][0]).endswith(f"{site}/dayfly.py\ntheirs\ntheirs\ntheirs\n")
    assert run.result is not None
    assert run.result.records == {}


def test_what_a_failed_notebook_recorded_before_is_kept(place: Place) -> None:
    done = place.cli("run", str(_notebook(place, RECORDS, FAILS)), code=None)
    run = place.find(done.run_id)
    assert cell_states(output_of(run)) == ["executed", "failed"]
    assert run.result is not None
    assert run.result.records["rmse"] == 0.25

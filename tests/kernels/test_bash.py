"""A kernel that is not Python, installed as its users install it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import Place, cell_states, output_of, text_of


@pytest.fixture(scope="module")
def jupyter_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where bash_kernel's kernelspec is: a prefix of its own."""
    prefix = tmp_path_factory.mktemp("bash")
    subprocess.run(
        [sys.executable, "-m", "bash_kernel.install", "--prefix", str(prefix)],
        check=True,
        capture_output=True,
    )
    assert (prefix / "share/jupyter/kernels/bash/kernel.json").exists()
    return str(prefix / "share/jupyter")


def test_parameters_are_injected_in_the_kernels_own_language(place: Place, jupyter_path: str) -> None:
    """papermill's translator for bash writes them; a text with a quote stays a text."""
    options = ("-p", "name=it's me", "-p", "count=2")
    run, done = place.run("bash", *options, environ={"JUPYTER_PATH": jupyter_path})
    notebook = output_of(run)
    assert notebook["cells"][1]["metadata"]["tags"] == ["injected-parameters"]
    assert "count=2" in notebook["cells"][1]["source"]
    assert text_of(notebook["cells"][2]) == "hello it's me\nhello it's me\n"
    assert cell_states(notebook) == ["executed"] * 4
    assert "running on bash" in done.err
    receipt = run.receipt
    assert receipt is not None
    assert (receipt.kernel.name, receipt.kernel.language) == ("bash", "bash")


def test_a_bash_notebook_is_inspected(place: Place) -> None:
    place.notebook("bash")
    told = place.cli("inspect", "bash.ipynb", "--json").json()
    assert [(known["name"], known["default"]) for known in told["parameters"]] == [
        ("name", "world"),
        ("count", "1"),
    ]


def test_without_its_kernelspec_the_notebook_is_refused_with_what_there_is(place: Place) -> None:
    done = place.cli("run", str(place.notebook("bash")), code=6)
    assert "There is no kernel 'bash'." in done.err
    assert "Installed: python3" in done.err


def test_the_kernel_of_another_prefix_is_asked_for_by_name(place: Place, jupyter_path: str) -> None:
    (Path(place.root) / "sh.ipynb").write_text(
        place.notebook("no_parameters").read_text().replace("print('nothing to set')", "echo $((6 * 7))")
    )
    done = place.cli("run", "sh.ipynb", "--kernel", "bash", environ={"JUPYTER_PATH": jupyter_path})
    assert text_of(output_of(place.find(done.run_id))["cells"][0]) == "42\n"

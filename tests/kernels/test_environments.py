"""Which Python runs a notebook, with dayfly installed as a tool of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dayfly.runs.run import Run
from tests.helpers import Place, cell_states, output_of, text_of


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with a package that dayfly's own has not, and no dayfly.

    Making one with ipykernel takes half a minute of installing; so this one is only the files that
    make one, and a `.pth` that lends it this environment's packages.
    """
    return make_environment(tmp_path_factory.mktemp("environment") / "theirs", "theirs")


def make_environment(prefix: Path, name: str) -> Path:
    """An environment at `prefix` that has this one's packages, ipykernel among them, and no dayfly."""
    base = Path(sys.base_prefix) / "bin"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = prefix / "lib" / version / "site-packages"
    site.mkdir(parents=True)
    (prefix / "bin").mkdir()
    (prefix / "bin" / "python").symlink_to(base / version)
    (prefix / "pyvenv.cfg").write_text(f"home = {base}\ninclude-system-site-packages = false\n")
    own = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "lent.pth").write_text(f"{own}\n")
    (site / "ipykernel").symlink_to(Path(own) / "ipykernel")
    (site / "marker_of_this_environment.py").write_text("")
    (site / f"{name}_only-1.2.3.dist-info").mkdir()
    return prefix


def _ran_in(run: Run, prefix: Path) -> bool:
    cells = output_of(run)["cells"]
    assert cell_states(output_of(run)) == ["executed", "executed"]
    marker = prefix / "lib" / f"python3.{sys.version_info.minor}" / "site-packages" / "marker_of"
    return text_of(cells[0]) == f"{prefix}\n" and text_of(cells[1]).startswith(str(marker))


def _run(place: Place, *options: str, **environ: str) -> tuple[Run, str]:
    run, done = place.run("tells_its_python", *options, environ=environ)
    return run, done.err


def test_the_environment_that_is_asked_for_wins(place: Place, environment: Path) -> None:
    run, told = _run(place, "--python", str(environment), VIRTUAL_ENV="/nowhere")
    assert _ran_in(run, environment)
    assert "flag, --python" in told


def test_its_executable_will_do_too_and_the_setting(place: Place, environment: Path) -> None:
    (place.root / "dayfly.toml").write_text(f'python = "{environment}/bin/python"\n')
    run, told = _run(place)
    assert _ran_in(run, environment)
    assert "dayfly.toml, line 1" in told


def test_else_the_active_virtual_environment(place: Place, environment: Path) -> None:
    run, told = _run(place, VIRTUAL_ENV=str(environment))
    assert _ran_in(run, environment)
    assert "active virtual environment" in told
    receipt = run.receipt
    assert receipt is not None
    assert receipt.kernel.packages["theirs-only"] == "1.2.3"
    assert receipt.kernel.python == str(environment / "bin" / "python")


def test_else_the_active_conda_environment(place: Place, environment: Path) -> None:
    run, told = _run(place, CONDA_PREFIX=str(environment), CONDA_DEFAULT_ENV="science")
    assert _ran_in(run, environment)
    assert "active conda environment science" in told


def test_else_the_one_beside_the_notebook(place: Place) -> None:
    beside = make_environment(place.root / ".venv", "beside")
    run, told = _run(place)
    assert _ran_in(run, beside)
    assert f".venv in {place.root}" in told


def test_else_dayflys_own(place: Place) -> None:
    run, told = _run(place)
    cells = output_of(run)["cells"]
    assert text_of(cells[0]) == f"{sys.prefix}\n"
    assert cells[1]["outputs"][0]["ename"] == "ModuleNotFoundError"
    assert "dayfly's own environment" in told


def test_an_environment_without_ipykernel_is_told_how_to_get_it(place: Place) -> None:
    bare = make_environment(place.root / "bare", "bare")
    site = next((bare / "lib").glob("python3*/site-packages"))
    (site / "ipykernel").unlink()
    done = place.cli("run", str(place.notebook("hello")), "--python", "bare", code=6)
    assert "has no Jupyter kernel 'python3'" in done.err
    assert f"{bare}/bin/python -m pip install ipykernel" in done.err
    (bare / "pyvenv.cfg").write_text((bare / "pyvenv.cfg").read_text() + "uv = 0.9\n")
    done = place.cli("run", "hello.ipynb", "--python", "bare", code=6)
    assert f"uv pip install --python {bare}/bin/python ipykernel" in done.err


def test_what_is_no_python_is_told_so(place: Place) -> None:
    done = place.cli("run", str(place.notebook("hello")), "--python", os.devnull, code=6)
    assert "is no Python" in done.err

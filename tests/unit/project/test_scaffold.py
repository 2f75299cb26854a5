"""A new project, in an empty folder or in one where somebody has worked already."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

from dayfly.errors import UsageError
from dayfly.project.load import load_project
from dayfly.project.scaffold import Step, begin_repository, plan_files, write_files
from dayfly.runner.inspection import inspect_parameters

EVERYTHING = [
    ".dockerignore",
    ".gitignore",
    "Dockerfile",
    "compose.yaml",
    "dayfly.toml",
    "example.ipynb",
    "requirements.txt",
]


def _scaffold(root: Path, base: str | None = None) -> dict[str, Step]:
    return {step.name: step for step in write_files(root, plan_files(root, base))}


def _dockerfile(root: Path, base: str | None = None) -> str:
    _scaffold(root, base)
    return (root / "Dockerfile").read_text()


def test_an_empty_folder_gets_every_file(tmp_path: Path) -> None:
    steps = _scaffold(tmp_path)
    assert sorted(steps) == EVERYTHING
    assert {step.done for step in steps.values()} == {"written"}
    assert sorted(path.name for path in tmp_path.iterdir()) == EVERYTHING


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    _scaffold(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    steps = _scaffold(tmp_path)
    assert sorted(steps) == EVERYTHING
    assert {step.done for step in steps.values()} == {"kept"}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", [name for name in EVERYTHING if name != ".gitignore"])
def test_what_is_there_is_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    assert _scaffold(tmp_path)[name].done == "kept"
    assert (tmp_path / name).read_text() == "mine"


def test_a_gitignore_gets_only_the_lines_it_lacks(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("data/\n/.venv\n.env*")
    step = _scaffold(tmp_path)[".gitignore"]
    assert step.done == "extended"
    assert step.about == "with .dayfly/, .ipynb_checkpoints/, __pycache__/"
    assert (tmp_path / ".gitignore").read_text() == (
        "data/\n/.venv\n.env*\n.dayfly/\n.ipynb_checkpoints/\n__pycache__/\n"
    )


def test_the_settings_are_valid(tmp_path: Path) -> None:
    _scaffold(tmp_path)
    assert load_project(tmp_path, {}).settings.image.dockerfile == "Dockerfile"


def test_settings_in_pyproject_need_no_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.dayfly]\ntimeout = "1h"\n')
    assert "dayfly.toml" not in _scaffold(tmp_path)


def test_the_example_is_a_valid_notebook_with_parameters_and_no_outputs(tmp_path: Path) -> None:
    _scaffold(tmp_path)
    notebook = nbformat.read(tmp_path / "example.ipynb", as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    parameters = inspect_parameters(notebook)
    assert [parameter.name for parameter in parameters or []] == ["latitude", "year"]
    assert not any(cell.get("outputs") for cell in notebook["cells"])


def test_where_notebooks_are_there_is_no_example(tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "mine.ipynb").touch()
    assert "example.ipynb" not in _scaffold(tmp_path)


def test_notebooks_of_an_environment_are_nobodys_work(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "theirs.ipynb").touch()
    assert "example.ipynb" in _scaffold(tmp_path)


def test_a_dockerfile_installs_first_and_copies_no_notebook(tmp_path: Path) -> None:
    lines = [line for line in _dockerfile(tmp_path).splitlines() if line and not line.startswith("#")]
    assert lines[0] == "FROM python:3.12-slim-bookworm"
    assert [line for line in lines if line.startswith("COPY")] == ["COPY requirements.txt /tmp/project/"]
    assert lines[-2:] == ["USER notebook", "WORKDIR /dayfly/project"]


def test_the_base_is_the_users_choice(tmp_path: Path) -> None:
    assert "FROM debian:bookworm\nUSER root\n" in _dockerfile(tmp_path, "debian:bookworm")


def test_a_dockerfile_that_is_there_says_itself_what_is_needed(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM mine\n")
    steps = _scaffold(tmp_path)
    assert steps["Dockerfile"].done == "kept"
    assert "requirements.txt" not in steps


def test_requirements_without_a_kernel_are_completed_in_the_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("polars\n# jupyterlab\nmy-ipykernel-like\n")
    made = _dockerfile(tmp_path)
    assert "\nRUN pip install ipykernel jupyterlab\n" in made
    assert (tmp_path / "requirements.txt").read_text().startswith("polars\n")


def test_requirements_that_name_everything_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("JupyterLab==4.4\nipykernel~=6.29\n")
    assert "does not name" not in _dockerfile(tmp_path)


def test_an_environment_of_conda_is_installed_by_micromamba(tmp_path: Path) -> None:
    (tmp_path / "environment.yml").write_text("dependencies:\n- python=3.12\n- ipykernel\n")
    made = _dockerfile(tmp_path)
    assert "FROM mambaorg/micromamba" in made
    assert "COPY environment.yml /tmp/environment.yml" in made
    assert "--channel conda-forge jupyterlab\n" in made
    assert not (tmp_path / "requirements.txt").exists()


def test_a_pyproject_is_installed_without_its_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "a"\ndependencies = ["ipykernel"]\n')
    made = _dockerfile(tmp_path)
    assert "COPY pyproject.toml /tmp/project/" in made
    assert "['project']['dependencies']" in made
    assert "RUN pip install jupyterlab" in made


def test_a_lock_file_of_uv_is_obeyed(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "a"\ndependencies = []\n')
    (tmp_path / "uv.lock").touch()
    assert "COPY pyproject.toml uv.lock /tmp/project/" in _dockerfile(tmp_path)


def test_a_pyproject_for_a_linter_names_no_packages(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\n")
    assert "requirements.txt" in _scaffold(tmp_path)


def test_compose_publishes_to_this_machine_alone_and_holds_no_token(tmp_path: Path) -> None:
    _scaffold(tmp_path)
    service = yaml.safe_load((tmp_path / "compose.yaml").read_text())["services"]["lab"]
    assert service["ports"] == ["127.0.0.1:8888:8888"]
    assert service["environment"]["JUPYTER_TOKEN"] is None
    assert service["cap_drop"] == ["ALL"]


def test_a_repository_is_begun_where_there_is_none(tmp_path: Path) -> None:
    assert begin_repository(tmp_path / "new")
    assert (tmp_path / "new" / ".git").is_dir()
    assert not begin_repository(tmp_path / "new" / "deeper")
    assert not (tmp_path / "new" / "deeper" / ".git").exists()


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_files(tmp_path / "file", plan_files(tmp_path))


def test_what_is_ignored_by_git_is_what_dayfly_and_jupyter_leave(tmp_path: Path) -> None:
    begin_repository(tmp_path)
    _scaffold(tmp_path)
    (tmp_path / ".dayfly").mkdir()
    (tmp_path / ".dayfly" / "run").touch()
    (tmp_path / ".env").touch()
    seen = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        text=True,
        timeout=30,
    ).stdout.split()
    assert sorted(seen[1::2]) == EVERYTHING
    assert tomllib.loads((tmp_path / "dayfly.toml").read_text())

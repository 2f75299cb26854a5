import sys
from pathlib import Path

import pytest

from dayfly.backends.python import choose_python
from dayfly.errors import KernelMissingError
from dayfly.runs.request import PythonEnvironment


def write_venv(folder: Path) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / "pyvenv.cfg").touch()
    return folder


def choose(
    asked: str | None = None, *, folders: tuple[Path, ...] = (), source: str = "--python", **environ: str
) -> PythonEnvironment:
    return choose_python(asked, source=source, folders=list(folders), environ=environ)


def test_what_was_asked_for_is_stronger_than_all(tmp_path: Path) -> None:
    asked, active = write_venv(tmp_path / "asked"), write_venv(tmp_path / "active")
    chosen = choose(str(asked), VIRTUAL_ENV=str(active), source="flag, --python")
    assert chosen == PythonEnvironment(
        executable=str(asked / "bin/python"), prefix=str(asked), source="flag, --python"
    )


def test_the_active_environment_comes_before_one_beside_the_notebook(tmp_path: Path) -> None:
    active = write_venv(tmp_path / "active")
    write_venv(tmp_path / ".venv")
    chosen = choose(folders=(tmp_path,), VIRTUAL_ENV=str(active))
    assert (chosen.prefix, chosen.source) == (str(active), "active virtual environment")


def test_a_virtual_environment_within_conda_is_the_virtual_one(tmp_path: Path) -> None:
    active, conda = write_venv(tmp_path / "active"), write_venv(tmp_path / "conda")
    assert choose(VIRTUAL_ENV=str(active), CONDA_PREFIX=str(conda)).prefix == str(active)


def test_an_active_conda_environment_is_named(tmp_path: Path) -> None:
    conda = write_venv(tmp_path / "conda")
    chosen = choose(CONDA_PREFIX=str(conda), CONDA_DEFAULT_ENV="science")
    assert (chosen.prefix, chosen.source) == (str(conda), "active conda environment science")


def test_the_notebooks_own_comes_before_the_projects(tmp_path: Path) -> None:
    write_venv(tmp_path / ".venv")
    write_venv(tmp_path / "a" / ".venv")
    chosen = choose(folders=(tmp_path / "a", tmp_path))
    assert chosen.prefix == str(tmp_path / "a" / ".venv")
    assert chosen.source == f".venv in {tmp_path / 'a'}"


def test_an_environment_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    write_venv(tmp_path / ".venv")
    assert choose(folders=(tmp_path,), VIRTUAL_ENV="/gone").prefix == str(tmp_path / ".venv")


def test_without_any_it_is_dayflys_own(tmp_path: Path) -> None:
    chosen = choose(folders=(tmp_path,))
    assert (chosen.executable, chosen.prefix) == (sys.executable, sys.prefix)


def test_an_executable_of_an_environment_can_be_asked_for(tmp_path: Path) -> None:
    """Its link is not followed: the environment is where the link lies."""
    asked = write_venv(tmp_path / "asked")
    assert choose(str(asked / "bin" / "python")).prefix == str(asked)


def test_a_command_on_the_path_can_be_asked_for(tmp_path: Path) -> None:
    asked = write_venv(tmp_path / "asked")
    chosen = choose("python", PATH=str(asked / "bin"))
    assert (chosen.executable, chosen.prefix) == (str(asked / "bin/python"), str(asked))


def test_a_python_outside_any_environment_is_asked_for_its_prefix(tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\necho /the/prefix\n")
    (tmp_path / "python").chmod(0o755)
    assert choose(str(tmp_path / "python")).prefix == "/the/prefix"


@pytest.mark.parametrize("content", [None, "#!/bin/sh\nexit 1\n"])
def test_what_is_no_python_is_refused_with_its_source(tmp_path: Path, content: str | None) -> None:
    asked = tmp_path / "python"
    if content is not None:
        asked.write_text(content)
        asked.chmod(0o755)
    with pytest.raises(KernelMissingError, match=r"is no Python") as caught:
        choose(str(asked), source="dayfly.toml, line 3")
    assert "(dayfly.toml, line 3)" in caught.value.what
    assert caught.value.exit_code == 6

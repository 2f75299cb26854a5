from __future__ import annotations

from pathlib import Path

import pytest

from dayfly.environment.generate import generate_dockerfile, without_cache_mounts
from dayfly.errors import ImageError


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        (root / name.replace("__", ".").replace("_dir_", "/")).write_text(text)


class TestRequirements:
    def test_are_installed_with_a_kernel_for_a_user_who_is_not_root(self, tmp_path: Path) -> None:
        write(tmp_path, requirements__txt="pandas\n")
        made = generate_dockerfile(tmp_path, None)
        assert made.dockerfile.startswith("FROM python:3.12-slim-bookworm\n")
        assert "-r requirements.txt ipykernel\n" in made.dockerfile
        assert made.dockerfile.rstrip().endswith("USER 1000")
        assert (made.source, made.files) == ("requirements.txt", ("requirements.txt",))

    def test_that_have_ipykernel_are_left_alone(self, tmp_path: Path) -> None:
        write(tmp_path, requirements__txt="IPykernel==6.29\n")
        assert "requirements.txt ipykernel" not in generate_dockerfile(tmp_path, None).dockerfile

    def test_bring_along_the_files_that_they_include(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            requirements__txt="-r more.txt\n-c limits.txt\n",
            more__txt="ipykernel\n",
            limits__txt="",
        )
        made = generate_dockerfile(tmp_path, "other:1")
        assert made.files == ("requirements.txt", "more.txt", "limits.txt")
        assert "COPY more.txt ./more.txt" in made.dockerfile
        assert made.dockerfile.startswith("FROM other:1\n")

    @pytest.mark.parametrize("line", ["-e .", "./lib", "x @ file:///x", "lib/x.whl", "-r ../other.txt"])
    def test_that_need_the_project_copy_it(self, tmp_path: Path, line: str) -> None:
        write(tmp_path, requirements__txt=f"{line}\n")
        made = generate_dockerfile(tmp_path, None)
        assert made.files is None
        assert "COPY . ./" in made.dockerfile

    def test_that_include_what_is_not_there_are_told(self, tmp_path: Path) -> None:
        write(tmp_path, requirements__txt="-r more.txt\n")
        with pytest.raises(ImageError, match=r"more\.txt cannot be read"):
            generate_dockerfile(tmp_path, None)


class TestPyproject:
    def test_with_a_lock_is_installed_as_locked(self, tmp_path: Path) -> None:
        write(tmp_path, pyproject__toml="[project]\nname='x'\n", uv__lock='[[package]]\nname = "ipykernel"\n')
        made = generate_dockerfile(tmp_path, None)
        assert made.files == ("pyproject.toml", "uv.lock")
        assert "uv sync --frozen" in made.dockerfile
        assert "pip install --python /opt/venv ipykernel" not in made.dockerfile

    def test_without_a_lock_gives_its_dependencies(self, tmp_path: Path) -> None:
        write(tmp_path, pyproject__toml="[project]\nname='x'\n")
        assert "-r pyproject.toml && " in generate_dockerfile(tmp_path, None).dockerfile

    def test_of_tools_alone_says_nothing_of_packages(self, tmp_path: Path) -> None:
        write(tmp_path, pyproject__toml="[tool.dayfly]\n")
        with pytest.raises(ImageError, match="says nothing"):
            generate_dockerfile(tmp_path, None)

    def test_that_is_no_toml_is_told(self, tmp_path: Path) -> None:
        write(tmp_path, pyproject__toml="[")
        with pytest.raises(ImageError, match="not valid TOML"):
            generate_dockerfile(tmp_path, None)


class TestConda:
    def test_an_environment_is_installed_by_micromamba(self, tmp_path: Path) -> None:
        write(tmp_path, environment__yml="dependencies:\n  - python=3.12\n")
        made = generate_dockerfile(tmp_path, None)
        assert made.dockerfile.startswith("FROM mambaorg/micromamba:2\n")
        assert "-c conda-forge ipykernel" in made.dockerfile
        assert made.files == ("environment.yml",)

    def test_one_that_names_a_requirements_file_takes_the_project(self, tmp_path: Path) -> None:
        write(tmp_path, environment__yaml="dependencies:\n  - ipykernel\n  - pip:\n    - -r more.txt\n")
        made = generate_dockerfile(tmp_path, None)
        assert made.files is None
        assert "conda-forge" not in made.dockerfile


def test_the_old_builder_gets_no_cache_mounts(tmp_path: Path) -> None:
    write(tmp_path, requirements__txt="")
    text = generate_dockerfile(tmp_path, None).dockerfile
    assert "--mount" in text
    assert "--mount" not in without_cache_mounts(text)
    assert "UV_NO_CACHE=1" in without_cache_mounts(text)

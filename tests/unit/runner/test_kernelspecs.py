from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dayfly.errors import KernelMissingError, UsageError
from dayfly.runner.kernelspecs import (
    find_kernelspecs,
    home_directory,
    load_kernelspec,
    read_pyvenv,
    site_directories,
)


def write_spec(kernels: Path, name: str, **changes: Any) -> Path:
    folder = kernels / name
    folder.mkdir(parents=True)
    spec = {"argv": [name, "{connection_file}"], "display_name": name.title(), "language": name, **changes}
    (folder / "kernel.json").write_text(json.dumps(spec))
    return folder


def write_venv(folder: Path, *, ipykernel: bool, config: str = "home = /usr/bin\n") -> Path:
    """A virtual environment, as far as it is looked at."""
    site = folder / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(config)
    if ipykernel:
        (site / "ipykernel").mkdir()
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def environ(home: Path) -> dict[str, str]:
    """Nothing of this machine's but what lies in system folders."""
    return {"HOME": str(home), "JUPYTER_DATA_DIR": str(home / "jupyter")}


def load(name: str, prefix: Path, environ: dict[str, str]) -> Any:
    return load_kernelspec(name, python=str(prefix / "bin" / "python"), prefix=prefix, environ=environ)


class TestPython:
    def test_an_environment_with_ipykernel_has_its_python3(
        self, tmp_path: Path, environ: dict[str, str]
    ) -> None:
        """Also without a kernel.json, as after `pip install --target` or in a slim image."""
        venv = write_venv(tmp_path / "venv", ipykernel=True)
        spec = load("python3", venv, environ)
        assert spec.argv[:3] == (str(venv / "bin" / "python"), "-m", "ipykernel_launcher")
        assert spec.is_ipython

    def test_its_own_kernel_json_is_used_when_it_is_there(
        self, tmp_path: Path, environ: dict[str, str]
    ) -> None:
        venv = write_venv(tmp_path / "venv", ipykernel=True)
        write_spec(venv / "share/jupyter/kernels", "python3", argv=["python", "-m", "mine"], env={"A": "1"})
        spec = load("python3", venv, environ)
        assert spec.argv == (str(venv / "bin" / "python"), "-m", "mine")
        assert spec.env == {"A": "1"}

    @pytest.mark.parametrize("program", ["python", "python3", "python3.12"])
    def test_a_bare_python_is_the_one_that_was_chosen(
        self, tmp_path: Path, environ: dict[str, str], program: str
    ) -> None:
        venv = write_venv(tmp_path / "venv", ipykernel=True)
        write_spec(venv / "share/jupyter/kernels", "python3", argv=[program, "-m", "x"])
        assert load("python3", venv, environ).argv[0] == str(venv / "bin" / "python")

    def test_a_python_with_a_path_is_kept(self, tmp_path: Path, environ: dict[str, str]) -> None:
        venv = write_venv(tmp_path / "venv", ipykernel=True)
        write_spec(venv / "share/jupyter/kernels", "other", argv=["/opt/bin/python3", "-m", "x"])
        assert load("other", venv, environ).argv[0] == "/opt/bin/python3"

    def test_a_python3_of_the_users_is_another_python(
        self, tmp_path: Path, environ: dict[str, str], home: Path
    ) -> None:
        """`ipython kernel install --user` of some other environment must not run this project's notebooks."""
        venv = write_venv(tmp_path / "venv", ipykernel=True)
        write_spec(home / "jupyter/kernels", "python3", argv=["/elsewhere/python", "-m", "x"])
        assert load("python3", venv, environ).argv[0] == str(venv / "bin" / "python")

    def test_without_ipykernel_it_is_not_taken_either(
        self, tmp_path: Path, environ: dict[str, str], home: Path
    ) -> None:
        venv = write_venv(tmp_path / "venv", ipykernel=False)
        write_spec(home / "jupyter/kernels", "python3", argv=["/elsewhere/python", "-m", "x"])
        with pytest.raises(KernelMissingError, match="has no Jupyter kernel 'python3'"):
            load("python3", venv, environ)

    def test_one_that_jupyter_path_names_was_asked_for(self, tmp_path: Path, environ: dict[str, str]) -> None:
        venv = write_venv(tmp_path / "venv", ipykernel=True)
        write_spec(tmp_path / "extra/kernels", "python3", argv=["/asked/python"])
        assert load("python3", venv, {**environ, "JUPYTER_PATH": str(tmp_path / "extra")}).argv == (
            "/asked/python",
        )


class TestFinding:
    def test_the_environment_comes_before_the_user(
        self, tmp_path: Path, environ: dict[str, str], home: Path
    ) -> None:
        venv = write_venv(tmp_path / "venv", ipykernel=True)
        write_spec(venv / "share/jupyter/kernels", "ir", argv=["R-of-the-environment"])
        write_spec(home / "jupyter/kernels", "ir", argv=["R-of-the-user"])
        assert load("ir", venv, environ).argv == ("R-of-the-environment",)

    def test_a_kernel_of_the_users_serves_every_environment(
        self, tmp_path: Path, environ: dict[str, str], home: Path
    ) -> None:
        venv = write_venv(tmp_path / "venv", ipykernel=False)
        write_spec(home / "jupyter/kernels", "ir")
        assert load("ir", venv, environ).display_name == "Ir"

    def test_names_are_told_apart_without_their_case(self, tmp_path: Path, environ: dict[str, str]) -> None:
        """As Jupyter does."""
        venv = write_venv(tmp_path / "venv", ipykernel=False)
        write_spec(venv / "share/jupyter/kernels", "IR")
        assert load("Ir", venv, environ).name == "ir"

    @pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"argv": 5}', b"\xff", None])
    def test_a_kernel_that_cannot_be_read_is_passed_over(
        self, tmp_path: Path, environ: dict[str, str], content: bytes | None
    ) -> None:
        venv = write_venv(tmp_path / "venv", ipykernel=True)
        folder = venv / "share/jupyter/kernels/broken"
        folder.mkdir(parents=True)
        if content is not None:
            (folder / "kernel.json").write_bytes(content)
        assert "broken" not in find_kernelspecs(venv, environ)

    def test_nothing_of_the_environment_is_run(self, tmp_path: Path, environ: dict[str, str]) -> None:
        """Its python need not even be there."""
        venv = write_venv(tmp_path / "venv", ipykernel=True)
        assert not (venv / "bin").exists()
        assert "python3" in find_kernelspecs(venv, environ)

    def test_the_users_folder_follows_home(self, tmp_path: Path, home: Path) -> None:
        write_spec(home / ".local/share/jupyter/kernels", "ir")
        write_spec(home / "Library/Jupyter/kernels", "ir")
        assert "ir" in find_kernelspecs(tmp_path, {"HOME": str(home)})


class TestMissing:
    def test_without_ipykernel_the_command_that_installs_it_is_told(
        self, tmp_path: Path, environ: dict[str, str]
    ) -> None:
        venv = write_venv(tmp_path / "venv", ipykernel=False)
        with pytest.raises(KernelMissingError) as caught:
            load("python3", venv, environ)
        assert f"{venv}/bin/python -m pip install ipykernel" in caught.value.hint
        assert "--python" in caught.value.hint
        assert caught.value.exit_code == 6

    def test_an_environment_made_by_uv_has_no_pip(self, tmp_path: Path, environ: dict[str, str]) -> None:
        venv = write_venv(tmp_path / "venv", ipykernel=False, config="home = /usr/bin\nuv = 0.9\n")
        with pytest.raises(KernelMissingError) as caught:
            load("python3", venv, environ)
        assert f"uv pip install --python {venv}/bin/python ipykernel" in caught.value.hint

    def test_another_kernel_lists_those_that_are_there(self, tmp_path: Path, environ: dict[str, str]) -> None:
        venv = write_venv(tmp_path / "venv", ipykernel=True)
        write_spec(venv / "share/jupyter/kernels", "ir", display_name="R")
        with pytest.raises(KernelMissingError, match="There is no kernel 'julia'") as caught:
            load("julia", venv, environ)
        assert "ir (R)" in caught.value.why
        assert "python3 (Python 3)" in caught.value.why


class TestTheHome:
    def test_it_is_where_the_environment_says(self) -> None:
        assert home_directory({"HOME": "/home/ada"}) == Path("/home/ada")

    def test_a_user_without_one_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def nowhere() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", nowhere)
        with pytest.raises(UsageError, match="not known where your home directory is") as caught:
            home_directory({})
        assert "Set HOME" in caught.value.hint


class TestSites:
    def test_an_environment_that_sees_its_bases_packages_has_them(self, tmp_path: Path) -> None:
        base = tmp_path / "base"
        (base / "lib/python3.11/site-packages/ipykernel").mkdir(parents=True)
        config = f"home = {base}/bin\ninclude-system-site-packages = true\n"
        venv = write_venv(tmp_path / "venv", ipykernel=False, config=config)
        assert base / "lib/python3.11/site-packages" in site_directories(venv)
        assert "python3" in find_kernelspecs(venv, {"JUPYTER_DATA_DIR": "/none"})

    def test_one_that_does_not_has_its_own_alone(self, tmp_path: Path) -> None:
        venv = write_venv(tmp_path / "venv", ipykernel=False)
        assert site_directories(venv) == [venv / "lib/python3.11/site-packages"]

    def test_the_configuration_of_an_environment_is_read_as_python_does(self, tmp_path: Path) -> None:
        (tmp_path / "pyvenv.cfg").write_text("Home = /usr/bin\nnonsense\nprompt = a = b\n")
        assert read_pyvenv(tmp_path) == {"home": "/usr/bin", "prompt": "a = b"}

    def test_any_other_folder_has_none(self, tmp_path: Path) -> None:
        assert read_pyvenv(tmp_path) == {}

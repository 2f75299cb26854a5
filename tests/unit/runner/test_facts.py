import subprocess
from pathlib import Path

import pytest

from dayfly.runner.facts import git_source, installed_packages

ENVIRON = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, env=ENVIRON, capture_output=True, check=True)
    return done.stdout.decode().strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--initial-branch=main")
    (folder / "a.txt").write_text("a")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "first")
    return folder


def test_a_clean_repository_is_its_commit(repository: Path) -> None:
    source = git_source(repository, ENVIRON)
    assert source is not None
    assert source.commit == git(repository, "rev-parse", "HEAD")
    assert (source.branch, source.dirty) == ("main", False)


def test_a_change_makes_it_dirty(repository: Path) -> None:
    (repository / "new.txt").touch()
    source = git_source(repository, ENVIRON)
    assert source is not None
    assert source.dirty


def test_without_a_branch_there_is_none(repository: Path) -> None:
    git(repository, "checkout", "--detach")
    source = git_source(repository, ENVIRON)
    assert source is not None
    assert source.branch is None


def test_outside_a_repository_there_is_no_source(tmp_path: Path) -> None:
    assert git_source(tmp_path, {**ENVIRON, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}) is None


def test_without_git_there_is_no_source(repository: Path, tmp_path: Path) -> None:
    assert git_source(repository, {"PATH": str(tmp_path)}) is None


def test_packages_are_read_off_their_folders(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    for name in (
        "NumPy-2.0.1.dist-info",
        "my_package-1.0.dist-info",
        "old-0.1-py3.11.egg-info",
        "numpy",
        "_x",
    ):
        (site / name).mkdir(parents=True)
    packages = installed_packages(tmp_path)
    assert packages["numpy"] == "2.0.1"
    assert packages["my-package"] == "1.0"
    assert list(packages) == sorted(packages)


def test_an_environment_that_is_gone_has_none(tmp_path: Path) -> None:
    assert installed_packages(tmp_path / "none") == {}

"""The mirror's remote: its own, with a credential helper for it alone."""

import os
import subprocess
from pathlib import Path

import pytest

from dayfly.aws.mirror import REMOTE, Mirror, set_up_remote
from dayfly.errors import UsageError

URL = "https://git-codecommit.eu-central-1.amazonaws.com/v1/repos/dayfly-demo"
MIRROR = Mirror(repository="dayfly-demo", url=URL, profile="the lab's")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """With an `aws` that answers as the credential helper does, and tells which arguments it had."""
    tools = tmp_path / "bin"
    tools.mkdir()
    tool = tools / "aws"
    tool.write_text('#!/bin/sh\ncat >/dev/null\nprintf "username=%s\\npassword=p\\n" "$*"\n', "utf-8")
    tool.chmod(0o755)
    return {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "GIT_TERMINAL_PROMPT": "0"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    return folder


def ask_for_password(folder: Path, environ: dict[str, str], path: str, host: str) -> str:
    """What Git would send to this URL, by the credential helpers that it finds."""
    asked = f"protocol=https\nhost={host}\npath={path}\n\n"
    done = subprocess.run(
        ["git", "credential", "fill"],
        cwd=folder,
        env=environ,
        input=asked,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_git_asks_the_aws_cli_for_this_url_and_for_no_other(
    repository: Path, environ: dict[str, str]
) -> None:
    assert set_up_remote(MIRROR, repository, environ)
    host = "git-codecommit.eu-central-1.amazonaws.com"
    told = ask_for_password(repository, environ, "v1/repos/dayfly-demo", host)
    assert "username=--profile the lab's codecommit credential-helper get" in told
    assert "username" not in ask_for_password(repository, environ, "v1/repos/other", host)
    assert "username" not in ask_for_password(repository, environ, "v1/repos/dayfly-demo", "example.org")


def test_setting_it_up_again_changes_nothing_and_another_profile_is_taken(
    repository: Path, environ: dict[str, str]
) -> None:
    set_up_remote(MIRROR, repository, environ)
    before = (repository / ".git" / "config").read_text("utf-8")
    assert not set_up_remote(MIRROR, repository, environ)
    assert (repository / ".git" / "config").read_text("utf-8") == before
    assert set_up_remote(Mirror(repository="dayfly-demo", url=URL, profile=None), repository, environ)
    assert "--profile" not in (repository / ".git" / "config").read_text("utf-8")


def test_a_remote_of_that_name_which_leads_elsewhere_is_left_alone(
    repository: Path, environ: dict[str, str]
) -> None:
    subprocess.run(["git", "remote", "add", REMOTE, "https://example.org/x"], cwd=repository, check=True)
    with pytest.raises(UsageError, match=r"leads to https://example\.org/x"):
        set_up_remote(MIRROR, repository, environ)

"""The mirror of the code in CodeCommit, on the emulated AWS."""

import os
import subprocess
from pathlib import Path

import pytest

from dayfly.aws.client import Aws
from dayfly.aws.mirror import REMOTE, compare_mirror, load_mirror, push_branch, set_up_remote
from dayfly.errors import AwsError, SnapshotError
from dayfly.rehearsal.emulator import Emulator
from tests.cloud.stacks import base_stack

PROJECT = "rehearsal"


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With one commit on main."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "user.name", "Ada")
    git(folder, "config", "user.email", "ada@example.org")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "One")
    return folder


def test_the_mirror_has_the_commit_after_a_push_and_a_check_tells_when_it_has_not(
    aws: Aws, emulator: Emulator, repository: Path
) -> None:
    """Git's own transport to AWS, with the credential helper, is what no emulator proves."""
    base = base_stack(aws, PROJECT, CreateMirror="true")
    mirror = load_mirror(aws, base)
    there = emulator.log.parent.rglob(f"{base.mirror}.git")
    environ = {
        **os.environ,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{next(there)}.insteadOf",
        "GIT_CONFIG_VALUE_0": mirror.url,
    }
    assert set_up_remote(mirror, repository, environ)
    assert not set_up_remote(mirror, repository, environ)
    assert git(repository, "remote", "get-url", REMOTE) == mirror.url
    assert not compare_mirror(aws, mirror, repository, environ).up_to_date
    assert push_branch(repository, environ) == "main"
    assert compare_mirror(aws, mirror, repository, environ).up_to_date
    git(repository, "commit", "--quiet", "--amend", "--allow-empty", "--message", "Another")
    assert not compare_mirror(aws, mirror, repository, environ).up_to_date
    with pytest.raises(SnapshotError, match="git push failed"):
        push_branch(repository, environ)


def test_a_project_without_a_mirror_is_told_how_to_have_one(aws: Aws) -> None:
    with pytest.raises(AwsError) as caught:
        load_mirror(aws, base_stack(aws, PROJECT))
    assert "--mirror codecommit" in caught.value.hint

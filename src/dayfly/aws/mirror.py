"""The mirror of the code in CodeCommit: a remote of the repository, whose password AWS's own tool gives.

The remote is called `dayfly` and is its own: what is pushed to `origin`, and how, is the user's affair.
The credential helper is set in this repository only, and asked for this one URL only.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dayfly.aws.iam_user import require_aws_cli
from dayfly.errors import AwsError, SnapshotError, UsageError

if TYPE_CHECKING:
    from dayfly.aws.base import BaseStack
    from dayfly.aws.client import Aws

REMOTE = "dayfly"
_TIMEOUT_S = 600


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """Where the code is mirrored, and who gives the password."""

    repository: str
    url: str
    profile: str | None

    @property
    def helper(self) -> str:
        """The command that Git asks for user and password; Git gives it to a shell."""
        profile = f"--profile {shlex.quote(self.profile)} " if self.profile else ""
        return f"!aws {profile}codecommit credential-helper $@"


@dataclass(frozen=True, kw_only=True)
class MirrorState:
    """The branch and commit here, and the commit that the mirror has; empty when it has none."""

    branch: str
    commit: str
    there: str

    @property
    def up_to_date(self) -> bool:
        """Whether the mirror has what is here."""
        return self.commit == self.there


def load_mirror(aws: Aws, base: BaseStack) -> Mirror:
    """The mirror of the project. Raises AwsError when it has none."""
    if not base.mirror:
        raise AwsError(
            f"The project {base.project} has no mirror in AWS.",
            why="Runs take their commit from a bundle in the bucket, which needs none.",
            hint="Make one with: dayfly cloud up --mirror codecommit",
        )
    found = aws.codecommit.get_repository(repositoryName=base.mirror)["repositoryMetadata"]
    return Mirror(repository=base.mirror, url=found["cloneUrlHttp"], profile=aws.profile)


def set_up_remote(mirror: Mirror, folder: Path, environ: Mapping[str, str]) -> bool:
    """Name the mirror as a remote, with its credential helper; True when anything had to be set.

    Raises UsageError when there is a remote of that name which leads elsewhere.
    """
    require_aws_cli(environ.get("PATH"))
    there = _git(folder, environ, "config", "--get", f"remote.{REMOTE}.url", quiet=True)
    if there and there != mirror.url:
        raise UsageError(
            f"This repository has a remote {REMOTE} already, and it leads to {there}.",
            hint=f"Call it otherwise, and repeat: git remote rename {REMOTE} NAME",
        )
    section = f"credential.{mirror.url}"
    set_already = _git(folder, environ, "config", "--get-all", f"{section}.helper", quiet=True)
    # An empty helper first: those that the user has for all hosts would keep a password that expires.
    if there and set_already.split("\n") == ["", mirror.helper]:
        return False
    if not there:
        _git(folder, environ, "remote", "add", REMOTE, mirror.url)
    _git(folder, environ, "config", "--replace-all", f"{section}.helper", "")
    _git(folder, environ, "config", "--add", f"{section}.helper", mirror.helper)
    _git(folder, environ, "config", f"{section}.useHttpPath", "true")
    return True


def push_branch(folder: Path, environ: Mapping[str, str]) -> str:
    """Push the current branch to the mirror, and return its name. Never by force.

    Raises SnapshotError with what Git said.
    """
    branch = current_branch(folder, environ)
    _git(folder, environ, "push", REMOTE, f"refs/heads/{branch}:refs/heads/{branch}")
    return branch


def current_branch(folder: Path, environ: Mapping[str, str]) -> str:
    """The branch that is checked out. Raises SnapshotError when there is none, or no commit."""
    branch = _git(folder, environ, "symbolic-ref", "--quiet", "--short", "HEAD", quiet=True)
    if not branch:
        raise SnapshotError(
            "No branch is checked out, so there is none to push.", hint="Check one out: git switch NAME"
        )
    return branch


def compare_mirror(aws: Aws, mirror: Mirror, folder: Path, environ: Mapping[str, str]) -> MirrorState:
    """What is here and what the mirror has, as AWS itself says it. Raises SnapshotError and AwsError."""
    branch = current_branch(folder, environ)
    commit = _git(folder, environ, "rev-parse", "--verify", "HEAD")
    try:
        there = aws.codecommit.get_branch(repositoryName=mirror.repository, branchName=branch)["branch"]
    except AwsError as error:
        if error.code != "BranchDoesNotExistException":
            raise
        return MirrorState(branch=branch, commit=commit, there="")
    return MirrorState(branch=branch, commit=commit, there=there.get("commitId", ""))


def _git(folder: Path, environ: Mapping[str, str], *arguments: str, quiet: bool = False) -> str:
    """What Git prints, without the last line's end; with `quiet`, nothing when it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            # Nobody is there to be asked for a password that only AWS knows.
            env={**environ, "GIT_TERMINAL_PROMPT": "0"},
            check=False,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SnapshotError(f"git {arguments[0]} cannot be run.", why=str(error)) from error
    if done.returncode and not quiet:
        raise SnapshotError(
            f"git {arguments[0]} failed.", why=done.stderr.strip(), hint=_hint(arguments[0], done.stderr)
        )
    return done.stdout.removesuffix("\n") if not done.returncode else ""


def _hint(command: str, said: str) -> str:
    if command != "push":
        return ""
    if "rejected" in said or "fetch first" in said:
        return f"The mirror has commits that are not here. Look at them: git fetch {REMOTE}"
    if "403" in said or "Authentication" in said:
        return "See which credentials are used with: dayfly cloud doctor"
    return ""

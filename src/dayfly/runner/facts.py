"""What the receipt says of the place a run ran in. Read while the kernel boots; nothing is run but Git."""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dayfly.runner.kernelspecs import site_directories
from dayfly.runs.receipt import GitSource
from dayfly.runs.request import Request

_INFO = re.compile(r"^(?P<name>.+?)-(?P<version>[^-]+)\.(?:dist-info|egg-info)$")
_GIT_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The place a run ran in."""

    packages: dict[str, str]
    git: GitSource | None
    platform: str
    host: str


def installed_packages(prefix: Path) -> dict[str, str]:
    """Name and version of each distribution in the environment at `prefix`, by folder names alone."""
    packages: dict[str, str] = {}
    for site in site_directories(prefix):
        for entry in os.scandir(site):
            match = _INFO.match(entry.name)
            if match:
                packages.setdefault(match["name"].replace("_", "-").lower(), match["version"])
    return dict(sorted(packages.items()))


def git_source(directory: Path, environ: Mapping[str, str]) -> GitSource | None:
    """The commit that `directory` is at; None outside a repository or without Git."""
    commit = _git(directory, environ, "rev-parse", "HEAD")
    if commit is None:
        return None
    branch = _git(directory, environ, "symbolic-ref", "--quiet", "--short", "HEAD")
    changes = _git(directory, environ, "status", "--porcelain")
    return GitSource(commit=commit, branch=branch or None, dirty=None if changes is None else bool(changes))


def _git_of(request: Request) -> GitSource | None:
    source = request.snapshot
    if source is None:
        return git_source(Path(request.cwd), os.environ)
    return GitSource(commit=source.commit, tree=source.tree, branch=source.branch, dirty=source.dirty)


def _git(directory: Path, environ: Mapping[str, str], *arguments: str) -> str | None:
    """A Git command's output; None when it fails, is not there or takes too long."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=directory,
            env={**environ, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


def gather_facts(request: Request) -> Facts:
    """Everything the receipt says of this place. May take as long as `git status` does."""
    return Facts(
        packages=installed_packages(Path(request.python.prefix)),
        git=_git_of(request),
        platform=f"{platform.system()}-{platform.release()}-{platform.machine()}",
        host=socket.gethostname(),
    )

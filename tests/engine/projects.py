"""Projects with an image: a Git repository with dayfly.toml, a Dockerfile and a notebook."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.helpers import Place

SETTINGS = '[image]\nnetwork = "host"\n'


def make_repository(place: Place, *, dockerfile: str, notebook: str = "hello") -> Path:
    """Make the project of a place a Git repository with an image, and commit it; its root."""
    (place.root / "dayfly.toml").write_text(SETTINGS)
    (place.root / "Dockerfile").write_text(dockerfile)
    (place.root / ".gitignore").write_text(".dayfly/\n")
    place.notebook(notebook)
    git(place, "init", "--quiet", "--initial-branch=main")
    commit(place, "The project")
    return place.root


def commit(place: Place, message: str) -> str:
    """Commit everything in the project; the commit."""
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message", message)
    return git(place, "rev-parse", "HEAD")


def git(place: Place, *arguments: str) -> str:
    """Run git in the project, with a name to commit under."""
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(
        ["git", *who, *arguments],
        cwd=place.root,
        env=dict(place.environ),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()

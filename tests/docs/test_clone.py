"""A clone of dayfly is a project itself: its examples run from its commit, in an image and on machines."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.helpers import PROGRAMS, Place

ROOT = Path(__file__).parents[2]


def test_nothing_in_the_repository_keeps_its_examples_from_being_carried(place: Place) -> None:
    """The keys of an emulator, or those that a test invents, must not look like somebody's."""
    done = subprocess.run(
        [str(PROGRAMS / "dayfly"), "snapshot", "--commit", "HEAD"],
        cwd=ROOT,
        env=dict(place.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "commit " in done.stdout

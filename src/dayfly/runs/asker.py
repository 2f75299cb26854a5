"""Who asks for something, as the files of a run name them."""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    """The user of this process; by number where there is no name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"

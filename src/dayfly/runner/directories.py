"""Where dayfly keeps things for itself, outside of any project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dayfly.runner.kernelspecs import home_directory


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Dayfly's directory in the user's cache. Raises UsageError for a user without a home."""
    base = Path(environ.get("XDG_CACHE_HOME") or home_directory(environ) / ".cache")
    return base / "dayfly"

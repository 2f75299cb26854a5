"""Standard streams that lead nowhere: closed before we began, or whose reader has gone."""

from __future__ import annotations

import os
import sys


def open_missing_streams() -> None:
    """Open what was closed for us (`>&-`), so that no other file takes its number and is printed to."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            _lead_nowhere(name, mode)


def replace_broken_streams() -> None:
    """Write out what is still held back; a stream that nobody reads any more leads nowhere from now on."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except BrokenPipeError:
            _lead_nowhere(name, "w")


def _lead_nowhere(name: str, mode: str) -> None:
    setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 -- stays open

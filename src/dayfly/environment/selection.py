"""From the paths that a Dockerfile takes to the files there are, without what `.dockerignore` leaves out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from dayfly.environment.ignore import Ignored, clean_path, translate_next
from dayfly.environment.instructions import EVERYTHING
from dayfly.errors import ImageError

_WILDCARDS = re.compile(r"[*?\[\\]")


def select_files(context: Path, paths: Iterable[str], ignored: Ignored) -> tuple[str, ...]:
    """The files, links and folders that `paths` (as in COPY) name, relative to the context, sorted.

    A path that is not there is kept: tomorrow it may be.
    """
    chosen: set[str] = set()
    wanted = {clean_path(f"/{path}")[1:] or EVERYTHING for path in paths}
    # A link may lead anywhere in the context, and builders follow it: then it is not decided here.
    if EVERYTHING in wanted or any(_through_link(context, path) for path in wanted):
        return tuple(sorted(_walk(context, "", ignored)))
    for path in sorted(wanted):
        if not _WILDCARDS.search(path):
            chosen.update(_with_contents(context, path, ignored))
            continue
        found = list(_matches(context, path, ignored))
        if any(_through_link(context, match) for match in found):
            return tuple(sorted(_walk(context, "", ignored)))
        for match in found:
            chosen.update(_with_contents(context, match, ignored))
    return tuple(sorted(chosen))


def _through_link(context: Path, path: str) -> bool:
    parts = path.split("/")
    return any((context / "/".join(parts[: length + 1])).is_symlink() for length in range(len(parts)))


def _with_contents(context: Path, path: str, ignored: Ignored) -> Iterator[str]:
    if path not in ignored:
        yield path
    if (context / path).is_dir():
        yield from _walk(context, path, ignored)


def _walk(context: Path, folder: str, ignored: Ignored) -> Iterator[str]:
    """Everything below a folder that is not left out; links are not followed."""
    try:
        entries = list(os.scandir(context / folder))
    except OSError as error:
        raise ImageError(
            f"{context / folder} cannot be read, and the image is made of it.",
            why=error.strerror or str(error),
            hint="Leave it out in .dockerignore, or make it readable.",
        ) from error
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        left_out = path in ignored
        if not left_out:
            yield path
        if entry.is_dir(follow_symlinks=False) and (not left_out or ignored.has_exceptions):
            yield from _walk(context, path, ignored)


def _matches(context: Path, pattern: str, ignored: Ignored) -> Iterator[str]:
    """The paths that a pattern names: as Go's filepath.Match has it, no part of it crosses a slash."""
    found = [""]
    parts = pattern.split("/")
    for number, part in enumerate(parts):
        try:
            regex = re.compile(_translate(part), re.DOTALL)
        except re.error:
            return
        below: list[str] = []
        for folder in found:
            below += [
                f"{folder}/{entry}" if folder else entry
                for entry in _names(context / folder)
                if regex.fullmatch(entry)
            ]
        found = below
        if number < len(parts) - 1:
            found = [path for path in found if (context / path).is_dir()]
    yield from (path for path in found if path not in ignored or ignored.has_exceptions)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return []


def _translate(part: str) -> str:
    done, rest = "", part
    while rest:
        piece, rest = translate_next(rest)
        done += piece
    return done

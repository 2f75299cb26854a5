"""`.dockerignore`, as the engine's own builder reads it.

A translation of github.com/moby/patternmatcher, with its quirks. docker-py's matcher is another one:
it cuts a folder off that an exception below it takes back, and brings an HTTP client along. git's
rules, which pathspec knows, differ: there a pattern with no slash matches at every depth.

Where versions of the builder differ, this takes along what any of them takes along: a file more in
the key costs a build, a file less runs a notebook in the wrong image.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dayfly.errors import ImageError


@dataclass(frozen=True)
class _Rule:
    pattern: re.Pattern[str]
    takes_back: bool
    depth: int
    """Of how many parts the pattern is."""


@dataclass(frozen=True)
class Ignored:
    """Which paths of a context its `.dockerignore` leaves out."""

    rules: tuple[_Rule, ...] = ()

    @property
    def has_exceptions(self) -> bool:
        """Whether a file may be taken along whose folder is left out."""
        return any(rule.takes_back for rule in self.rules)

    def also(self, lines: Iterable[str]) -> Ignored:
        """These rules, and more after them."""
        return Ignored((*self.rules, *parse_dockerignore(lines).rules))

    def __contains__(self, path: str) -> bool:
        """Whether the path, relative to the context, is left out: the last rule that fits decides."""
        parts = path.split("/")
        heads = ["/".join(parts[: length + 1]) for length in range(len(parts))]
        if not self._leave_out(heads):
            return False
        # Docker 20 looks at one of the folders alone, which shows where an exception lets it go on.
        return not self.has_exceptions or self._leave_out(heads, deep=False)

    def _leave_out(self, heads: list[str], *, deep: bool = True) -> bool:
        left_out = False
        for rule in self.rules:
            asked = heads if deep else [*heads[rule.depth - 1 : rule.depth], heads[-1]]
            if rule.takes_back == left_out and any(rule.pattern.fullmatch(head) for head in asked):
                left_out = not rule.takes_back
        return left_out


def read_dockerignore(context: Path, dockerfile: Path | None) -> Ignored:
    """The rules of `<Dockerfile>.dockerignore`, or else of `.dockerignore`; none where neither is."""
    own = [Path(f"{dockerfile}.dockerignore")] if dockerfile is not None else []
    for file in [*own, context / ".dockerignore"]:
        try:
            text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ImageError(f"{file} cannot be read.", why=error.strerror or str(error)) from error
        try:
            return parse_dockerignore(text.split("\n"))
        except re.error as error:
            raise ImageError(f"{file} has a pattern that is none.", why=str(error)) from error
    return Ignored()


def parse_dockerignore(lines: Iterable[str]) -> Ignored:
    """The rules of these lines. Raises re.error for a pattern that is none."""
    rules = []
    for line in lines:
        if line.startswith("#"):  # before spaces are taken away: " #a" is a pattern
            continue
        text = line.strip()
        takes_back = text.startswith("!")
        text = text[1:].strip() if takes_back else text
        if not text:
            continue
        cleaned = clean_path(text)
        if cleaned != "/":
            cleaned = cleaned.removeprefix("/")
        regex = re.compile(_translate(cleaned, wide=takes_back), re.DOTALL)
        rules.append(_Rule(regex, takes_back, cleaned.count("/") + 1))
    return Ignored(tuple(rules))


def clean_path(path: str) -> str:
    """A path without `.`, `..` and doubled slashes, as Go's filepath.Clean."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _translate(pattern: str, *, wide: bool) -> str:
    """The regular expression of a pattern: `*` stays in its folder, `**` does not."""
    done, rest = "", pattern
    at_start = True
    while rest:
        first, rest = rest[0], rest[1:]
        if first == "*" and rest.startswith("*"):
            rest = rest[1:]
            slash = rest.startswith("/")
            rest = rest.removeprefix("/")
            # `**a` at the beginning: every path that ends so, or with a last part that is so.
            done += ".*" if not rest or (wide and at_start and not slash) else "(?:.*/)?"
        else:
            piece, rest = translate_next(first + rest)
            done += piece
        at_start = False
    return done


def translate_next(pattern: str) -> tuple[str, str]:
    """The regular expression of what a pattern begins with, as Go's filepath.Match has it, and the rest."""
    first, rest = pattern[0], pattern[1:]
    if first == "*":
        return "[^/]*", rest
    if first == "?":
        return "[^/]", rest
    if first == "[":
        return _character_class(rest)
    if first == "\\" and rest:
        return re.escape(rest[0]), rest[1:]
    return re.escape(first), rest


def _character_class(rest: str) -> tuple[str, str]:
    """The regular expression of a `[...]` whose bracket has been read, and what follows it."""
    match = re.match(r"(\^?)((?:\\.|[^\]\\])+)\]", rest, re.DOTALL)
    if match is None:
        raise re.error(f"[{rest} is not closed")
    members = re.sub(r"\\(.)", lambda found: re.escape(found[1]), match[2]) if "\\" in match[2] else match[2]
    members = members.replace("[", "\\[").replace("&&", "&\\&").replace("||", "|\\|").replace("~~", "~\\~")
    return f"[{match[1]}{members}]", rest[match.end() :]

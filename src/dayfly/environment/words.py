"""A word of a Dockerfile, with its quotes taken away and its variables put in, as BuildKit does it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]|[@*#?$!-]")


class UnknownWordError(ValueError):
    """The word cannot be known here: a variable of the base image's, or syntax that is newer than this."""


def expand(word: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """The word as the builder reads it. Raises UnknownWordError where only the builder can know it."""
    text, rest = _expand(word, variables, escape, stop="")
    if rest:
        raise UnknownWordError(word)
    return text


def _expand(word: str, variables: Mapping[str, str], escape: str, stop: str) -> tuple[str, str]:
    """Expand up to the character `stop`; returns what came of it, and what follows `stop`."""
    done = ""
    while word:
        first, rest = word[0], word[1:]
        if first == stop:
            return done, rest
        if first == "'":
            inside, quote, word = rest.partition("'")
            if not quote:
                raise UnknownWordError(first)
            done += inside
        elif first == '"':
            inside, word = _double_quoted(rest, variables, escape)
            done += inside
        elif first == "$":
            inside, word = _variable(rest, variables, escape)
            done += inside
        elif first == escape:
            done, word = done + rest[:1], rest[1:]
        else:
            done, word = done + first, rest
    if stop:
        raise UnknownWordError(stop)
    return done, ""


def _double_quoted(word: str, variables: Mapping[str, str], escape: str) -> tuple[str, str]:
    done = ""
    while word:
        first, rest = word[0], word[1:]
        if first == '"':
            return done, rest
        if first == "$":
            inside, word = _variable(rest, variables, escape)
            done += inside
        elif first == escape and rest[:1] in {'"', "$", escape}:
            done, word = done + rest[:1], rest[1:]
        else:
            done, word = done + first, rest
    raise UnknownWordError('"')


def _variable(word: str, variables: Mapping[str, str], escape: str) -> tuple[str, str]:
    """The value of the variable whose name follows a dollar sign, and what follows it."""
    braced = word.startswith("{")
    match = _NAME.match(word, int(braced))
    if match is None:
        if braced:
            raise UnknownWordError(word)
        return "$", word
    name, rest = match[0], word[match.end() :]
    if not braced:
        return _known(name, variables), rest
    if rest.startswith("}"):
        return _known(name, variables), rest[1:]
    operator = re.match(r":?[-+?]", rest)
    if operator is None:
        raise UnknownWordError(word)
    alternative, rest = _expand(rest[operator.end() :], variables, escape, stop="}")
    value = _known(name, variables)
    present = bool(value) or ":" not in operator[0]
    if operator[0][-1] == "+":
        return (alternative if present else ""), rest
    return (value if present else alternative), rest


def _known(name: str, variables: Mapping[str, str]) -> str:
    # What is not set here the base image may have set.
    if name not in variables:
        raise UnknownWordError(name)
    return variables[name]

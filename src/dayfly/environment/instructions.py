"""What a Dockerfile takes from its context: read from its instructions, with BuildKit's own parser."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dayfly.environment.words import UnknownWordError, expand

if TYPE_CHECKING:
    import dockerfile

EVERYTHING = "."
"""The path of the whole context."""
_URL = re.compile(r"^(https?|ftp|git|ssh)://|^git@")
_DIRECTIVE = re.compile(r"^#\s*(\w+)\s*=\s*(.*?)\s*$")
_OUR_SYNTAX = re.compile(r"^(docker\.io/)?docker/dockerfile(-upstream)?([:@].*)?$")


@dataclass(frozen=True)
class Taken:
    """What a Dockerfile takes: paths or patterns of the context, and the build arguments that it knows."""

    paths: tuple[str, ...]
    arguments: frozenset[str]


@dataclass
class _Stage:
    names: frozenset[str]
    variables: dict[str, str]
    paths: set[str] = field(default_factory=set)
    needs: set[str] = field(default_factory=set)
    """Names of other stages, lower case."""


def read_instructions(
    text: str, build_args: Mapping[str, str], *, target: str | None, platform: str
) -> Taken:
    """What the stages take that the target needs.

    Whatever cannot be known here, such as a variable that the base image sets, counts as the whole
    context: a change is never missed.
    """
    import dockerfile

    directives = _directives(text)
    try:
        commands = dockerfile.parse_string(text)
    except (dockerfile.GoParseError, ValueError):
        return Taken((EVERYTHING,), frozenset(build_args))  # the builder may know more, or will say so
    arguments = frozenset(
        word.partition("=")[0] for command in commands if _cmd(command) == "ARG" for word in command.value
    )
    if not _OUR_SYNTAX.match(directives.get("syntax", "docker/dockerfile")):
        return Taken((EVERYTHING,), frozenset(build_args))
    reader = _Reader(build_args, directives.get("escape", "\\"), _platform_arguments(platform))
    for command in commands:
        reader.read(command)
    return Taken(tuple(sorted(_reachable(reader.stages, target))), arguments)


def _directives(text: str) -> dict[str, str]:
    """The comments at the top that tell the builder something, such as `# syntax=`."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _DIRECTIVE.match(line.strip())
        if match is None:
            break
        found[match[1].lower()] = match[2]
    return found


def _platform_arguments(platform: str) -> dict[str, str]:
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    values = {"PLATFORM": platform, "OS": system, "ARCH": architecture, "VARIANT": variant}
    return {f"{side}{name}": value for side in ("TARGET", "BUILD") for name, value in values.items()}


def _cmd(command: dockerfile.Command) -> str:
    return str(command.cmd).upper()


def _reachable(stages: list[_Stage], target: str | None) -> set[str]:
    """The paths of the target and of every stage that it needs."""
    if not stages:
        return {EVERYTHING}
    wanted = [stages[-1]] if target is None else [s for s in stages if target.lower() in s.names][-1:]
    waiting, seen = wanted or list(stages), set[int]()
    paths: set[str] = set()
    while waiting:
        stage = waiting.pop()
        if id(stage) not in seen:
            seen.add(id(stage))
            paths |= stage.paths
            waiting += [other for other in stages if other.names & stage.needs]
    return paths


class _Reader:
    """Reads one instruction after the other, keeping the variables that they set."""

    def __init__(self, build_args: Mapping[str, str], escape: str, automatic: Mapping[str, str]) -> None:
        self.stages: list[_Stage] = []
        self._build_args = build_args
        self._escape = escape
        self._automatic = automatic
        self._global: dict[str, str] = {}
        self._environment: set[str] = set()

    def read(self, command: dockerfile.Command) -> None:
        """Take note of what the instruction sets, takes and needs."""
        name = _cmd(command)
        if name == "ONBUILD":  # in a stage of the same file it may come to bear
            name = str(command.sub_cmd or "").upper()
        if name == "FROM":
            self._from(command.value)
        elif name == "ARG":
            self._arg(command.value)
        elif name == "ENV" and self.stages:
            self._env(command.value)
        elif name in {"COPY", "ADD"} and self.stages:
            self._copy(command, name)
        elif name == "RUN" and self.stages:
            self._run(command.flags)

    def _expand(self, word: str, variables: Mapping[str, str]) -> str:
        return expand(word, variables, self._escape)

    def _from(self, words: tuple[str, ...]) -> None:
        alias = words[2].lower() if len(words) > 2 and words[1].upper() == "AS" else ""  # noqa: PLR2004
        names = frozenset(part for part in (alias, str(len(self.stages))) if part)
        stage = _Stage(names, {})
        try:
            named = words[0] if words else ""  # the builder refuses a FROM of nothing, in its own words
            image = self._expand(named, {**self._automatic, **self._global}).lower()
        except UnknownWordError:
            image = "" if not self.stages else "$"
        for earlier in self.stages:
            if image in earlier.names or image == "$":
                stage.needs |= earlier.names
                stage.variables |= earlier.variables
        if "onbuild" in image:
            stage.paths.add(EVERYTHING)  # the base image's own instructions may copy anything
        self._environment = set()
        self.stages.append(stage)

    def _arg(self, words: Iterable[str]) -> None:
        variables = self.stages[-1].variables if self.stages else self._global
        for word in words:
            name, equals, default = word.partition("=")
            if name in self._environment:  # ENV is stronger than ARG
                continue
            if name in self._build_args:
                variables[name] = self._build_args[name]
            elif equals:
                self._set(variables, name, default)
            elif self.stages and name in self._global:
                variables[name] = self._global[name]
            elif name in self._automatic:
                variables[name] = self._automatic[name]

    def _env(self, words: tuple[str, ...]) -> None:
        variables = self.stages[-1].variables
        before = dict(variables)  # one ENV does not see what it sets itself
        for name, value in zip(words[::2], words[1::2], strict=False):
            self._environment.add(name)
            self._set(variables, name, value, before)

    def _set(
        self, variables: dict[str, str], name: str, value: str, before: Mapping[str, str] | None = None
    ) -> None:
        try:
            variables[name] = self._expand(value, variables if before is None else before)
        except UnknownWordError:
            variables.pop(name, None)

    def _copy(self, command: dockerfile.Command, name: str) -> None:
        stage = self.stages[-1]
        origin = next((f.partition("=")[2] for f in command.flags if f.startswith("--from=")), None)
        if origin is not None:
            self._need(origin)
            return
        heredocs = {heredoc.name for heredoc in command.heredocs}
        for word in command.value[:-1]:
            if word.startswith("<<") and word.lstrip("<-").strip("\"'") in heredocs:
                continue
            try:
                path = self._expand(word, stage.variables)
            except UnknownWordError:
                stage.paths.add(EVERYTHING)
                continue
            if not (name == "ADD" and _URL.match(path)):
                stage.paths.add(path or EVERYTHING)

    def _run(self, flags: Iterable[str]) -> None:
        for flag in flags:
            if not flag.startswith("--mount="):
                continue
            pairs = [part.strip("\"'").partition("=") for part in flag.removeprefix("--mount=").split(",")]
            options = {key.strip().lower(): value.strip("\"'") for key, _, value in pairs}
            if "from" in options:
                self._need(options["from"])
            elif options.get("type", "bind") == "bind":
                source = options.get("source") or options.get("src") or EVERYTHING
                self.stages[-1].paths.add(EVERYTHING if "$" in source else source)

    def _need(self, origin: str) -> None:
        stage = self.stages[-1]
        try:
            stage.needs.add(self._expand(origin, stage.variables | self._global).lower())
        except UnknownWordError:
            stage.needs |= {name for other in self.stages for name in other.names}

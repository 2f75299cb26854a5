"""Running the `console` blocks of a page: each `$ command` is executed, and its output compared.

A line `...` of the page stands for any number of lines. What differs from one run of the page to the next
(run ids, times, sizes, versions) is not compared, and the lines that show progress where there is no
terminal, as in a test, are left out. A run id of the page stands for the run that was there when it was
executed, also in later commands. `<!-- run: command -->` is executed and not shown to a reader.
"""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(
    r"^```console\n(?P<body>.*?)^```$|^<!-- run: (?P<hidden>.*?) -->$", re.MULTILINE | re.DOTALL
)
_RUN_ID = re.compile(r"\d{8}-\d{6}-[a-z0-9-]+-[0-9a-f]{4}")
_PROGRESS = re.compile(rf"^{_RUN_ID.pattern}\nrunning on .*\n(?:\[.*\n)*", re.MULTILINE)
_VARIABLE = [
    (_RUN_ID, "<run>"),
    (re.compile(r"\b\d+ (?:s|min|h) ago|\bjust now"), "<ago>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "<time>"),
    (re.compile(r"\b\d+h \d\dm|\b\d+m \d\ds|\b\d+(?:\.\d+)? s\b"), "<took>"),
    (re.compile(r"\b\d+(?:\.\d+)? [kMG]?B\b"), "<size>"),
    (re.compile(r"\b\d+ in Python 3\.\d+\.\d+"), "<packages>"),
    (re.compile(r"\b(?:requested|preparing|running)\b(?=\s+<ago>)"), "<goes on>"),
    (re.compile(r" +"), " "),
]


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of a page and the output that the page shows."""

    text: str
    output: list[str]
    line: int
    hidden: bool = False


def find_commands(page: str) -> list[Command]:
    """The commands of a page's console blocks, in order."""
    found = []
    for match in _BLOCK.finditer(page):
        line = page.count("\n", 0, match.start()) + 1
        if match["hidden"]:
            found.append(Command(text=match["hidden"], output=[], line=line, hidden=True))
            continue
        for part in re.split(r"^\$ ", match["body"], flags=re.MULTILINE)[1:]:
            text, *output = part.rstrip("\n").split("\n")
            while text.endswith("\\"):
                text = text[:-1] + output.pop(0).removeprefix("> ")
            found.append(Command(text=text, output=output, line=line))
    return found


@dataclass
class Shell:
    """One bash that executes the commands of a page, one after the other."""

    directory: Path
    environ: Mapping[str, str]
    home: Path
    """Shown as `/home/ada` in the page."""
    status: int = 0
    _runs: dict[str, str] = field(default_factory=dict)

    def execute(self, command: Command) -> list[str]:
        """The lines that the command printed, as a terminal would keep them."""
        end = uuid.uuid4().hex
        script = f'(exit {self.status})\n{self._with_real_runs(command.text)}\necho {end} $? "$PWD"\n'
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.directory,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
            timeout=180,
        )
        shown, _, last = done.stdout.rpartition(f"{end} ")
        status, _, directory = last.strip().partition(" ")
        self.status, self.directory = int(status), Path(directory)
        return _PROGRESS.sub("", shown.replace(str(self.home), "/home/ada")).rstrip("\n").split("\n")

    def _with_real_runs(self, text: str) -> str:
        for shown, real in self._runs.items():
            text = text.replace(shown, real)
        return text

    def matches(self, command: Command, printed: list[str]) -> bool:
        """Whether the page shows what was printed; learns which run a run id of the page stands for."""
        pattern = "\n".join(
            r"(?:.*\n)*?.*" if line.strip() == "..." else re.escape(_simplify(line))
            for line in command.output
        )
        matched = re.fullmatch(pattern, "\n".join(_simplify(line) for line in printed)) is not None
        if matched:
            until = command.output.index("...") if "..." in command.output else None
            shown = _RUN_ID.findall("\n".join(command.output[:until]))
            for one, other in zip(shown, _RUN_ID.findall("\n".join(printed)), strict=False):
                self._runs.setdefault(one, other)
                self._runs.setdefault(one[:15], other)
        return matched


def _simplify(line: str) -> str:
    for pattern, word in _VARIABLE:
        line = pattern.sub(word, line)
    return line.strip()

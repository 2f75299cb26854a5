"""The commands that are compared, and where each leaves the executed notebook."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import CACHE, Environment
from benchmarks.process import Command


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """A fresh folder for one run of one command. It lies outside of any project."""

    folder: Path

    @property
    def notebook(self) -> Path:
        """Return the notebook to run."""
        return self.folder / "notebook.ipynb"

    @property
    def executed(self) -> Path:
        """Return where the commands that take an output put it."""
        return self.folder / "executed.ipynb"

    @property
    def store(self) -> Path:
        """Return dayfly's store, which no run before has filled."""
        return self.folder / "store"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One command line. `arguments` and `find_executed` are given the workplace of the run."""

    name: str
    environment: str
    arguments: Callable[[Workplace], tuple[str, ...]]
    #: Returns the executed notebook, or None where the command keeps none.
    find_executed: Callable[[Workplace], Path | None] = lambda _: None
    #: Left out unless everything is asked for: it takes minutes and decides nothing.
    only_with_all: bool = False
    #: A filled store of so many runs, instead of an empty one.
    stored_runs: int = 0
    #: What the command must print for a run to count.
    prints: str = ""

    def command(self, environment: Environment, workplace: Workplace, store: Path) -> Command:
        """Return what to run, in a small environment that is the same for every contender."""
        home = CACHE / "home"
        home.mkdir(parents=True, exist_ok=True)
        program, *arguments = self.arguments(workplace)
        return Command(
            argv=[str(environment.scripts / program), *arguments],
            cwd=workplace.folder,
            env={
                "PATH": os.pathsep.join([str(environment.scripts), "/usr/local/bin", "/usr/bin", "/bin"]),
                "HOME": str(home),
                "LANG": "C.UTF-8",
                "TERM": "xterm-256color",
                "DAYFLY_STORE": str(store),
            },
        )


def papermill(*options: str, only_with_all: bool = False) -> Contender:
    """`papermill IN OUT`."""
    return Contender(
        name="papermill",
        environment="papermill",
        arguments=lambda at: ("papermill", str(at.notebook), str(at.executed), *options),
        find_executed=lambda at: at.executed,
        only_with_all=only_with_all,
    )


def jupyter_execute() -> Contender:
    """`jupyter execute IN`: it throws the executed notebook away, which makes it faster than it could be."""
    return Contender(
        name="jupyter execute",
        environment="jupyter",
        arguments=lambda at: ("jupyter", "execute", str(at.notebook)),
    )


def jupyter_execute_and_keep() -> Contender:
    """`jupyter execute IN --output OUT`: what it takes where the result is kept, as the others keep it."""
    return Contender(
        name="jupyter execute --output",
        environment="jupyter",
        arguments=lambda at: ("jupyter", "execute", str(at.notebook), "--output", str(at.executed)),
        find_executed=lambda at: at.executed,
    )


def dayfly_run(*options: str) -> Contender:
    """`dayfly run IN`: live view, events and checkpoints are on, as they are for a user."""
    return Contender(
        name="dayfly",
        environment="dayfly",
        arguments=lambda at: ("dayfly", "run", str(at.notebook), *options),
        find_executed=_find_in_store,
    )


def print_help(environment: str) -> Contender:
    """`papermill --help` or `dayfly --help`."""
    return Contender(
        name=f"{environment} --help",
        environment=environment,
        arguments=lambda _: (environment, "--help"),
        prints="Usage",
    )


def list_runs(stored_runs: int) -> Contender:
    """`dayfly ps` where the store holds so many runs."""
    return Contender(
        name=f"dayfly ps, {stored_runs:,} runs",
        environment="dayfly",
        arguments=lambda _: ("dayfly", "ps"),
        stored_runs=stored_runs,
        prints="succeeded",
    )


def _find_in_store(workplace: Workplace) -> Path | None:
    found = list(workplace.store.glob("runs/*/output.ipynb"))
    return found[0] if len(found) == 1 else workplace.store / "runs" / "one-run" / "output.ipynb"

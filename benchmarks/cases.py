"""What is measured. The commands of one case take turns: A B C, A B C, and so on."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import contenders, notebooks
from benchmarks.contenders import Contender
from benchmarks.notebooks import GeneratedNotebook


@dataclass(frozen=True, kw_only=True)
class Case:
    """One piece of work, and the commands that do it."""

    name: str
    title: str
    contenders: tuple[Contender, ...]
    notebook: GeneratedNotebook | None = None
    #: Fewer rounds would not show what this case is about.
    fixed_rounds: int | None = None


_EVERYONE = (contenders.papermill(), contenders.jupyter_execute(), contenders.dayfly_run())
# Each picture is 1.33 MB in the notebook (base64), together more than dayfly keeps unless told to.
_KEEP_ALL = ("--output-limit", "1GB")

CASES = (
    Case(
        name="tiny",
        title="tiny notebook, one cell",
        notebook=notebooks.make_trivial(1),
        contenders=_EVERYONE,
    ),
    Case(
        name="parameters",
        title="tiny notebook with a parameter",
        notebook=notebooks.make_parametrised(),
        contenders=(contenders.papermill("-p", "a", "2"), contenders.dayfly_run("-p", "a=2")),
    ),
    Case(
        name="cells-200",
        title="200 trivial cells",
        notebook=notebooks.make_trivial(200),
        contenders=_EVERYONE,
    ),
    Case(
        name="cells-2000",
        title="2,000 trivial cells",
        notebook=notebooks.make_trivial(2000),
        contenders=(
            contenders.papermill(only_with_all=True),
            contenders.jupyter_execute(),
            contenders.dayfly_run(),
        ),
    ),
    Case(
        name="print-50mb",
        title="one cell that prints 50 MB",
        notebook=notebooks.make_printing(),
        contenders=(
            contenders.papermill(),
            contenders.jupyter_execute(),
            contenders.jupyter_execute_and_keep(),
            contenders.dayfly_run(),
        ),
    ),
    Case(
        name="plots-100",
        title="100 plots of 1 MB",
        notebook=notebooks.make_plotting(),
        contenders=(
            contenders.papermill(only_with_all=True),
            contenders.jupyter_execute(),
            contenders.jupyter_execute_and_keep(),
            contenders.dayfly_run(*_KEEP_ALL),
        ),
    ),
    Case(
        name="commands",
        title="commands that run nothing",
        contenders=(
            contenders.print_help("papermill"),
            contenders.print_help("dayfly"),
            contenders.list_runs(10),
            contenders.list_runs(1_000),
            contenders.list_runs(10_000),
        ),
    ),
    Case(
        name="tail",
        title="slowest of 20, tiny notebook",
        notebook=notebooks.make_trivial(1),
        contenders=_EVERYONE,
        fixed_rounds=20,
    ),
)

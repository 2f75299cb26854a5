"""The options of `dayfly run`, by what they are about."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RUNNING = "Running it"
SETTINGS = "Settings (each also in dayfly.toml, and as DAYFLY_*)"
MACHINE = "On a machine (--on ec2)"
SHOWING = "Showing it"

NotebookArgument = Annotated[
    str, typer.Argument(metavar="NOTEBOOK", help="A notebook, or - for standard input.")
]
ParameterOption = Annotated[
    list[str],
    typer.Option(
        "--parameter",
        "-p",
        metavar="NAME=VALUE",
        help="Set a parameter. Repeatable.",
        rich_help_panel=RUNNING,
    ),
]
ParametersFileOption = Annotated[
    list[Path],
    typer.Option(
        "--parameters-file",
        "-f",
        metavar="FILE",
        help="Parameters from YAML or JSON. Repeatable.",
        rich_help_panel=RUNNING,
    ),
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|-",
        help="Also write the executed notebook there.",
        rich_help_panel=RUNNING,
    ),
]
OnOption = Annotated[
    str,
    typer.Option(
        "--on",
        metavar="BACKEND",
        help="Where: local (this Python environment), docker (the project's image), ec2 (a machine in AWS).",
        rich_help_panel=RUNNING,
    ),
]
CommitOption = Annotated[
    str | None,
    typer.Option(
        metavar="COMMIT",
        help="Run this commit, in a clean checkout: a branch, tag or id.",
        rich_help_panel=RUNNING,
    ),
]
DirtyOption = Annotated[
    bool,
    typer.Option(
        "--dirty", help="Run the working tree as it is, as a commit of its own.", rich_help_panel=RUNNING
    ),
]
AllowUnknownOption = Annotated[
    bool,
    typer.Option(
        "--allow-unknown", help="Accept parameters that the notebook does not have.", rich_help_panel=RUNNING
    ),
]
DetachOption = Annotated[
    bool, typer.Option("--detach", "-d", help="Start it, print its id and return.", rich_help_panel=RUNNING)
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show nothing but errors.", rich_help_panel=SHOWING)
]
EventsOption = Annotated[
    bool, typer.Option("--json", help="Print events as JSON lines on stdout.", rich_help_panel=SHOWING)
]
TimeoutOption = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION", help="How long the notebook may take: 90, 10m, 2h.", rich_help_panel=SETTINGS
    ),
]
CellTimeoutOption = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="How long one cell may take.", rich_help_panel=SETTINGS),
]
GraceOption = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION", help="From interrupting a cell to killing its kernel.", rich_help_panel=SETTINGS
    ),
]
KernelOption = Annotated[
    str | None,
    typer.Option(
        "--kernel",
        "-k",
        metavar="NAME",
        help="The kernelspec; else the notebook's.",
        rich_help_panel=SETTINGS,
    ),
]
KernelTransportOption = Annotated[
    str | None,
    typer.Option(metavar="ipc|tcp", help="How to talk to the kernel.", rich_help_panel=SETTINGS),
]
PythonOption = Annotated[
    str | None,
    typer.Option("--python", metavar="PYTHON", help="The Python environment.", rich_help_panel=SETTINGS),
]
CwdOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR", help="Where it runs; else where the notebook lies.", rich_help_panel=SETTINGS
    ),
]
OutputsOption = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="A folder whose new files are collected too.", rich_help_panel=SETTINGS),
]
OutputLimitOption = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="How much output is kept: 500MB.", rich_help_panel=SETTINGS),
]
AllowErrorsOption = Annotated[
    bool | None,
    typer.Option(
        "--allow-errors/--no-allow-errors",
        help="Go on after a cell that raises.",
        rich_help_panel=SETTINGS,
        show_default=False,
    ),
]
CpusOption = Annotated[
    str | None,
    typer.Option(metavar="N", help="Processors of a container; on ec2, at least.", rich_help_panel=SETTINGS),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="Memory of a container, 4GB; on ec2, at least.", rich_help_panel=SETTINGS
    ),
]
GpusOption = Annotated[
    str | None,
    typer.Option(metavar="all|N", help="GPUs of a container; on ec2, at least.", rich_help_panel=SETTINGS),
]
InstanceOption = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE",
        help="The instance type: m7i.2xlarge. Default: the cheapest that fits.",
        rich_help_panel=MACHINE,
    ),
]
ArchOption = Annotated[
    str | None,
    typer.Option(metavar="x86_64|arm64", help="The machine's processors.", rich_help_panel=MACHINE),
]
SpotOption = Annotated[
    bool | None,
    typer.Option(
        "--spot/--no-spot",
        help="Spare capacity: cheaper, and AWS may end it.",
        rich_help_panel=MACHINE,
        show_default=False,
    ),
]
DiskOption = Annotated[
    str | None, typer.Option(metavar="SIZE", help="The machine's disk: 100GB.", rich_help_panel=MACHINE)
]
MaxCostOption = Annotated[
    str | None,
    typer.Option(
        "--max-cost",
        metavar="DOLLARS",
        help="What it may cost; shortens the deadline.",
        rich_help_panel=MACHINE,
    ),
]
KeepOption = Annotated[
    str | None,
    typer.Option(
        "--keep-on-failure",
        metavar="DURATION",
        help="Keep the machine for a look when the notebook fails.",
        rich_help_panel=MACHINE,
    ),
]
SshOption = Annotated[
    str | None,
    typer.Option(
        "--ssh",
        metavar="auto|ADDRESS",
        help="Open port 22 to this computer's address, or to another.",
        rich_help_panel=MACHINE,
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Submitting it twice makes one run.", rich_help_panel=MACHINE),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", "-n", help="Say what would run, on what, for how much.", rich_help_panel=RUNNING
    ),
]
YesOption = Annotated[
    bool,
    typer.Option("--yes", "-y", help="Do not ask, also where no price is known.", rich_help_panel=MACHINE),
]

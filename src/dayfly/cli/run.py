"""`dayfly run`, `dayfly rerun` and `dayfly attach`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayfly.cli.options import RunArgument, StoreOption, find_run
from dayfly.cli.streams import replace_broken_streams

if TYPE_CHECKING:
    from dayfly.backends.submission import Submission
    from dayfly.runs.run import Run
    from dayfly.runs.state import State
    from dayfly.runs.store import Store

_RUNNING = "Running it"
_SETTINGS = "Settings (each also in dayfly.toml, and as DAYFLY_*)"
_SHOWING = "Showing it"

PythonOption = Annotated[
    str | None,
    typer.Option("--python", metavar="PYTHON", help="The Python environment.", rich_help_panel=_SETTINGS),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show nothing but errors.", rich_help_panel=_SHOWING)
]
EventsOption = Annotated[
    bool, typer.Option("--json", help="Print events as JSON lines on stdout.", rich_help_panel=_SHOWING)
]
DetachOption = Annotated[
    bool,
    typer.Option("--detach", "-d", help="Start it, print its id and return.", rich_help_panel=_RUNNING),
]


def run(
    notebook: Annotated[str, typer.Argument(metavar="NOTEBOOK", help="A notebook, or - for standard input.")],
    parameter: Annotated[
        list[str],
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME=VALUE",
            help="Set a parameter. Repeatable.",
            rich_help_panel=_RUNNING,
        ),
    ] = [],  # noqa: B006 -- Typer copies it
    parameters_file: Annotated[
        list[Path],
        typer.Option(
            "--parameters-file",
            "-f",
            metavar="FILE",
            help="Parameters from YAML or JSON. Repeatable.",
            rich_help_panel=_RUNNING,
        ),
    ] = [],  # noqa: B006
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|-",
            help="Also write the executed notebook there.",
            rich_help_panel=_RUNNING,
        ),
    ] = None,
    on: Annotated[
        str,
        typer.Option(
            "--on",
            metavar="BACKEND",
            help="Where: local (this Python environment), docker (the project's image).",
            rich_help_panel=_RUNNING,
        ),
    ] = "local",
    commit: Annotated[
        str | None,
        typer.Option(
            metavar="COMMIT",
            help="Run this commit, in a clean checkout: a branch, tag or id.",
            rich_help_panel=_RUNNING,
        ),
    ] = None,
    dirty: Annotated[
        bool,
        typer.Option(
            "--dirty",
            help="Run the working tree as it is, as a commit of its own.",
            rich_help_panel=_RUNNING,
        ),
    ] = False,
    allow_unknown: Annotated[
        bool,
        typer.Option(
            "--allow-unknown",
            help="Accept parameters that the notebook does not have.",
            rich_help_panel=_RUNNING,
        ),
    ] = False,
    detach: DetachOption = False,
    quiet: QuietOption = False,
    as_json: EventsOption = False,
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="How long the notebook may take: 90, 10m, 2h.", rich_help_panel=_SETTINGS
        ),
    ] = None,
    cell_timeout: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="How long one cell may take.", rich_help_panel=_SETTINGS),
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="From interrupting a cell to killing its kernel.",
            rich_help_panel=_SETTINGS,
        ),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            "--kernel",
            "-k",
            metavar="NAME",
            help="The kernelspec; else the notebook's.",
            rich_help_panel=_SETTINGS,
        ),
    ] = None,
    kernel_transport: Annotated[
        str | None,
        typer.Option(metavar="ipc|tcp", help="How to talk to the kernel.", rich_help_panel=_SETTINGS),
    ] = None,
    python: PythonOption = None,
    cwd: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Where it runs; else where the notebook lies.", rich_help_panel=_SETTINGS
        ),
    ] = None,
    outputs: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="A folder whose new files are collected too.", rich_help_panel=_SETTINGS
        ),
    ] = None,
    output_limit: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="How much output is kept: 500MB.", rich_help_panel=_SETTINGS),
    ] = None,
    allow_errors: Annotated[
        bool | None,
        typer.Option(
            "--allow-errors/--no-allow-errors",
            help="Go on after a cell that raises.",
            rich_help_panel=_SETTINGS,
            show_default=False,
        ),
    ] = None,
    cpus: Annotated[
        str | None,
        typer.Option(metavar="N", help="Processors of a run in a container.", rich_help_panel=_SETTINGS),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Memory of a run in a container: 4GB.", rich_help_panel=_SETTINGS),
    ] = None,
    gpus: Annotated[
        str | None,
        typer.Option(metavar="all|N", help="GPUs of a run in a container.", rich_help_panel=_SETTINGS),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Run a notebook and show how far it is.

    The exit code tells how it ended: 0 succeeded, 10 failed, 11 timed out, 12 cancelled,
    13 interrupted, 14 lost. Ctrl-C ends the run and saves what there is.
    """
    from dayfly.backends.asked import Asked
    from dayfly.backends.submission import open_project_store, plan_submission
    from dayfly.cli.asking import ask_about_changes, backend_name, build_echo
    from dayfly.cli.options import parse_parameters
    from dayfly.project.load import load_project

    backend = backend_name(on, detach=detach, output=output)
    project = load_project(
        Path.cwd(),
        os.environ,
        {
            "timeout": timeout,
            "cell_timeout": cell_timeout,
            "grace": grace,
            "kernel": kernel,
            "kernel_transport": kernel_transport,
            "python": python,
            "cwd": cwd,
            "outputs": outputs,
            "output_limit": output_limit,
            "allow_errors": allow_errors,
            "cpus": cpus,
            "memory": memory,
            "gpus": gpus,
            "store": store,
        },
    )
    asked = Asked(
        notebook=notebook,
        parameters=parse_parameters(parameter, parameters_file),
        allow_unknown=allow_unknown,
        output_copy=output,
        backend=backend,
        commit=commit,
        dirty=dirty,
        on_dirty=ask_about_changes() if notebook != "-" else None,
        echo=build_echo(quiet=quiet or as_json),
    )
    submission = plan_submission(asked, project, os.environ, datetime.now(UTC))
    opened = open_project_store(project, os.environ)
    _start(submission, opened, detach=detach, quiet=quiet, as_json=as_json, print_output=output == "-")


def _start(
    submission: Submission,
    store: Store,
    *,
    detach: bool,
    quiet: bool,
    as_json: bool,
    print_output: bool = False,
) -> None:
    """Start a run; watch it to its end and exit with its code, or leave it."""
    from dayfly.api import start
    from dayfly.cli.text import to_stderr
    from dayfly.cli.views import QuietView, choose_view
    from dayfly.cli.watch import watch_process

    started, process = start(submission, store)
    if detach:
        process.leave()
        typer.echo(started.run_id)
        if not quiet:
            to_stderr(f"running; follow it with: dayfly attach {started.run_id}")
        return
    try:
        with choose_view(started, quiet=quiet, as_json=as_json) as view:
            state = watch_process(started, process, view)
    except KeyboardInterrupt:  # before the watching had begun
        process.interrupt()
        raise
    except BrokenPipeError:  # nobody reads what we show: the exit code still tells how it ends
        replace_broken_streams()
        state = watch_process(started, process, QuietView())
    if print_output:
        with suppress(BrokenPipeError):
            sys.stdout.buffer.write(started.output_bytes())
            sys.stdout.buffer.flush()
    _end(started, state, quiet=quiet or as_json)


def _end(run: Run, state: State | None, *, quiet: bool) -> None:
    from dayfly.cli.summary import print_failure, print_summary
    from dayfly.runs.state import State

    with suppress(BrokenPipeError):
        if not quiet:
            print_summary(run, state)
        elif state is not State.SUCCEEDED:
            print_failure(run, state)
    raise typer.Exit(state.exit_code if state is not None and state.ended else 1)


def rerun(
    name: RunArgument,
    detach: DetachOption = False,
    quiet: QuietOption = False,
    as_json: EventsOption = False,
    python: PythonOption = None,
    store: StoreOption = None,
) -> None:
    """Run the same request again: notebook, parameters, kernel and settings as they were.

    The notebook is the one that ran then, from the run directory, not the file as it is now.
    """
    from dayfly.backends.resubmission import plan_rerun

    earlier = find_run(name, store)
    submission = plan_rerun(earlier, os.environ, datetime.now(UTC), python=python)
    _start(submission, earlier.store, detach=detach, quiet=quiet, as_json=as_json)


def attach(
    name: RunArgument = "last",
    quiet: QuietOption = False,
    as_json: EventsOption = False,
    store: StoreOption = None,
) -> None:
    """Watch a run that was started elsewhere or with --detach. Ctrl-C stops watching, not the run."""
    from dayfly.cli.text import to_stderr
    from dayfly.cli.views import choose_view
    from dayfly.cli.watch import DetachedError, watch_elsewhere

    found = find_run(name, store)
    try:
        with choose_view(found, quiet=quiet, as_json=as_json) as view:
            state = watch_elsewhere(found, view)
    except DetachedError:
        to_stderr(f"The run goes on. Come back with: dayfly attach {found.run_id}")
        to_stderr(f"End it with: dayfly stop {found.run_id}")
        raise typer.Exit(0) from None
    _end(found, state, quiet=quiet or as_json)

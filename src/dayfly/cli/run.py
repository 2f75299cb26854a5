"""`dayfly run`, `dayfly rerun` and `dayfly attach`."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dayfly.cli import run_options as options
from dayfly.cli.options import RunArgument, StoreOption, find_named, find_run, settings_among
from dayfly.cli.streams import replace_broken_streams

if TYPE_CHECKING:
    from dayfly.backends.creation import Submission
    from dayfly.backends.processes import Execution
    from dayfly.runs.run import Run
    from dayfly.runs.store import Store


def run(
    notebook: options.NotebookArgument,
    parameter: options.ParameterOption = [],  # noqa: B006 -- Typer copies it
    parameters_file: options.ParametersFileOption = [],  # noqa: B006
    output: options.OutputOption = None,
    on: options.OnOption = "local",
    commit: options.CommitOption = None,
    dirty: options.DirtyOption = False,
    allow_unknown: options.AllowUnknownOption = False,
    detach: options.DetachOption = False,
    dry_run: options.DryRunOption = False,
    quiet: options.QuietOption = False,
    as_json: options.EventsOption = False,
    instance: options.InstanceOption = None,
    arch: options.ArchOption = None,
    spot: options.SpotOption = None,
    disk: options.DiskOption = None,
    max_cost: options.MaxCostOption = None,
    keep_on_failure: options.KeepOption = None,
    ssh: options.SshOption = None,
    token: options.TokenOption = None,
    yes: options.YesOption = False,
    timeout: options.TimeoutOption = None,
    cell_timeout: options.CellTimeoutOption = None,
    grace: options.GraceOption = None,
    kernel: options.KernelOption = None,
    kernel_transport: options.KernelTransportOption = None,
    python: options.PythonOption = None,
    cwd: options.CwdOption = None,
    outputs: options.OutputsOption = None,
    output_limit: options.OutputLimitOption = None,
    allow_errors: options.AllowErrorsOption = None,
    cpus: options.CpusOption = None,
    memory: options.MemoryOption = None,
    gpus: options.GpusOption = None,
    store: StoreOption = None,
) -> None:
    """Run a notebook and show how far it is.

    The exit code tells how it ended: 0 succeeded, 10 failed, 11 timed out, 12 cancelled,
    13 interrupted, 14 lost, 15 never started. Ctrl-C ends a run on this computer and saves what there is;
    a run on a machine goes on without you.
    """
    flags = settings_among(locals())  # first: later there are more names than the arguments'
    from dayfly.aws.address import ssh_cidr
    from dayfly.backends.asked import Asked
    from dayfly.backends.stores import open_project_store
    from dayfly.backends.submission import plan_submission
    from dayfly.cli.asking import ask_about_changes, backend_name, build_echo
    from dayfly.cli.options import parse_parameters
    from dayfly.project.load import load_project

    backend = backend_name(on, detach=detach, output=output)
    project = load_project(Path.cwd(), os.environ, flags)
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
        token=token,
        ssh_cidr=ssh_cidr(ssh) if ssh is not None else "",
    )
    submission = plan_submission(asked, project, os.environ, datetime.now(UTC))
    if dry_run:
        from dayfly.cli.plan import print_plan

        print_plan(submission, as_json=as_json)
        return
    if submission.target is not None:
        from dayfly.cli.remote import run_remote

        run_remote(submission, detach=detach, quiet=quiet, as_json=as_json, yes=yes, output=output)
        return
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
    """Start a run; watch it to its end and exit with its code, or leave it.

    One whose store is on this computer is started in a moment, and never without being known.
    """
    from dayfly.api import start
    from dayfly.cli.signals import end_by_signals
    from dayfly.cli.text import to_stderr
    from dayfly.runner.signals import defer_signals

    end_by_signals()  # until the watching begins
    here = submission.request.backend == "local" and store.root is not None
    begun: Execution | None = None
    try:
        with defer_signals() if here else nullcontext():
            started, begun = start(submission, store)
        if not detach:
            _watch(started, begun, quiet=quiet, as_json=as_json, print_output=print_output)
            return
    except KeyboardInterrupt:  # before the watching had begun
        if begun is not None:
            begun.interrupt()
        raise
    begun.leave()
    typer.echo(started.run_id)
    if not quiet:
        to_stderr(f"running; follow it with: dayfly attach {started.run_id}")


def _watch(started: Run, process: Execution, *, quiet: bool, as_json: bool, print_output: bool) -> None:
    """Watch a run to its end, and exit with its code."""
    from dayfly.cli.summary import exit_with
    from dayfly.cli.views import QuietView, choose_view
    from dayfly.cli.watch import watch_process

    try:
        with choose_view(started, quiet=quiet, as_json=as_json) as view:
            state = watch_process(started, process, view)
    except BrokenPipeError:  # nobody reads what we show: the exit code still tells how it ends
        replace_broken_streams()
        state = watch_process(started, process, QuietView())
    if print_output:
        with suppress(BrokenPipeError):
            sys.stdout.buffer.write(started.output_bytes())
            sys.stdout.buffer.flush()
    exit_with(started, state, quiet=quiet or as_json)


def rerun(
    name: RunArgument,
    detach: options.DetachOption = False,
    quiet: options.QuietOption = False,
    as_json: options.EventsOption = False,
    yes: options.YesOption = False,
    python: options.PythonOption = None,
    store: StoreOption = None,
) -> None:
    """Run the same request again: notebook, parameters, kernel and settings as they were.

    The notebook is the one that ran then, from the run directory, not the file as it is now.
    """
    from dayfly.backends.resubmission import plan_rerun
    from dayfly.project.load import load_project

    earlier = find_run(name, store)
    project = load_project(Path.cwd(), os.environ)
    submission = plan_rerun(earlier, project, os.environ, datetime.now(UTC), python=python)
    if submission.target is not None:
        from dayfly.cli.remote import run_remote

        run_remote(submission, detach=detach, quiet=quiet, as_json=as_json, yes=yes, output=None)
        return
    _start(submission, earlier.store, detach=detach, quiet=quiet, as_json=as_json)


def attach(
    name: RunArgument = "last",
    quiet: options.QuietOption = False,
    as_json: options.EventsOption = False,
    store: StoreOption = None,
) -> None:
    """Watch a run or sweep that was started elsewhere or with --detach. Ctrl-C stops watching, no more."""
    from dayfly.backends.sweep_view import Sweep
    from dayfly.cli.leaving import watch_or_leave
    from dayfly.cli.summary import exit_with

    found = find_named(name, store)
    if isinstance(found, Sweep):
        from dayfly.cli.sweep import watch_or_leave_sweep

        watch_or_leave_sweep(found, quiet=quiet, as_json=as_json)
        return
    state = watch_or_leave(found, quiet=quiet, as_json=as_json)
    exit_with(found, state, quiet=quiet or as_json)

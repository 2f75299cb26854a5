"""`dayfly rehearse`: the cloud run on this computer."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dayfly.cli import run_options as options
from dayfly.cli.text import format_duration, format_size, safe_text, style_state, to_stderr

if TYPE_CHECKING:
    from dayfly.project.load import Project
    from dayfly.rehearsal.session import Rehearsal
    from dayfly.rehearsal.verdict import Verdict
    from dayfly.runs.run import Run

_TIMEOUT_S = 600.0
"""Of a rehearsed run for which none is set."""

BaseOption = Annotated[
    str | None,
    typer.Option(
        "--machine-base",
        metavar="IMAGE",
        envvar="DAYFLY_MACHINE_BASE",
        help="The Debian image that the rehearsed machine is made from.",
        show_default="debian:bookworm-slim",
    ),
]


def rehearse(
    notebook: Annotated[str | None, typer.Argument(metavar="NOTEBOOK", help="A notebook.")] = None,
    parameter: options.ParameterOption = [],  # noqa: B006 -- Typer copies it
    parameters_file: options.ParametersFileOption = [],  # noqa: B006
    timeout: options.TimeoutOption = None,
    commit: options.CommitOption = None,
    dirty: options.DirtyOption = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Let machine and AWS stand until Enter, for a look around.")
    ] = False,
    shell: Annotated[bool, typer.Option("--shell", help="The same, with a shell in the machine.")] = False,
    quiet: options.QuietOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    machine_base: BaseOption = None,
) -> None:
    """Run a notebook as `--on ec2` does, on this computer: an emulated AWS, and a machine that really boots.

    It needs a Docker engine and no AWS account, and costs nothing. The exit code is that of the run; 1 when
    something of the machine was left over.
    """
    from dayfly.environment.docker import Docker
    from dayfly.errors import UsageError
    from dayfly.project.load import load_project
    from dayfly.rehearsal.image import DEFAULT_BASE
    from dayfly.rehearsal.session import start_rehearsal

    if notebook is None:
        raise UsageError("Which notebook?", hint="Name it: dayfly rehearse NOTEBOOK")
    project = _bounded(load_project(Path.cwd(), os.environ, {"timeout": timeout}))
    asked = _asked(notebook, parameter, parameters_file, commit=commit, dirty=dirty, quiet=quiet or as_json)
    echo = asked.echo
    began = time.monotonic()
    with start_rehearsal(
        project,
        Docker(environ=dict(os.environ)),
        image_base=machine_base or DEFAULT_BASE,
        keep=keep or shell,
        echo=lambda line: echo(safe_text(line, colours=True)),
    ) as rehearsal:
        echo(f"An AWS of the rehearsal's own is up after {format_duration(time.monotonic() - began)}.")
        from dayfly.backends.submission import plan_submission

        submission = plan_submission(asked, rehearsal.project, os.environ, datetime.now(UTC))
        verdict = _perform(rehearsal, submission, quiet=quiet or as_json, keep=keep or shell)
        took = time.monotonic() - began
        if as_json:
            typer.echo(
                json.dumps({**asdict(verdict), "clean": verdict.clean, "took_s": round(took, 2)}, default=str)
            )
        else:
            print_verdict(verdict, took_s=took)
        if keep or shell:
            _look_around(rehearsal, verdict.run_id, shell=shell)
    raise typer.Exit(_exit_code(verdict, kept=keep or shell))


def _bounded(project: Project) -> Project:
    """A rehearsal that is forgotten ends soon."""
    settings = project.settings
    if settings.timeout is not None:
        return project
    return replace(project, settings=settings.model_copy(update={"timeout": _TIMEOUT_S}))


def _asked(
    notebook: str, parameters: list[str], files: list[Path], *, commit: str | None, dirty: bool, quiet: bool
) -> Any:
    from dayfly.backends.asked import Asked
    from dayfly.cli.asking import ask_about_changes, build_echo
    from dayfly.cli.options import parse_parameters

    return Asked(
        notebook=notebook,
        parameters=parse_parameters(parameters, files),
        backend="ec2",
        commit=commit,
        dirty=dirty,
        on_dirty=ask_about_changes(),
        echo=build_echo(quiet=quiet),
    )


def _perform(rehearsal: Rehearsal, submission: Any, *, quiet: bool, keep: bool) -> Verdict:
    """Submit, follow to the end, and judge."""
    from dayfly.backends.creation import create_run
    from dayfly.backends.ec2 import start_ec2
    from dayfly.cli.remote import show_creation
    from dayfly.cli.views import choose_view
    from dayfly.cli.watch import watch_elsewhere
    from dayfly.rehearsal.verdict import judge

    target = submission.target
    request = create_run(target.store, submission)
    with show_creation(quiet=quiet) as on_event:
        run: Run = start_ec2(target.store, request, target, on_event=on_event).run
    with choose_view(run, quiet=quiet, as_json=False) as view:
        watch_elsewhere(run, view)
    return judge(rehearsal, run.run_id, ended_at=time.monotonic(), within_s=0.0 if keep else 60.0)


def print_verdict(verdict: Verdict, *, took_s: float) -> None:
    """The end of a rehearsal, on stdout."""
    rows = [
        ("notebook", f"{style_state(verdict.state)}{_reason(verdict)}"),
        ("cells", f"{verdict.cells_done} of {verdict.cells} executed"),
        ("output", format_size(verdict.output_bytes) if verdict.output_bytes else "none"),
        ("machine", _machine(verdict)),
        ("stack", verdict.stack),
        ("schedule", f"{verdict.schedule} (the clock was moved past the deadline)"),
        ("left over", ", ".join(verdict.left_over) or "nothing"),
        ("on AWS", _cost(verdict)),
        ("took", format_duration(took_s)),
    ]
    for name, value in rows:
        typer.echo(f"{name:<10} {value}")


def _reason(verdict: Verdict) -> str:
    if verdict.reason in {"", "completed"}:
        return ""
    return f" ({verdict.reason}): {safe_text(verdict.message.splitlines()[0] if verdict.message else '')}"


def _machine(verdict: Verdict) -> str:
    if verdict.gone_after_s is None:
        return "stands still"
    return f"{verdict.machine_ended}, gone {format_duration(verdict.gone_after_s)} after the run's end"


def _cost(verdict: Verdict) -> str:
    lived = format_duration(verdict.lived_s)
    if verdict.cost is None:
        return f"a machine for {lived}"
    from dayfly.aws.money import dollars

    return f"a machine for {lived}, about {dollars(verdict.cost)} by the rehearsal's invented prices"


def _look_around(rehearsal: Rehearsal, run_id: str, *, shell: bool) -> None:
    """Say where everything is, and wait; or open a shell in the machine."""
    import subprocess

    around = rehearsal.around
    machines = [one for one in rehearsal.instances.machines.values() if one.run_id == run_id]
    enter = ["docker", "exec", "--interactive", "--tty", machines[0].container, "bash"] if machines else []
    if shell and enter:
        subprocess.run(enter, check=False, env=dict(around.docker.environ))
        return
    to_stderr("The machine and its AWS stand until you press Enter.")
    to_stderr(f"A shell in the machine: {' '.join(enter)}" if enter else "There was no machine.")
    to_stderr("AWS, for another terminal:")
    for name, value in around.emulator.environ().items():
        to_stderr(f"  export {name}={value}")
    try:
        input()
    except (EOFError, KeyboardInterrupt):
        return


def _exit_code(verdict: Verdict, *, kept: bool) -> int:
    if not kept and not verdict.clean:
        return 1
    return verdict.state.exit_code if verdict.state is not None else 1

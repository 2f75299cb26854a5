"""`dayfly rehearse`: the cloud run on this computer."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayfly.cli import run_options as options
from dayfly.cli.text import format_duration, format_size, safe_text, style_state, to_stderr

if TYPE_CHECKING:
    from dayfly.backends.asked import Asked
    from dayfly.project.load import Project
    from dayfly.rehearsal.session import Rehearsal
    from dayfly.rehearsal.verdict import Verdict

_TIMEOUT_S = 600.0
"""Of a rehearsed run for which none is set."""
_GONE_WITHIN_S = 60.0

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
    build: Annotated[
        bool, typer.Option("--build", help="Rehearse the build of the project's image instead.")
    ] = False,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", metavar="FILE", help="Write a picture of the timeline.", show_default=False),
    ] = None,
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
    from dayfly.cli.asking import build_echo
    from dayfly.environment.docker import Docker
    from dayfly.errors import UsageError
    from dayfly.project.load import load_project
    from dayfly.rehearsal.image import DEFAULT_BASE
    from dayfly.rehearsal.session import start_rehearsal

    if (notebook is None) is not build:
        raise UsageError("Name a notebook, or say --build.", hint="dayfly rehearse NOTEBOOK")
    project = _bounded(load_project(Path.cwd(), os.environ, {"timeout": timeout}))
    echo = build_echo(quiet=quiet or as_json)
    began = time.monotonic()
    with start_rehearsal(
        project,
        Docker(environ=dict(os.environ)),
        image_base=machine_base or DEFAULT_BASE,
        keep=keep or shell,
        with_image=not build,
        echo=lambda line: echo(safe_text(line, colours=True)),
    ) as rehearsal:
        echo(f"An AWS of the rehearsal's own is up after {format_duration(time.monotonic() - began)}.")
        if notebook is None:
            verdict = _perform_build(rehearsal, as_json=as_json)
        else:
            asked = _asked(notebook, parameter, parameters_file, commit=commit, dirty=dirty, echo=echo)
            verdict = _perform(rehearsal, asked, quiet=quiet or as_json, keep=keep or shell)
        took = time.monotonic() - began
        if as_json:
            facts = {**asdict(verdict), "clean": verdict.clean, "took_s": round(took, 2)}
            typer.echo(json.dumps(facts, default=str))
        else:
            if notebook is not None:
                _show_timeline(rehearsal, verdict, svg=svg, quiet=quiet)
            print_verdict(verdict, took_s=took)
        if keep or shell:
            _look_around(rehearsal, verdict.machine_id, shell=shell)
    raise typer.Exit(_exit_code(verdict, kept=keep or shell))


def _bounded(project: Project) -> Project:
    """A rehearsal that is forgotten ends soon."""
    settings = project.settings
    if settings.timeout is not None:
        return project
    return replace(project, settings=settings.model_copy(update={"timeout": _TIMEOUT_S}))


def _asked(
    notebook: str,
    parameters: list[str],
    files: list[Path],
    *,
    commit: str | None,
    dirty: bool,
    echo: Callable[[str], None],
) -> Asked:
    from dayfly.backends.asked import Asked
    from dayfly.cli.asking import ask_about_changes
    from dayfly.cli.options import parse_parameters

    return Asked(
        notebook=notebook,
        parameters=parse_parameters(parameters, files),
        backend="ec2",
        commit=commit,
        dirty=dirty,
        on_dirty=ask_about_changes(),
        echo=echo,
    )


def _perform(rehearsal: Rehearsal, asked: Asked, *, quiet: bool, keep: bool) -> Verdict:
    """Submit, follow to the end, and judge."""
    from dayfly.backends.creation import create_run
    from dayfly.backends.ec2 import start_ec2
    from dayfly.backends.submission import plan_submission
    from dayfly.cli.remote import show_creation
    from dayfly.cli.views import choose_view
    from dayfly.cli.watch import watch_elsewhere
    from dayfly.rehearsal.verdict import judge

    submission = plan_submission(asked, rehearsal.project, os.environ, datetime.now(UTC))
    target = submission.target
    if target is None:
        raise ValueError("a run on a machine has a target")
    request = create_run(target.store, submission)
    with show_creation(quiet=quiet) as on_event:
        run = start_ec2(target.store, request, target, on_event=on_event).run
    with choose_view(run, quiet=quiet, as_json=False) as view:
        watch_elsewhere(run, view)
    within_s = 0.0 if keep else _GONE_WITHIN_S
    return judge(rehearsal, run.run_id, ended_at=time.monotonic(), within_s=within_s)


def _perform_build(rehearsal: Rehearsal, *, as_json: bool) -> Verdict:
    """Let a machine build and push the project's image, and judge."""
    from dayfly.cli.image_cloud import build_on_machine
    from dayfly.rehearsal.verdict import judge

    timeout_s = rehearsal.project.settings.timeout or _TIMEOUT_S
    build_on_machine(
        rehearsal.project,
        instance=None,
        timeout_s=timeout_s,
        detach=False,
        dry_run=False,
        yes=True,
        as_json=as_json,
    )
    (machine,) = rehearsal.instances.machines.values()
    return judge(rehearsal, machine.run_id, ended_at=time.monotonic())


def _show_timeline(rehearsal: Rehearsal, verdict: Verdict, *, svg: Path | None, quiet: bool) -> None:
    from dayfly.cli.timeline import ask_of_run, print_timeline, write_svg
    from dayfly.report.timeline_phases import make_timeline
    from dayfly.runs.run import Run

    told = ask_of_run(Run(verdict.machine_id, rehearsal.store), lambda: rehearsal.aws)
    made = make_timeline(told, datetime.now(UTC))
    if svg is not None:
        write_svg(made, svg)
    if not quiet:
        print_timeline(made)
        typer.echo()


def print_verdict(verdict: Verdict, *, took_s: float) -> None:
    """The end of a rehearsal, on stdout."""
    rows = []
    if verdict.state is not None:
        rows = [
            ("notebook", f"{style_state(verdict.state)}{_reason(verdict)}"),
            ("cells", f"{verdict.cells_done} of {verdict.cells} executed"),
            ("output", format_size(verdict.output_bytes) if verdict.output_bytes else "none"),
        ]
    rows += [
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
    return verdict.state.exit_code if verdict.state is not None else 0

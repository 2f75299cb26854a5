"""`dayfly rehearse`: the cloud run on this computer."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayfly.cli import run_options as options
from dayfly.cli.rehearsal_lab import KEY, make_key, perform_lab
from dayfly.cli.rehearsal_run import perform
from dayfly.cli.rehearsal_verdict import describe_matrix_row, print_matrix, print_verdict, write_report
from dayfly.cli.signals import end_by_signals
from dayfly.cli.text import format_duration, print_error, print_table, safe_text, to_stderr
from dayfly.errors import UsageError

if TYPE_CHECKING:
    from dayfly.backends.asked import Asked
    from dayfly.project.load import Project
    from dayfly.rehearsal.faults import Fault, Moment
    from dayfly.rehearsal.session import Rehearsal
    from dayfly.rehearsal.verdict import Verdict

_TIMEOUT_S = 600.0
"""Of a rehearsed run for which none is set."""
_LAB_TIMEOUT_S = 4 * 3600.0

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
    fault: Annotated[
        str | None,
        typer.Option("--fault", metavar="NAME|list", help="Let something go wrong.", show_default=False),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="MOMENT", help="When: boot, pull, cell:N, end.", show_default=False),
    ] = None,
    all_faults: Annotated[
        bool, typer.Option("--all-faults", help="Each fault in turn, with this notebook and its image.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write what came of the faults.", show_default=False),
    ] = None,
    build: Annotated[
        bool, typer.Option("--build", help="Rehearse the build of the project's image instead.")
    ] = False,
    lab: Annotated[
        bool, typer.Option("--lab", help="Rehearse JupyterLab on a machine instead, until Ctrl-C.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Of --lab, on this machine.", show_default="8888, else any"),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the browser, with --lab.")
    ] = True,
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
    from dayfly.project.load import load_project
    from dayfly.rehearsal.place import make_place

    if fault == "list":
        _list_faults()
        return
    if [notebook is not None, build, lab].count(True) != 1:
        raise UsageError("Name a notebook, or say --build or --lab.", hint="dayfly rehearse NOTEBOOK")
    if all_faults and (fault or build or lab or keep or shell):
        raise UsageError("--all-faults stands alone.", hint="dayfly rehearse NOTEBOOK --all-faults")
    asked_for = _fault(fault, at)
    project = load_project(Path.cwd(), os.environ, {"timeout": timeout})
    project = _bounded(project, _LAB_TIMEOUT_S if lab else _TIMEOUT_S)
    echo = build_echo(quiet=quiet or as_json)
    end_by_signals()
    kept, began = keep or shell, time.monotonic()
    with (
        make_place() as scratch,
        _place(
            project,
            echo,
            machine_base=machine_base,
            keep=kept,
            with_image=not build,
            key=make_key(scratch) if lab else None,
        ) as rehearsal,
    ):
        echo(f"An AWS of the rehearsal's own is up after {format_duration(time.monotonic() - began)}.")
        if build:
            verdict = _perform_build(rehearsal, as_json=as_json)
        elif notebook is None:
            key = scratch / KEY
            verdict = perform_lab(rehearsal, key, port=port, browser=browser, commit=commit, dirty=dirty)
        else:
            asked = _asked(notebook, parameter, parameters_file, commit=commit, dirty=dirty, echo=echo)
            if all_faults:
                raise typer.Exit(_perform_all(rehearsal, asked, report=report, as_json=as_json))
            verdict, refused = perform(
                rehearsal, asked, quiet=quiet or as_json, keep=kept, fault=asked_for[0], moment=asked_for[1]
            )
            if refused is not None:
                print_error(refused)
        _tell(rehearsal, verdict, took_s=time.monotonic() - began, svg=svg, quiet=quiet, as_json=as_json)
        if kept:
            _look_around(rehearsal, verdict.machine_id, shell=shell)
    raise typer.Exit(_exit_code(verdict, kept=kept))


def _place(
    project: Project,
    echo: Callable[[str], None],
    *,
    machine_base: str | None,
    keep: bool,
    with_image: bool,
    key: Path | None,
) -> AbstractContextManager[Rehearsal]:
    from dayfly.aws.base_parameters import BaseOptions, read_public_key
    from dayfly.environment.docker import Docker
    from dayfly.rehearsal.image import DEFAULT_BASE
    from dayfly.rehearsal.session import start_rehearsal

    return start_rehearsal(
        project,
        Docker(environ=dict(os.environ)),
        image_base=machine_base or DEFAULT_BASE,
        options=BaseOptions(ssh_public_key=read_public_key(key)) if key is not None else None,
        keep=keep,
        with_image=with_image,
        echo=lambda line: echo(safe_text(line, colours=True)),
    )


def _tell(
    rehearsal: Rehearsal, verdict: Verdict, *, took_s: float, svg: Path | None, quiet: bool, as_json: bool
) -> None:
    if as_json:
        facts = {**asdict(verdict), "clean": verdict.clean, "took_s": round(took_s, 2)}
        typer.echo(json.dumps(facts, default=str))
        return
    if verdict.state is not None:
        _show_timeline(rehearsal, verdict, svg=svg, quiet=quiet)
    print_verdict(verdict, took_s=took_s)


def _list_faults() -> None:
    from dayfly.rehearsal.faults import list_faults

    rows = [
        [one.name, ", ".join("cell:N" if when == "cell" else when for when in one.when), one.says]
        for one in list_faults()
    ]
    print_table(["FAULT", "AT", "WHAT HAPPENS"], rows)


def _fault(name: str | None, at: str | None) -> tuple[Fault | None, Moment | None]:
    """The fault and the moment that are asked for. Raises UsageError."""
    from dayfly.rehearsal.faults import find_fault, parse_moment

    if name is None:
        if at is not None:
            raise UsageError("--at says when a fault happens.", hint="Name the fault: --fault NAME")
        return None, None
    fault = find_fault(name)
    moment = parse_moment(at) if at is not None else None
    fault.moment(moment)  # can it happen then?
    return fault, moment


def _perform_all(rehearsal: Rehearsal, asked: Asked, *, report: Path | None, as_json: bool) -> int:
    """Every fault in turn; 1 when one of them has left something."""
    from dayfly.rehearsal.faults import list_faults

    rows: list[tuple[Fault, str, Verdict]] = []
    for fault in list_faults():
        moment = fault.moment()
        to_stderr(f"{fault.name}: {fault.says} ({moment})")
        try:
            verdict, _ = perform(rehearsal, asked, quiet=True, fault=fault, moment=moment)
        except UsageError as error:  # the notebook is too short for it
            to_stderr(f"  {error.what}")
            continue
        to_stderr(f"  {describe_matrix_row(verdict)}")
        rows.append((fault, str(moment), verdict))
    if as_json:
        facts = [{"fault": one.name, "at": at, **asdict(verdict)} for one, at, verdict in rows]
        typer.echo(json.dumps(facts, default=str))
    else:
        print_matrix(rows)
    if report is not None:
        write_report(rows, report)
        to_stderr(f"Wrote {report}.")
    return int(not all(verdict.clean for _, _, verdict in rows))


def _bounded(project: Project, timeout_s: float) -> Project:
    """A rehearsal that is forgotten ends soon."""
    settings = project.settings
    if settings.timeout is not None:
        return project
    return replace(project, settings=settings.model_copy(update={"timeout": timeout_s}))


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

"""`dayfly lab`."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayfly.cli.run_options import (
    MACHINE,
    ArchOption,
    CommitOption,
    DirtyOption,
    DiskOption,
    DryRunOption,
    InstanceOption,
    SpotOption,
    SshOption,
    YesOption,
)
from dayfly.cli.signals import ENDING, end_by_signals
from dayfly.cli.text import is_terminal, to_stderr
from dayfly.errors import UsageError

if TYPE_CHECKING:
    from dayfly.backends.lab import Lab
    from dayfly.project.load import Project
    from dayfly.runs.request import PythonEnvironment


def lab(
    on: Annotated[
        str,
        typer.Option(
            metavar="BACKEND",
            help="Where: docker (the project's image), local (this Python environment), ec2 (a machine).",
        ),
    ] = "docker",
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="The port on this machine. Default: 8888, else any.", show_default=False
        ),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
    stop: Annotated[bool, typer.Option("--stop", help="End the JupyterLab of this project.")] = False,
    instance: InstanceOption = None,
    arch: ArchOption = None,
    spot: SpotOption = None,
    disk: DiskOption = None,
    timeout: Annotated[
        str,
        typer.Option(metavar="DURATION", help="How long the machine may be used.", rich_help_panel=MACHINE),
    ] = "4h",
    idle: Annotated[
        str,
        typer.Option(metavar="DURATION", help="It ends so long after its last use.", rich_help_panel=MACHINE),
    ] = "30m",
    ssh: SshOption = None,
    identity: Annotated[
        Path | None,
        typer.Option(
            "--identity",
            "-i",
            metavar="FILE",
            help="The private key for --ssh. Default: as ssh finds it.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    commit: CommitOption = None,
    dirty: DirtyOption = False,
    fetch: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Bring home what was changed in a lab.", rich_help_panel=MACHINE),
    ] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Work in JupyterLab, in the project's image, here or on a machine; Ctrl-C ends it here."""
    from dayfly.backends.lab import wait_until_ready
    from dayfly.project.load import load_project

    if on not in {"docker", "local", "ec2"}:
        raise UsageError(f"JupyterLab cannot run on {on!r}.", why="It runs on: docker, local, ec2.")
    if on == "ec2":
        flags = {"instance": instance, "arch": arch, "spot": spot, "disk": disk, "timeout": timeout}
        _on_machine(
            flags,
            idle,
            fetch,
            port=port,
            browser=browser,
            stop=stop,
            ssh=ssh,
            identity=identity,
            commit=commit,
            dirty=dirty,
            dry_run=dry_run,
            yes=yes,
        )
        return
    if instance or arch or disk or ssh or identity or commit or dirty or fetch or dry_run or spot is not None:
        raise UsageError("Of these flags, some are for a machine.", hint="Add: --on ec2")
    project = load_project(Path.cwd(), os.environ)
    root = project.root or Path.cwd()
    end_by_signals()
    with tempfile.TemporaryDirectory(prefix="dayfly-lab-") as scratch:
        found = _find(on, project, root)
        if stop:
            _stop_found(found, root)
            return
        if found is not None:
            wait_until_ready(found)
            to_stderr(f"JupyterLab runs already for {root}; end it with: dayfly lab --stop")
            _show(found, browser=browser)
            return
        _serve(_start(on, project, root, port, Path(scratch)), root, browser=browser)


def _on_machine(
    settings: Mapping[str, object],
    idle: str,
    fetch: str | None,
    *,
    port: int | None,
    browser: bool,
    stop: bool,
    ssh: str | None,
    identity: Path | None,
    commit: str | None,
    dirty: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    from dayfly.cli.lab_begin import LabFlags
    from dayfly.cli.lab_cloud import fetch_lab, lab_on_machine, stop_lab
    from dayfly.project.load import load_project
    from dayfly.project.units import parse_duration

    if commit is not None and dirty:
        raise UsageError("--commit and --dirty exclude each other.")
    project = load_project(Path.cwd(), os.environ, settings)
    if fetch is not None:
        fetch_lab(project, fetch)
        return
    end_by_signals()
    if stop:
        stop_lab(project, identity=identity)
        return
    try:
        idle_s = float(parse_duration(idle))
    except ValueError as error:
        raise UsageError(f"--idle {idle} is no duration.", why=str(error)) from error
    flags = LabFlags(
        port=port,
        browser=browser,
        timeout_s=project.settings.timeout or 0.0,
        idle_s=idle_s,
        ssh=ssh,
        identity=identity,
        commit=commit,
        dirty=dirty,
        dry_run=dry_run,
        yes=yes,
    )
    lab_on_machine(project, flags)


def _serve(server: Lab, root: Path, *, browser: bool) -> None:
    """Show a new JupyterLab until it ends, of Ctrl-C as a rule; then nothing of it is left."""
    from dayfly.backends.lab import wait_until_ready

    try:
        with _spinner("JupyterLab is starting"):
            wait_until_ready(server)
        to_stderr(f"JupyterLab for {root}, until Ctrl-C:")
        _show(server, browser=browser)
        server.wait()
        to_stderr("JupyterLab has ended.")
    except KeyboardInterrupt:
        to_stderr("\nEnding JupyterLab.")
    finally:
        # Asking once more must not leave it behind.
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        server.stop()


def _find(on: str, project: Project, root: Path) -> Lab | None:
    from dayfly.backends.lab import find_lab
    from dayfly.backends.lab_local import find_local_lab
    from dayfly.environment.docker import Docker

    if on == "local":
        return find_local_lab(_python(project, root), root, os.environ)
    return find_lab(Docker(environ=os.environ), root)


def _start(on: str, project: Project, root: Path, port: int | None, scratch: Path) -> Lab:
    from dayfly.backends.lab import LabPlan, choose_port, start_lab
    from dayfly.backends.lab_local import start_local_lab

    chosen = choose_port(port)
    if on == "local":
        return start_local_lab(_python(project, root), root, os.environ, port=chosen, log=scratch / "log")
    from dayfly.backends.lab_user import choose_user
    from dayfly.backends.project_image import is_rootless, project_image
    from dayfly.environment.docker import Docker

    docker = Docker(environ=os.environ)
    settings = project.settings
    image, facts = project_image(docker, root, settings.image, os.environ, echo=to_stderr)
    user = choose_user(root, facts.user, uid=os.geteuid(), gid=os.getegid(), rootless=is_rootless(docker))
    if user.warning:
        to_stderr(user.warning)
    return start_lab(
        docker,
        LabPlan(
            root=root,
            image=image.tag,
            facts=facts,
            settings=settings,
            port=chosen,
            user=user,
            any_port=port is None,
        ),
    )


def _python(project: Project, root: Path) -> PythonEnvironment:
    from dayfly.backends.python import choose_python

    return choose_python(
        project.settings.python, source=project.sources["python"], folders=[root], environ=os.environ
    )


def _stop_found(found: Lab | None, root: Path) -> None:
    if found is None:
        to_stderr(f"No JupyterLab runs for {root}.")
        return
    found.stop()
    to_stderr(f"Ended the JupyterLab of {root}.")


def _show(server: Lab, *, browser: bool) -> None:
    typer.echo(server.url)
    if browser:
        typer.launch(server.url)


@contextmanager
def _spinner(text: str) -> Iterator[None]:
    if not is_terminal():
        to_stderr(f"{text} ...")
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield

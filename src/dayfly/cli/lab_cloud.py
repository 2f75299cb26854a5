"""`dayfly lab --on ec2`: JupyterLab on a machine, through a tunnel that this computer opens."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dayfly.cli.cloud_place import CloudPlace, open_place
from dayfly.cli.image_cloud import show_told
from dayfly.cli.lab_begin import LabFlags, begin_lab, tell_it_goes_on
from dayfly.cli.text import is_terminal, to_stderr
from dayfly.errors import AwsError, DayflyError

if TYPE_CHECKING:
    from dayfly.aws.labs import LabRequest, LabServer
    from dayfly.aws.machines import Machine
    from dayfly.aws.tasks import TaskPlace
    from dayfly.aws.tunnel import Tunnel
    from dayfly.project.load import Project

_TEND_S = 1.0
_ASK_EVERY = 30
"""So many looks at the tunnel for one at the lab's result."""


def lab_on_machine(project: Project, flags: LabFlags) -> None:
    """Work in JupyterLab on a machine: the one that this project has, or a new one."""
    from dayfly.aws.tunnel import check_programs

    if not flags.dry_run:  # which needs none of them
        check_programs(ssh=flags.ssh is not None)
    place = open_place(project)
    alive = None if flags.dry_run else _alive(place)
    if alive is not None:
        from dayfly.aws.labs import find_lab

        to_stderr(f"JupyterLab runs already on the machine {alive.machine_id}.")
        request, task = find_lab(place.store, alive.machine_id)
    else:
        begun = begin_lab(place, project, flags)
        if begun is None:
            return
        request, task = begun
    _serve(place, request, task, flags, root=project.root or Path.cwd())


def stop_lab(project: Project, *, identity: Path | None = None) -> None:
    """End the lab of this project: its files are saved first, if it can be reached."""
    from dayfly.aws.labs import find_lab, find_server

    place = open_place(project)
    alive = _alive(place)
    if alive is None:
        to_stderr("No lab of this project runs in AWS.")
        return
    request, task = find_lab(place.store, alive.machine_id)
    server = find_server(task)
    flags = LabFlags(
        port=None,
        browser=False,
        timeout_s=0,
        idle_s=0,
        ssh=request.ssh_cidr or None,
        identity=identity,
        commit=None,
        dirty=False,
        dry_run=False,
        yes=True,
    )
    if server is None:
        _end_machine(place, alive)
        return
    with _tunnel(place, request, task, server, flags) as (_, port):
        _end(place, task, server, port)
    bring_home(task, request.lab_id, project.root or Path.cwd())


def fetch_lab(project: Project, lab_id: str) -> None:
    """Bring home the files that were changed in a lab."""
    from dayfly.aws.labs import find_lab

    _, task = find_lab(open_place(project).store, lab_id)
    bring_home(task, lab_id, project.root or Path.cwd())


def bring_home(task: TaskPlace, lab_id: str, root: Path) -> None:
    """Copy what was changed into a new folder beside the project's files, and say where."""
    from dayfly.aws.labs import changed_files, fetch_work, new_directory

    if not changed_files(task):
        to_stderr("No file was changed in the lab.")
        return
    directory = new_directory(root, lab_id)
    for path in fetch_work(task, directory):
        typer.echo(path)
    to_stderr(f"What was changed in the lab is in {directory}; your own files are as they were.")
    to_stderr(f"See how they differ with: git diff --no-index . {directory.name}")


def _alive(place: CloudPlace) -> Machine | None:
    """The project's lab that runs, the newest if there are several."""
    from dayfly.aws.machines import list_machines

    found = list_machines(place.aws, place.base.project)
    return next((one for one in found if one.task == "lab" and not one.status.startswith("DELETE")), None)


def _serve(place: CloudPlace, request: LabRequest, task: TaskPlace, flags: LabFlags, *, root: Path) -> None:
    """Show the lab until it ends or Ctrl-C; then ask what is to become of the machine."""
    from dayfly.aws.labs import wait_for_server
    from dayfly.backends.lab import lab_url

    try:
        server = wait_for_server(place.aws, task, hear=show_told)
    except KeyboardInterrupt:
        tell_it_goes_on(request)
        raise typer.Exit(130) from None
    with _tunnel(place, request, task, server, flags) as (tunnel, port):
        url = lab_url(port, server.token)
        try:  # from the words on that promise it
            to_stderr("JupyterLab on the machine, until Ctrl-C closes the tunnel:")
            typer.echo(url)
            if flags.browser:
                typer.launch(url)
            _tend(tunnel, task)
            to_stderr("The lab has ended.")
        except KeyboardInterrupt:
            to_stderr()
            if not _wants_to_end():
                tell_it_goes_on(request)
                return
            _end(place, task, server, port)
    bring_home(task, request.lab_id, root)


def _tend(tunnel: Tunnel, task: TaskPlace, *, wait: Callable[[float], object] | None = None) -> None:
    """Keep the tunnel open until the lab has ended."""
    wait = wait or threading.Event().wait
    looks = 0
    while True:
        wait(_TEND_S)
        if tunnel.tend():
            to_stderr("The tunnel had dropped; it is opened again.")
        looks += 1
        if looks % _ASK_EVERY == 0 and task.result() is not None:
            return


@contextmanager
def _tunnel(
    place: CloudPlace, request: LabRequest, task: TaskPlace, server: LabServer, flags: LabFlags
) -> Iterator[tuple[Tunnel, int]]:
    """An open tunnel to JupyterLab, and its local port."""
    from dayfly.aws.session import find_target
    from dayfly.aws.stacks import find_stack
    from dayfly.aws.tunnel import Tunnel, ssh_command, ssm_command
    from dayfly.backends.lab import choose_port

    record = task.machine()
    stack = find_stack(place.aws, record.stack_id) if record is not None else None
    if stack is None:
        raise AwsError(f"The lab {request.lab_id} has no machine any more.", code="MachineGone")
    target = find_target(place.aws, stack, request.lab_id)
    port = choose_port(flags.port)
    with tempfile.TemporaryDirectory(prefix="dayfly-tunnel-") as scratch:
        if request.ssh_cidr:
            known = Path(scratch, "known_hosts")
            command = ssh_command(
                target,
                local_port=port,
                remote_port=server.port,
                known_hosts=known,
                identity=flags.identity,
            )
        else:
            command = ssm_command(target, local_port=port, remote_port=server.port)
        tunnel = Tunnel(command, port=port, log=Path(scratch, "log"), environ=os.environ)
        try:
            tunnel.open()
            yield tunnel, port
        finally:
            tunnel.close()


def _wants_to_end() -> bool:
    """Whether the machine is to end now; nobody to ask, or a second Ctrl-C, leaves it."""
    if not (is_terminal() and sys.stdin.isatty()):
        return False
    try:
        return typer.confirm("End the machine now? Otherwise it ends when idle.", default=True, err=True)
    except (typer.Abort, KeyboardInterrupt):
        to_stderr()
        return False


def _end(place: CloudPlace, task: TaskPlace, server: LabServer, port: int) -> None:
    """Ask JupyterLab to end, and wait until the machine has saved what was changed."""
    from dayfly.aws.labs import shut_down, wait_for_end

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        shut_down(server, port)
        to_stderr("Ending the lab and saving what was changed; Ctrl-C leaves it to the machine.")
        wait_for_end(place.aws, task, hear=show_told)
    except KeyboardInterrupt:
        to_stderr("\nThe machine saves what was changed, and ends.")
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGINT, before)


def _end_machine(place: CloudPlace, machine: Machine) -> None:
    from dayfly.aws.machines import end_stack

    if not machine.stack_id:
        raise DayflyError(f"End the machine with: dayfly stop {machine.machine_id}")
    to_stderr(f"Ending the machine {machine.machine_id}: JupyterLab does not run on it yet.")
    end_stack(place.aws, project=machine.project, stack_id=machine.stack_id, schedule=machine.schedule)

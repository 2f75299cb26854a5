"""`dayfly lab --on ec2`: JupyterLab on a machine, through a tunnel that this computer opens."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dayfly.cli.asking import ask_about_changes
from dayfly.cli.cloud_place import CloudPlace, agree, machine_lines, open_place, print_lines
from dayfly.cli.image_cloud import show_told
from dayfly.cli.text import is_terminal, to_stderr
from dayfly.errors import AwsError, DayflyError, SnapshotError, UsageError

if TYPE_CHECKING:
    from dayfly.aws.hardware import Hardware
    from dayfly.aws.labs import LabAsked, LabPlan, LabRequest, LabServer
    from dayfly.aws.machines import Machine
    from dayfly.aws.tasks import TaskPlace
    from dayfly.aws.tunnel import Tunnel
    from dayfly.backends.source import Source
    from dayfly.project.load import Project

_TEND_S = 1.0
_ASK_EVERY = 30
"""So many looks at the tunnel for one at the lab's result."""


@dataclass(frozen=True, kw_only=True)
class LabFlags:
    """What the command was told. Durations are seconds."""

    port: int | None
    browser: bool
    timeout_s: float
    idle_s: float
    ssh: str | None
    commit: str | None
    dirty: bool
    dry_run: bool
    yes: bool


def lab_on_machine(project: Project, flags: LabFlags) -> None:
    """Work in JupyterLab on a machine: the one that this project has, or a new one."""
    from dayfly.aws.tunnel import check_programs

    check_programs(ssh=flags.ssh is not None)
    place = open_place(project)
    alive = None if flags.dry_run else _alive(place)
    if alive is not None:
        from dayfly.aws.labs import find_lab

        to_stderr(f"JupyterLab runs already on the machine {alive.machine_id}.")
        request, task = find_lab(place.store, alive.machine_id)
    else:
        begun = _begin(place, project, flags)
        if begun is None:
            return
        request, task = begun
    _serve(place, request, task, flags, root=project.root or Path.cwd())


def stop_lab(project: Project) -> None:
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


def _begin(place: CloudPlace, project: Project, flags: LabFlags) -> tuple[LabRequest, TaskPlace] | None:
    from dayfly.aws.labs import plan_lab, start_lab
    from dayfly.cli.leaving import user_name

    with _snapshot(project, flags) as source:
        asked, hardware = _asked(place, project, source, flags)
        plan = plan_lab(place.aws, place.base, asked, hardware, project.settings, owner=user_name())
        lines = _plan_lines(plan, hardware)
        if flags.dry_run:
            print_lines(lines)
            return None
        agree(plan.request.machine, yes=flags.yes)
        print_lines(lines, err=True)
        if source.bundle is None:
            raise ValueError("a lab is of a commit")
        try:
            return plan.request, start_lab(place.aws, place.store, plan, bundle=source.bundle)
        except KeyboardInterrupt:
            _leave(plan.request)
            raise typer.Exit(130) from None


def _plan_lines(plan: LabPlan, hardware: Hardware) -> list[tuple[str, str]]:
    from dayfly.cli.text import format_duration

    request = plan.request
    lines = [
        ("image", request.image),
        (
            "commit",
            f"{(request.base or request.commit)[:12]}{' and the changes since' if request.base else ''}",
        ),
        *machine_lines(request, hardware.choice.describe()),
        ("idle", f"it ends {format_duration(request.idle_s)} after it was last used"),
    ]
    if request.ssh_cidr:
        lines.append(("ssh", f"port 22 is open to {request.ssh_cidr}"))
    return lines


def _asked(place: CloudPlace, project: Project, source: Source, flags: LabFlags) -> tuple[LabAsked, Hardware]:
    """Image, user and machine, found side by side with nothing made."""
    from dayfly.aws.address import ssh_cidr
    from dayfly.aws.ecr import check_image
    from dayfly.aws.hardware import choose_hardware
    from dayfly.aws.image_records import load_image_record
    from dayfly.aws.labs import LabAsked
    from dayfly.backends.docker_workplace import container_user, image_tree
    from dayfly.backends.ec2_workplace import PLATFORMS, wanted_arch
    from dayfly.environment.plan import plan_image
    from dayfly.errors import ImageError

    snapshot = source.snapshot
    if snapshot is None:
        raise ValueError("a lab is of a commit")
    arch = wanted_arch(project)
    with image_tree(source, project, snapshot.repository) as (tree, settings):
        image = plan_image(tree, settings, platform=PLATFORMS[arch])
    record = load_image_record(place.store, image.key)
    check_image(place.aws, place.base, record)
    facts = record.facts()
    if "jupyterlab" not in {name.lower() for name in facts.packages}:
        raise ImageError(
            f"There is no JupyterLab in the image {record.tag}.",
            why=f"The packages of {facts.python.executable} in the image do not include jupyterlab.",
            hint="Add the line `jupyterlab` to requirements.txt (or to what the Dockerfile installs), "
            "and build it again: dayfly image build --on ec2",
        )
    if flags.ssh is not None and not place.base.key_name:
        raise UsageError(
            "This project has no key for SSH.", hint="Give it one: dayfly cloud up --ssh-key FILE"
        )
    hardware = choose_hardware(place.aws, place.base, project.settings, arch=arch, environ=os.environ)
    asked = LabAsked(
        commit=snapshot.commit,
        base=snapshot.base if snapshot.dirty else None,
        record=record,
        user=container_user(facts, uid=0, gid=0, rootless=False),
        timeout_s=flags.timeout_s,
        idle_s=flags.idle_s,
        ssh_cidr=ssh_cidr(flags.ssh) if flags.ssh is not None else "",
    )
    return asked, hardware


@contextmanager
def _snapshot(project: Project, flags: LabFlags) -> Iterator[Source]:
    """The commit that the lab begins with, or the working tree as a commit of its own."""
    from dayfly.backends.source import Source
    from dayfly.runner.directories import cache_directory
    from dayfly.runs import layout
    from dayfly.snapshot.bundle import write_bundle
    from dayfly.snapshot.plan import changed_files, find_repository, plan_snapshot

    root = project.root or Path.cwd()
    repository = find_repository(root)
    changed = changed_files(repository) if repository and not flags.commit and not flags.dirty else []
    dirty = flags.dirty
    if changed:
        ask = ask_about_changes()
        if ask is None:
            raise SnapshotError(
                "The working tree differs from the last commit.",
                hint="Take the tree as it is with --dirty, the last commit with --commit HEAD, or commit.",
            )
        dirty = ask(changed)
    with (
        tempfile.TemporaryDirectory(prefix="dayfly-lab-") as scratch,
        plan_snapshot(
            root,
            commit=flags.commit,
            dirty=dirty,
            allow_secrets=project.settings.allow_secrets,
            cache=cache_directory(os.environ),
        ) as snapshot,
    ):
        bundle = Path(scratch, layout.BUNDLE)
        write_bundle(snapshot, bundle)
        unchanged = dirty or not (changed or flags.commit)
        yield Source(content=b"", snapshot=snapshot, bundle=bundle, as_working_tree=unchanged)


def _serve(place: CloudPlace, request: LabRequest, task: TaskPlace, flags: LabFlags, *, root: Path) -> None:
    """Show the lab until it ends or Ctrl-C; then ask what is to become of the machine."""
    from dayfly.aws.labs import wait_for_server
    from dayfly.backends.lab import lab_url

    try:
        server = wait_for_server(place.aws, task, hear=show_told)
    except KeyboardInterrupt:
        _leave(request)
        raise typer.Exit(130) from None
    with _tunnel(place, request, task, server, flags) as (tunnel, port):
        url = lab_url(port, server.token)
        to_stderr("JupyterLab on the machine, until Ctrl-C closes the tunnel:")
        typer.echo(url)
        if flags.browser:
            typer.launch(url)
        try:
            _tend(tunnel, task)
            to_stderr("The lab has ended.")
        except KeyboardInterrupt:
            to_stderr()
            if not _wants_to_end():
                _leave(request)
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
            command = ssh_command(target, local_port=port, remote_port=server.port, known_hosts=known)
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


def _leave(request: LabRequest) -> None:
    from dayfly.cli.plan import describe_deadline
    from dayfly.cli.text import format_duration

    to_stderr(
        f"The machine goes on until {format_duration(request.idle_s)} after its last use; "
        f"{describe_deadline(request.machine.deadline)}."
    )
    to_stderr("Come back with: dayfly lab --on ec2; end it with: dayfly lab --on ec2 --stop")
    to_stderr(f"Bring home what was changed with: dayfly lab --on ec2 --fetch {request.lab_id}")

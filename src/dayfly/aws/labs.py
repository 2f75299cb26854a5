"""JupyterLab on a machine: what is asked for, the server that answers, and the files that come home."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from pydantic import Field

from dayfly.aws.base import BaseStack
from dayfly.aws.boot import lab_context
from dayfly.aws.builds import CONTEXT, machine_plan, machine_source
from dayfly.aws.client import Aws
from dayfly.aws.hardware import Hardware
from dayfly.aws.image_records import ImageRecord
from dayfly.aws.machine import MachinePlan
from dayfly.aws.tasks import TaskPlace, TaskRequest, Told, find_task, follow_task, start_task
from dayfly.errors import DayflyError
from dayfly.project.settings import Settings
from dayfly.runs import layout
from dayfly.runs.fetching import fetch_folder
from dayfly.runs.ids import new_run_id
from dayfly.runs.model import Model, parse_model
from dayfly.runs.request import ContainerUser
from dayfly.runs.store import Store

SERVER = "server.json"
WORK = "work"
TIMEOUT_S = 4 * 3600.0
"""How long a lab may be used when nothing is said."""
IDLE_S = 30 * 60.0
_STOP_S = 60
_ANSWER_S = 20
_STARTED = "started"


class LabServer(Model):
    """Where JupyterLab listens on its machine, and who may come in. It is reached through a tunnel alone."""

    token: str = Field(pattern=r"^[A-Za-z0-9_-]{16,128}$", repr=False)
    port: int = Field(ge=1, le=65535)


class LabRequest(TaskRequest):
    """A lab as it was asked for: `labs/<id>/request.json`. Durations are seconds."""

    lab_id: str
    image: str
    """The image's name with its digest."""
    key: str
    commit: str
    base: str | None = None
    """HEAD, where `commit` was made of a working tree that differed from it."""
    timeout_s: float
    idle_s: float
    ssh_cidr: str = ""


@dataclass(frozen=True, kw_only=True)
class LabPlan:
    """A lab as it would be: what is asked, and the machine that has it."""

    request: LabRequest
    machine: MachinePlan


@dataclass(frozen=True, kw_only=True)
class LabAsked:
    """What is asked of a lab: which files, in which image, as whom, for how long (seconds)."""

    commit: str
    base: str | None
    record: ImageRecord
    user: ContainerUser
    timeout_s: float = TIMEOUT_S
    idle_s: float = IDLE_S
    ssh_cidr: str = ""


def plan_lab(  # noqa: PLR0913 -- what, on what, for whom
    aws: Aws,
    base: BaseStack,
    asked: LabAsked,
    hardware: Hardware,
    settings: Settings,
    *,
    owner: str,
) -> LabPlan:
    """The machine that would have the lab. Nothing is made."""
    now = aws.now()
    source = machine_source(
        base,
        hardware,
        owner=owner,
        boot_budget_s=settings.aws.boot_budget,
        timeout_s=asked.timeout_s,
        now=now,
        access=settings.aws.access,
    )
    request = LabRequest(
        lab_id=new_run_id("lab", now),
        created=now,
        image=asked.record.reference(base.repository_uri),
        key=asked.record.key,
        commit=asked.commit,
        base=asked.base,
        timeout_s=asked.timeout_s,
        idle_s=asked.idle_s,
        ssh_cidr=asked.ssh_cidr,
        machine=source,
    )
    has_home = asked.user.uid == asked.record.user.uid
    gpus = settings.gpus or ("all" if hardware.choice.type.gpus else "")
    work = {
        "Image": request.image,
        "Commit": asked.commit,
        "ContextSha256": lab_context()[1],
        "User": f"{asked.user.uid}:{asked.user.gid}",
        "UserName": asked.user.name,
        "Home": asked.user.home if has_home else "",
        "Cpus": "" if settings.cpus is None else f"{settings.cpus:g}",
        "MemoryBytes": "" if settings.memory is None else str(settings.memory),
        "Gpus": gpus,
        "StopSeconds": str(_STOP_S),
        "IdleSeconds": str(int(asked.idle_s)),
    }
    machine = machine_plan(
        base,
        hardware,
        source,
        machine_id=request.lab_id,
        task="lab",
        work=work,
        ssh_cidr=asked.ssh_cidr,
    )
    return LabPlan(request=request, machine=machine)


def start_lab(aws: Aws, store: Store, plan: LabPlan, *, bundle: Path) -> TaskPlace:
    """Upload commit and script and make the machine; returns when its instance is there. Raises AwsError."""
    key = layout.snapshot_key(plan.request.commit)
    if not store.exists(key):
        store.put(key, bundle)
    store.put(f"{plan.machine.prefix}/{CONTEXT}", lab_context()[0])
    return start_task(aws, store, plan.machine, plan.request)


def find_lab(store: Store, lab_id: str) -> tuple[LabRequest, TaskPlace]:
    """A lab that somebody has begun. Raises UsageError when there is none of this id."""
    return find_task(store, layout.LABS, lab_id, LabRequest)


def find_server(place: TaskPlace) -> LabServer | None:
    """Where JupyterLab listens; None as long as it does not."""
    data = place.store.get(place.key(SERVER))
    return None if data is None else parse_model(LabServer, data, place.key(SERVER))


def wait_for_server(aws: Aws, place: TaskPlace, *, hear: Callable[[Told], None]) -> LabServer:
    """Follow the machine until JupyterLab answers there. Raises DayflyError when it ends before."""
    server = find_server(place)
    if server is not None:
        return server
    for told in follow_task(aws, place):
        hear(told)
        if told.get("step") == _STARTED and (server := find_server(place)) is not None:
            return server
    result = place.result()
    raise DayflyError(
        "JupyterLab ended before it answered.",
        why=result.message if result is not None else "",
        hint=f"What the machine wrote is in {place.store.url}/{place.key(layout.LOG)}/",
    )


def wait_for_end(aws: Aws, place: TaskPlace, *, hear: Callable[[Told], None]) -> None:
    """Follow the machine until it says goodbye: what was changed is saved then."""
    for told in follow_task(aws, place):
        hear(told)


def changed_files(place: TaskPlace) -> list[str]:
    """The files that were changed or made in the lab, as paths of the project."""
    prefix = place.key(WORK)
    return [entry.key.removeprefix(f"{prefix}/") for entry in place.store.list(prefix)]


def fetch_work(place: TaskPlace, directory: Path) -> Iterator[Path]:
    """Bring the files that were changed in the lab into the new folder `directory`."""
    return fetch_folder(place.store, place.key(WORK), directory)


def new_directory(parent: Path, lab_id: str) -> Path:
    """A folder beside the project's files that is not there yet."""
    name = f"dayfly-lab-{re.sub(r'-lab', '', lab_id)}"
    candidates = [parent / name, *(parent / f"{name}-{number}" for number in range(2, 1000))]
    return next(one for one in candidates if not one.exists())


def shut_down(server: LabServer, port: int) -> None:
    """Ask JupyterLab, behind the local `port`, to end. Raises DayflyError when it does not listen."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S)
    try:
        connection.request("POST", "/api/shutdown", headers={"Authorization": f"token {server.token}"})
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise DayflyError(
            "JupyterLab does not answer.",
            why=str(error),
            hint="End its machine, with what it has saved so far: dayfly machines, dayfly stop",
        ) from error
    finally:
        connection.close()
    if status >= HTTPStatus.BAD_REQUEST:
        raise DayflyError(f"JupyterLab refuses to end: {status}.", hint="End its machine with: dayfly stop")

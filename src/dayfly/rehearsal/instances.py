"""Instances that are containers: what the API says is running boots, what it says is gone dies.

After https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html. A container boots
systemd and cloud-init with the instance's own user data; when it powers off, the API makes of it what the
instance's shutdown behaviour says.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from dayfly.aws.names import RUN_TAG
from dayfly.errors import DayflyError
from dayfly.rehearsal.surroundings import API_NAME, GIT, LABEL, REGISTRY, Surroundings

_LOOK_S = 0.25
# fmt: off
_LIKE_A_MACHINE = (
    "--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE",
    "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
    "--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
    "--tmpfs", "/run:exec", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec",  # noqa: S108 -- inside
    "--volume", "/var/lib/docker", "--env", "container=docker", "--stop-signal", "SIGRTMIN+3",
)
# fmt: on
"""What systemd and a Docker engine need of a container."""


@dataclass(kw_only=True)
class Machine:
    """One instance and its container. Times are seconds of `time.monotonic`."""

    instance_id: str
    container: str
    run_id: str = ""
    """By its tag `dayfly:run`; of a build or a lab as well."""
    address: str = ""
    started: float = field(default_factory=time.monotonic)
    gone: float | None = None
    ended: str = ""
    """`powered off`, `terminated`, or why it could not be started."""
    console: str = ""

    def lived_s(self) -> float:
        """From its start to its end, or so far."""
        return (self.gone or time.monotonic()) - self.started


class Instances:
    """The instances of one rehearsal. Make it with `boot_instances`."""

    def __init__(self, around: Surroundings, *, keep: bool = False) -> None:
        self._around = around
        self._keep = keep
        self.machines: dict[str, Machine] = {}
        self.problem: DayflyError | None = None
        self._starting: dict[str, Future[None]] = {}
        self._ending = threading.Event()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="instances")
        self._thread = threading.Thread(target=self._run, name="instances", daemon=True)

    def begin(self) -> None:
        """Look after them from now on."""
        self._thread.start()

    def end(self) -> None:
        """Kill what still runs, and remove every container."""
        self._ending.set()
        self._thread.join()
        self._pool.shutdown(wait=True)
        for machine in self.machines.values():
            self._remove(machine)

    def of(self, instance_id: str) -> Machine | None:
        """The container of an instance, once there is one."""
        return self.machines.get(instance_id)

    def _run(self) -> None:
        while not self._ending.wait(_LOOK_S):
            try:
                self._look()
            except DayflyError as error:
                self.problem = error

    def _look(self) -> None:
        standing = {one["InstanceId"]: one for one in self._around.emulator.instances()}
        for instance_id, one in standing.items():
            if instance_id not in self._starting and one["State"] in {"pending", "running"}:
                self._starting[instance_id] = self._pool.submit(self._start, one)
        # Before the engine is asked: of one that is switched on meanwhile, its answer may not know yet.
        begun = [one for one in list(self.machines.values()) if one.gone is None and one.address]
        alive = self._running()
        for machine in begun:
            if machine.instance_id not in standing:
                self._gone(machine, "terminated")
            elif machine.container not in alive:
                self._gone(machine, "powered off")
                state = {"state": "powered-off"}
                self._around.emulator.ask("POST", f"/_dayfly/instances/{machine.instance_id}/state", state)

    def _running(self) -> set[str]:
        label = f"label={LABEL}={self._around.rehearsal_id}"
        return set(self._around.docker.run(["ps", "--filter", label, "--format", "{{.Names}}"]).split())

    def _start(self, one: dict[str, Any]) -> None:
        around, instance_id = self._around, one["InstanceId"]
        machine = Machine(
            instance_id=instance_id,
            container=f"{around.rehearsal_id}-{instance_id}",
            run_id=one.get("Tags", {}).get(RUN_TAG, ""),
        )
        self.machines[instance_id] = machine
        try:
            around.docker.run(_command(around, one, machine.container))
            found = around.docker.inspect("container", machine.container) or {}
            machine.address = found["NetworkSettings"]["Networks"][around.network]["IPAddress"]
            if self._keep:
                around.docker.try_run(
                    ["exec", machine.container, "systemctl", "mask", "--runtime", "poweroff.target"]
                )
            where = f"/_dayfly/instances/{instance_id}/address"
            around.emulator.ask("POST", where, {"address": machine.address})
            profile = str((one.get("IamInstanceProfile") or {}).get("Arn", ""))
            around.tell(
                do="instance",
                instance_id=instance_id,
                address=machine.address,
                role_arn=profile.replace(":instance-profile/", ":role/"),
            )
        except (DayflyError, KeyError) as error:
            machine.ended = str(error)
            self.problem = error if isinstance(error, DayflyError) else None

    def _gone(self, machine: Machine, how: str) -> None:
        machine.ended = how
        with suppress(DayflyError):
            self._around.tell(do="forget", address=machine.address)
        if not self._keep:
            self._remove(machine)
        machine.gone = time.monotonic()  # not before nothing of it can do anything any more

    def _remove(self, machine: Machine) -> None:
        docker = self._around.docker
        machine.console = (
            machine.console or docker.try_run(["logs", "--tail", "200", machine.container]).stdout
        )
        docker.try_run(["rm", "--force", "--volumes", machine.container])


def _command(around: Surroundings, one: dict[str, Any], container: str) -> list[str]:
    bundle = around.certificate.bundle
    variables = [part for name, value in around.environ().items() for part in ("--env", f"{name}={value}")]
    return [
        *("run", "--detach", "--name", container, "--label", f"{LABEL}={around.rehearsal_id}"),
        *("--network", around.network, "--hostname", str(one["PrivateDnsName"]).partition(".")[0]),
        *(part for name in (API_NAME, REGISTRY, GIT) for part in ("--add-host", f"{name}:{around.address}")),
        *_LIKE_A_MACHINE,
        *variables,
        *("--mount", f"type=bind,source={bundle},target={around.environ()['SSL_CERT_FILE']},readonly"),
        *("--mount", f"type=bind,source={bundle},target=/etc/docker/certs.d/{REGISTRY}/ca.crt,readonly"),
        *(around.image, "/lib/systemd/systemd"),
    ]


@contextmanager
def boot_instances(around: Surroundings, *, keep: bool = False) -> Iterator[Instances]:
    """Containers for the instances of the API, for as long as the block lasts; none is left after it.

    With `keep`, an instance that would power off stays as it is, for a look at it.
    """
    instances = Instances(around, keep=keep)
    instances.begin()
    try:
        yield instances
    finally:
        instances.end()

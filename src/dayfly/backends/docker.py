"""Runs in the project's image: runner and keeper, two containers that share the run directory.

The notebook's container has no credentials, no capabilities and the run's limits; the keeper's has what
it needs to write the store, and outlives it. Each is a `docker run` in the foreground, which passes
signals on and ends with its container, so that a run in containers is watched like one in processes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dayfly.backends.local import scratch_directory
from dayfly.backends.processes import Processes, start_processes
from dayfly.errors import EngineError, RunConflictError
from dayfly.keeper.keep import lies_in
from dayfly.runs import layout
from dayfly.runs.lock import lock_holder
from dayfly.runs.request import ContainerUser, ImageSource, Request
from dayfly.runs.store import Store

CHECKOUT = "/dayfly/project"
_RUNS = "/dayfly/run"
_STORE = "/dayfly/store"
_BUNDLE = "/dayfly/snapshot.bundle"
_PYTHON = "/opt/dayfly/bin/python"
_SHARED_MEMORY = "1g"
"""Docker's 64 MB are too little for what hands arrays between processes, such as PyTorch's loaders."""
_STOP_MARGIN_S = 30
"""Beyond the grace: how long a runner may take to save after its kernel has ended."""
UNPRIVILEGED = ("--cap-drop", "ALL", "--security-opt", "no-new-privileges")
_LOOK_S = 0.1
_NEVER_RAN = range(125, 128)
"""How `docker run` ends when the container could not be made or started."""


@dataclass(frozen=True, kw_only=True)
class DockerRun:
    """A run in containers, for whoever started it."""

    processes: Processes
    directory: Path
    output_copy: str | None

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until both containers have ended; True when they have.

        Raises RunConflictError when the executed notebook cannot be written where it was asked for.
        """
        if timeout_s is None:
            while not self.wait(_LOOK_S):  # a container that did not start is told at once
                pass
            return True
        self._tell_failed_start()
        if not self.processes.wait(timeout_s):
            return False
        if self.output_copy is not None and (self.directory / layout.OUTPUT).exists():
            _copy_output(self.directory / layout.OUTPUT, Path(self.output_copy))
        return True

    def leave(self) -> None:
        """Go on without the containers; they go on without us."""
        self.processes.leave()

    def interrupt(self) -> None:
        """Ask the runner to end the run; asking again cuts its grace short."""
        self.processes.interrupt()

    def _tell_failed_start(self) -> None:
        """Say in the run directory that the container ended before its runner began; the keeper then ends."""
        code = self.processes.processes[0].poll()
        begun = code is None or lock_holder(self.directory) is not None
        if begun or (self.directory / layout.RESULT).exists():
            return
        from dayfly.runner.entry import record_failure

        what = (
            "The Docker engine did not start the container."
            if code in _NEVER_RAN
            else f"The container ended with code {code} before the notebook began."
        )
        log = (self.directory / layout.RUNNER_LOG).read_text("utf-8", "replace")
        error = EngineError(what, why=log.strip()[-2000:])
        record_failure(self.directory, error, lambda _: None, kernel_missing=False)


def _copy_output(source: Path, target: Path) -> None:
    temporary = target.with_name(f".dayfly-{source.parent.name}.tmp")
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RunConflictError(
            f"The executed notebook could not be written to {target}.",
            why=str(error.strerror),
            hint=f"It is in {source}.",
        ) from error


def start_docker(store: Store, request: Request, content: bytes, environ: Mapping[str, str]) -> DockerRun:
    """Start the containers of a run that is in the store, as is the bundle of its commit. Returns at once."""
    directory = store.path(layout.run_key(request.run_id, ""))
    if directory is None:
        directory = scratch_directory(request, content, environ)
        bundle = directory / layout.BUNDLE
        if request.snapshot is not None:
            bundle.write_bytes(store.get(layout.snapshot_key(request.snapshot.commit)) or b"")
    else:
        commit = request.snapshot.commit if request.snapshot else ""
        bundle = directory.parent.parent / layout.snapshot_key(commit)
    (directory / layout.RUNNER_LOG).touch()  # both write it, the engine and the container's user
    _give(directory, bundle, store, _image(request).user)
    commands = [
        notebook_command(request, directory, bundle),
        keeper_command(request, directory, store, environ),
    ]
    return DockerRun(
        processes=start_processes(commands, directory, environ),
        directory=directory,
        output_copy=request.output_copy,
    )


def _give(directory: Path, bundle: Path, store: Store, user: ContainerUser) -> None:
    """Let the containers' user write what it must, where root starts a run that is not to be root's."""
    if os.geteuid() != 0 or user.uid == 0:
        return
    for parent, folders, files in os.walk(directory):
        for name in [".", *folders, *files]:
            os.chown(Path(parent, name), user.uid, user.gid, follow_symlinks=False)
    if lies_in(directory, store):
        os.chown(directory.parent.parent / layout.STATUS, user.uid, user.gid)
    if bundle.exists():
        bundle.chmod(0o644)


def notebook_command(request: Request, directory: Path, bundle: Path) -> list[str]:
    """The `docker run` of the runner and its kernel."""
    inside = f"{_RUNS}/{request.run_id}"
    mounts = ["--mount", mount(directory, inside)]
    if request.snapshot is not None:
        mounts += ["--mount", mount(bundle, _BUNDLE, read_only=True)]
    return [
        *_common(request, f"dayfly-{request.run_id}"),
        *limit_arguments(cpus=request.cpus, memory_bytes=request.memory_bytes, gpus=request.gpus),
        *("--stop-timeout", str(int(request.grace_s) + _STOP_MARGIN_S)),
        *mounts,
        *("--entrypoint", _PYTHON, _image(request).id),
        *("-I", "-m", "dayfly.backends.container_process", inside, _BUNDLE),
    ]


def limit_arguments(*, cpus: float | None, memory_bytes: int | None, gpus: str | None) -> list[str]:
    """What a container in which a kernel works may use of the machine."""
    limits = ["--shm-size", _SHARED_MEMORY]
    if cpus is not None:
        limits += ["--cpus", f"{cpus:g}"]
    if memory_bytes is not None:  # no swap besides: what is over the limit ends at once
        limits += ["--memory", str(memory_bytes), "--memory-swap", str(memory_bytes)]
    if gpus is not None:
        limits += ["--gpus", gpus]
    return limits


def keeper_command(request: Request, directory: Path, store: Store, environ: Mapping[str, str]) -> list[str]:
    """The `docker run` of the keeper, which sees of the store what this run has in it."""
    if lies_in(directory, store):
        inside, url = f"{_STORE}/{layout.RUNS}/{request.run_id}", _STORE
        status = directory.parent.parent / layout.STATUS
        # It needs no network, and making one takes longer than all else of a container.
        access = ["--mount", mount(status, f"{_STORE}/{layout.STATUS}"), "--network", "none"]
    else:
        inside, url = f"{_RUNS}/{request.run_id}", store.url
        access = [part for name in sorted(environ) if name.startswith("AWS_") for part in ("--env", name)]
    return [
        *_common(request, f"dayfly-{request.run_id}-keeper"),
        *("--mount", mount(directory, inside), *access),
        *("--entrypoint", _PYTHON, _image(request).id),
        *("-I", "-m", "dayfly.keeper", inside, url),
    ]


def _common(request: Request, name: str) -> list[str]:
    user = _image(request).user
    groups = [part for group in user.groups for part in ("--group-add", str(group))]
    return [
        *("docker", "run", "--rm", "--name", name, "--label", f"dev.dayfly.run={request.run_id}"),
        # One name for both: the keeper may then go by the runner's lock.
        *("--hostname", f"dayfly-{request.run_id}"),
        *("--pull", "never", "--log-driver", "none", "--no-healthcheck", "--workdir", "/"),
        *UNPRIVILEGED,
        *("--user", f"{user.uid}:{user.gid}", *groups),
        *("--env", f"HOME={user.home}", "--env", f"USER={user.name}", "--env", f"LOGNAME={user.name}"),
    ]


def _image(request: Request) -> ImageSource:
    if request.image is None:
        raise ValueError("a run in a container has an image")
    return request.image


def mount(source: Path, target: str, *, read_only: bool = False) -> str:
    """A value for `--mount`, which is a line of CSV: whatever the path has in it, it is one path."""
    fields = ["type=bind", f"source={source}", f"target={target}", *(["readonly"] if read_only else [])]
    quoted = ('"' + field.replace('"', '""') + '"' if set(field) & set('",\n') else field for field in fields)
    return ",".join(quoted)

"""The bench of the engine tests: an engine, a base image and a registry, all made from Debian's packages.

An engine that answers is used. Where there is none, the first to need one starts Debian's `dockerd`, and
the last to need it ends it; whoever dies before that leaves it to the next. Its data stays in the cache,
so that the base image is made once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from dayfly.environment.docker import Docker
from dayfly.errors import EngineError
from tests.helpers import wait_for

CACHE = Path(__file__).parents[2] / ".cache" / "engine"
SYSTEM_PATH = f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
# A bridge of its own: with docker0 it would share the addresses of another engine's containers.
# And of this clone's own: the tests of another may run beside these.
_CLONE = hashlib.sha256(os.fsencode(CACHE)).digest()
BRIDGE = f"dayfly-{_CLONE[:3].hex()}"
BRIDGE_ADDRESS = f"172.30.{_CLONE[3]}.1/24"
# From which its networks get theirs.
NETWORKS = f"10.{100 + _CLONE[4] // 2}.{_CLONE[5] & 0xF0}.0/20"
START_S = 60.0
END_S = 30.0


def program(name: str) -> str:
    """Where a program of the bench lies; a missing one fails the test."""
    found = shutil.which(name, path=SYSTEM_PATH)
    assert found, f"{name} is missing: scripts/system-packages.sh installs it"
    return found


@contextlib.contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """What the processes of all test runs in this clone do one after the other."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def an_engine() -> Iterator[Docker]:
    """An engine: the one that answers, else one that lives as long as somebody uses it."""
    program("docker")
    if answers(found := Docker(environ=dict(os.environ))):
        yield found
        return
    with one_at_a_time("start"):
        users = (CACHE / "users.lock").open("w")
        fcntl.flock(users, fcntl.LOCK_SH)
        folder = _running() or _start()
    try:
        yield _private(folder)
    finally:
        with one_at_a_time("start"), users, contextlib.suppress(BlockingIOError):
            # Nobody else holds it: this was the last user.
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _end(folder)


def answers(docker: Docker) -> bool:
    """Whether an engine is there."""
    try:
        return docker.try_run(["version"], timeout_s=10).returncode == 0
    except EngineError:
        return False


def _private(folder: Path) -> Docker:
    """The engine whose socket lies in this folder, and no other's context or variables."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    return Docker(environ={**environ, "DOCKER_HOST": f"unix://{folder}/docker.sock"})


def _running() -> Path | None:
    """The folder of the engine that an earlier user has started, when it still runs.

    One that lives and is too busy to answer at once is waited for: two cannot have the same data.
    """
    try:
        folder = Path(json.loads((CACHE / "running.json").read_text())["folder"])
        pid = int((folder / "docker.pid").read_text())
    except (OSError, ValueError):
        return None
    if not _lives(folder, pid):
        return None
    wait_for(
        lambda: answers(_private(folder)) or not _lives(folder, pid),
        "an answer of the engine that runs",
        within_s=START_S,
    )
    return folder if _lives(folder, pid) else None


def _start() -> Path:
    # Unix sockets want short paths, hence not in the cache.
    folder = Path(tempfile.mkdtemp(prefix="dayfly-engine-"))
    _ip("link", "add", "name", BRIDGE, "type", "bridge")
    _ip("addr", "replace", BRIDGE_ADDRESS, "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")
    options = {
        "host": f"unix://{folder}/docker.sock",
        "data-root": CACHE / "data",
        "exec-root": folder / "exec",
        "pidfile": folder / "docker.pid",
        "bridge": BRIDGE,
        "default-address-pool": f"base={NETWORKS},size=26",
        # The rules of another engine stay as they are; published ports go through the proxy.
        "iptables": "false",
    }
    _let_through(end=False)
    with (CACHE / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(
            [program("dockerd"), *(f"--{name}={value}" for name, value in options.items())],
            env={**os.environ, "PATH": SYSTEM_PATH},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (CACHE / "running.json").write_text(json.dumps({"folder": str(folder)}))

    def ready() -> bool:
        log_end = (CACHE / "dockerd.log").read_text(errors="replace")[-3000:]
        assert process.poll() is None, f"dockerd ended:\n{log_end}"
        return answers(_private(folder))

    try:
        wait_for(ready, "an answer of dockerd", within_s=START_S)
    except BaseException:
        process.kill()
        raise
    # It is another user's to end, perhaps: nobody waits for it through this object.
    process.returncode = 0
    return folder


def _end(folder: Path) -> None:
    docker = _private(folder)
    if left := docker.run(["ps", "--all", "--quiet"]).split():
        docker.try_run(["rm", "--force", *left])  # some are going by themselves
    pid = int((folder / "docker.pid").read_text())
    if _lives(folder, pid):
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not _lives(folder, pid), "the end of dockerd", within_s=END_S)
    (CACHE / "running.json").unlink()
    shutil.rmtree(folder, ignore_errors=True)
    _ip("link", "delete", BRIDGE)
    _let_through(end=True)


def _lives(folder: Path, pid: int) -> bool:
    """Whether this is still the dockerd of that folder: one that has ended has no command line."""
    try:
        return str(folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _ip(*arguments: str) -> None:
    done = subprocess.run(
        [program("ip"), *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0 or "File exists" in done.stderr, done.stderr


def _let_through(*, end: bool) -> None:
    """From container to container: another engine lets the kernel drop what it does not know, bridges too.

    Where the kernel has no such table, nothing is dropped.
    """
    # By each side apart: the address of a rehearsal's metadata service is of none of these networks.
    for side in ("--source", "--destination"):
        rule = ("FORWARD", side, NETWORKS, "--jump", "ACCEPT")
        for action in ("--delete",) if end else ("--delete", "--insert"):
            command = [program("iptables"), "--wait", action, *rule]
            subprocess.run(command, capture_output=True, timeout=20, check=False)


@contextlib.contextmanager
def a_registry(storage: Path) -> Iterator[str]:
    """Debian's docker-registry on a free port of the loopback interface: its host and port."""
    # Not 127.0.0.1: there, somebody's connection may take the port before the registry does.
    host = "127.0.0.2"
    with socket.create_server((host, 0)) as free:
        port = free.getsockname()[1]
    address = f"{host}:{port}"
    config = storage / "config.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: warn}}\nhttp: {{addr: '{address}'}}\n"
        f"storage: {{delete: {{enabled: true}}, filesystem: {{rootdirectory: '{storage}/data'}}}}\n"
    )
    with (
        (storage / "log").open("wb") as log,
        subprocess.Popen(
            [program("docker-registry"), "serve", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        ) as process,
    ):

        def ready() -> bool:
            assert process.poll() is None, (storage / "log").read_text()
            with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
                return True
            return False

        try:
            wait_for(ready, "the registry's port")
            yield address
        finally:
            process.kill()


def digest(*parts: str | bytes) -> str:
    """A short name for exactly these parts."""
    joined = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.sha256(joined).hexdigest()[:12]


def variables(values: Mapping[str, str]) -> str:
    """Lines of a Dockerfile that set these variables."""
    return "".join(f"ENV {name}={json.dumps(value)}\n" for name, value in sorted(values.items()))

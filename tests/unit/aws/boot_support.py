"""A machine to boot in a folder: the real boot.sh, with stand-ins for the programs that it calls."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from dayfly.aws.boot import boot_script
from tests.unit.support import RUN_ID

PROGRAMS = Path(__file__).parent / "boot_programs.sh"
NAMES = (
    *("aws", "docker", "systemd-run", "systemctl", "poweroff", "curl", "sleep", "chown", "dnf", "apt-get"),
    *("mkdir", "sed", "ln", "stat", "head", "tail", "cat", "chmod", "touch", "flock", "git", "tar"),
    *("sha256sum", "mv", "od", "tr", "cut", "grep", "base64"),
)
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
STEPS = ["armed", "logged", "store", "docker", "fetched", "pulling", "pulled", "started", "saved", "goodbye"]
BOOT = resources.files("dayfly.aws.boot").joinpath("boot.sh").read_text("utf-8")
HEADER = "#!/bin/bash\numask 077\n# what the user data begins with\n"
COMMIT = "a" * 40
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/dayfly/p@sha256:" + "b" * 64
_KEEPER = """#!/bin/bash
until [[ -e $FAKE/notebook-ended ]]; do sleep 0.01; done
until (($(<"$FAKE/notebook-code") < 125)) || [[ -e $1/result.json ]]; do sleep 0.01; done
cp -r "$1" "$FAKE/kept"
: >"$FAKE/keeper-ended"
"""


def run_environment(**changes: str) -> dict[str, str]:
    """What the header of the user data writes for a run, without its `DAYFLY_`."""
    deadline = int(time.time()) + 3600
    return {
        "MACHINE_ID": RUN_ID,
        "PROJECT": "p",
        "OWNER": "ada",
        "DEADLINE": "2026-11-23T12:00:00Z",
        "DEADLINE_EPOCH": str(deadline),
        "TASK": "run",
        "ATTEMPT": "1",
        "BUCKET": "bucket",
        "PREFIX": f"runs/{RUN_ID}",
        "IMAGE": IMAGE,
        "COMMIT": COMMIT,
        "USER": "1000:1000",
        "USER_NAME": "ada",
        "HOME": "/home/ada",
        "CPUS": "",
        "MEMORY_BYTES": "",
        "GPUS": "",
        "STOP_SECONDS": "40",
        "BOOT_BUDGET_SECONDS": "900",
        "HOLD_SECONDS": "0",
        "IDLE_SECONDS": "1800",
        "MIRROR": "",
        "CONTEXT_SHA256": "",
        "ACCESS": "false",
        "NOTIFY": "false",
        "SPOT": "false",
        "REGION": "eu-central-1",
        "ACCOUNT": "123456789012",
        "STACK": "dayfly-p--" + RUN_ID,
        **changes,
    }


@dataclass
class Machine:
    """One boot. `fail` and `put` before `boot`; the rest looks at what came of it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=run_environment)
    programs: tuple[str, ...] = NAMES
    path: str = SYSTEM_PATH
    """Where programs that have no stand-in are."""

    def __post_init__(self) -> None:
        self.fake = self.folder / "fake"
        self.root = self.folder / "root"
        (self.root / "etc" / "dayfly").mkdir(parents=True)
        (self.fake / "bin").mkdir(parents=True)
        for name in self.programs:
            (self.fake / "bin" / name).symlink_to(PROGRAMS)
        for name, text in {"faults": "", "notebook-code": "0", "keeper-code": "0", "keeper": _KEEPER}.items():
            (self.fake / name).write_text(text)
        (self.fake / "keeper").chmod(0o755)
        prefix = self.environment["PREFIX"]
        self.put(f"{prefix}/request.json", b"{}")
        self.put(f"{prefix}/input.ipynb", b"the notebook")
        self.put(f"snapshots/{COMMIT}.bundle", b"the bundle")

    def put(self, key: str, content: bytes) -> None:
        """An object in the bucket."""
        path = self.fake / "s3" / "bucket" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def fail(self, pattern: str, *, times: int = 1, code: int = 1, said: str = "it failed") -> None:
        """Let the first `times` calls that match (program and quoted arguments) fail."""
        with (self.fake / "faults").open("a") as file:
            file.write(f"{pattern}\t{times}\t{code}\t{said}\n")

    def script(self) -> Path:
        """The user data as a file."""
        script = self.folder / "user-data"
        script.write_text(HEADER + boot_script())
        return script

    def variables(self, **more: str) -> dict[str, str]:
        """The environment of what runs."""
        return {
            "PATH": f"{self.fake / 'bin'}:{self.path}",
            "REAL_PATH": SYSTEM_PATH,
            "FAKE": str(self.fake),
            "DAYFLY_ROOT": str(self.root),
            "TMPDIR": str(self.folder),
            **more,
        }

    def write_environment(self) -> None:
        """As the header does."""
        lines = "".join(f"DAYFLY_{name}={value}\n" for name, value in self.environment.items())
        content = os.fsencode(lines)
        (self.root / "etc" / "dayfly" / "machine.env").write_bytes(content)

    def _start(self, **more: str) -> subprocess.Popen[bytes]:
        self.write_environment()
        with (self.folder / "stdout").open("wb") as output:
            return subprocess.Popen(
                ["/bin/bash", str(self.script())],
                env=self.variables(**more),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def boot(self, **more: str) -> Machine:
        """Boot until the machine is off, or would be."""
        with self.booting(**more) as process:
            process.wait(100)
        return self

    @contextmanager
    def booting(self, **more: str) -> Iterator[subprocess.Popen[bytes]]:
        """Boot, and go on meanwhile; in the end it is over in any case."""
        process = self._start(**more)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            self._end_all()

    def _end_all(self) -> None:
        """Kill whatever was started in the background: the fakes stand in for what systemd would end."""
        mine = os.fsencode(self.fake)
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or is somebody else's
                if mine in (folder / "environ").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)

    @property
    def calls(self) -> list[str]:
        """Every call, program and quoted arguments, in order."""
        return (self.fake / "calls").read_text("utf-8", "replace").splitlines()

    def called(self, words: str) -> list[str]:
        """The calls that begin so."""
        return [call for call in self.calls if call.startswith(words)]

    @property
    def told(self) -> list[dict[str, Any]]:
        """The machine's stream as the store has it: its chunks, joined by their names."""
        stream, folder = b"", self.fake / "s3" / "bucket" / self.environment["PREFIX"] / "machine"
        for chunk in sorted(folder.glob("*.jsonl")):
            assert int(chunk.stem) <= len(stream), "there is a hole in the stream"
            stream = stream[: int(chunk.stem)] + chunk.read_bytes()
        return [json.loads(line) for line in stream.splitlines()]

    @property
    def steps(self) -> list[str]:
        """The steps that are done."""
        return [one["step"] for one in self.told if one["type"] == "step"]

    @property
    def failure(self) -> dict[str, Any] | None:
        """What failed, if anything did."""
        found = [one for one in self.told if one["type"] == "failed"]
        assert len(found) <= 1
        return found[0] if found else None

    @property
    def warnings(self) -> list[str]:
        """What it warned of."""
        return [one["message"] for one in self.told if one["type"] == "warning"]

    def object(self, key: str) -> bytes | None:
        """An object under the task's prefix, or from the bucket's top with a leading slash."""
        name = key[1:] if key.startswith("/") else f"{self.environment['PREFIX']}/{key}"
        path = self.fake / "s3" / "bucket" / name
        return path.read_bytes() if path.exists() else None

    @property
    def log(self) -> str:
        """The boot log."""
        log = self.root / "run" / "dayfly" / "log"
        own = log.read_text("utf-8", "replace") if log.exists() else ""
        return own + (self.folder / "stdout").read_text("utf-8", "replace")

    def ended_well(self) -> None:
        """Whatever happened: the stack was deleted, and then the machine was switched off."""
        calls = self.calls
        deleted = [n for n, call in enumerate(calls) if call.startswith("aws cloudformation delete-stack")]
        off = [n for n, call in enumerate(calls) if call.startswith(("systemctl poweroff", "poweroff"))]
        assert deleted, self.log
        assert off, self.log
        assert deleted[0] < off[0]


def path_without(name: str, folder: Path) -> str:
    """A folder that leads to every program of this machine but one."""
    folder.mkdir()
    for directory in SYSTEM_PATH.split(":"):
        for program in Path(directory).iterdir():
            link = folder / program.name
            if program.name != name and not link.is_symlink():
                link.symlink_to(program)
    return str(folder)


def with_(folder: Path, **changes: str) -> Machine:
    """A machine with other values."""
    return Machine(folder, run_environment(**changes))


def notebook_call(machine: Machine) -> str:
    """How the notebook's container was started."""
    return next(call for call in machine.called("docker run") if "container_process" in call)


def keeper_call(machine: Machine) -> str:
    """How the keeper's container was started."""
    return next(call for call in machine.called("docker run") if "dayfly.keeper" in call)


def options(call: str, name: str) -> list[str]:
    """The values of an option in a call."""
    words = shlex.split(call)
    return [words[n + 1] for n, word in enumerate(words) if word == name]

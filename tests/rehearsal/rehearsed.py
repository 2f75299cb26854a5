"""A user of a rehearsal: the real command against it, and what is left when a machine has met a fault."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dayfly.aws.names import machine_stack_name
from dayfly.backends.asked import Asked
from dayfly.backends.creation import create_run
from dayfly.backends.ec2 import start_ec2
from dayfly.backends.submission import plan_submission
from dayfly.rehearsal.faults import Arranged, arrange, find_fault, parse_moment
from dayfly.rehearsal.instances import Machine
from dayfly.rehearsal.session import PROJECT, Rehearsal
from dayfly.rehearsal.verdict import find_left_over
from dayfly.runs import layout
from dayfly.runs.catalog import state_of
from dayfly.runs.follow import MachineReader
from dayfly.runs.run import Run
from dayfly.runs.state import State
from tests.engine.projects import commit, git
from tests.helpers import PROGRAMS, Done, Place, cell_states, make_place, read_valid, wait_for

RUNS = ("hello", "waits", "waits_then_floods", "eats")
DAY_S = 86400.0
PATIENCE_S = 120.0
SETTINGS = f"""\
instance = "m7i.large"
timeout = "20m"
[image]
network = "host"
[aws]
project = "{PROJECT}"
region = "us-east-1"
bucket = "dayfly-{PROJECT}-123456789012-us-east-1"
boot_budget = "10m"
"""


def make_user(root: Path, image: str) -> Path:
    """A repository with a Dockerfile on this image and the notebooks, committed; its root."""
    place: Place = make_place(root / "place")
    (place.root / "dayfly.toml").write_text(SETTINGS)
    (place.root / "Dockerfile").write_text(f"FROM {image}\n")
    for name in RUNS:
        place.notebook(name)
    git(place, "init", "--quiet", "--initial-branch=main")
    commit(place, "The project")
    return place.root


@dataclass(frozen=True, kw_only=True)
class Left:
    """What the user has of a run, and is told."""

    state: str
    reason: str
    message: str
    done: int
    cells: int
    output_bytes: int
    teardown: str
    said: str
    """By `dayfly show`, for a person."""
    warnings: tuple[str, ...]
    """Of the machine."""

    @property
    def told(self) -> str:
        """In a few words."""
        return f"{self.state} ({self.reason})" if self.reason and self.reason != "completed" else self.state

    @property
    def words(self) -> str:
        """What is left of the output."""
        if not self.cells:
            return "nothing"
        return f"{self.done} of {self.cells} cells, {self.output_bytes} bytes"


@dataclass(kw_only=True)
class Rehearsed:
    """One test's view of the rehearsal."""

    rehearsal: Rehearsal
    root: Path
    environ: Mapping[str, str]
    known: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.known = set(self.rehearsal.instances.machines)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of the user's commands."""
        return {**self.environ, "HOME": str(self.root.parent / "home")}

    def cli(self, *arguments: str, code: int | None = 0, environ: Mapping[str, str] | None = None) -> Done:
        """Run `dayfly ...` in the project, and expect its exit code (None: any)."""
        ended = subprocess.run(
            [str(PROGRAMS / "dayfly"), *arguments],
            cwd=self.root,
            env={**self.variables, **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=3 * PATIENCE_S,
            check=False,
        )
        done = Done(code=ended.returncode, out=ended.stdout.decode(), err=ended.stderr.decode())
        assert "Traceback (most recent" not in done.err, done.err
        assert code is None or done.code == code, f"exit code {done.code}\n{done.out}\n{done.err}"
        return done

    def submit(self, name: str, *more: str, environ: Mapping[str, str] | None = None) -> Run:
        """Start a run of this notebook on a machine, and leave it."""
        done = self.cli("run", f"{name}.ipynb", "--on", "ec2", "--detach", "--yes", *more, environ=environ)
        return Run(done.out.strip(), self.rehearsal.store)

    def submit_until(self, name: str, life_s: float) -> Run:
        """The same, by what the command calls, with a deadline so near as no user may ask for."""
        submission = plan_submission(
            Asked(notebook=str(self.root / f"{name}.ipynb"), backend="ec2", commit="HEAD"),
            self.rehearsal.project,
            {},
            datetime.now(UTC),
        )
        machine, target = submission.request.machine, submission.target
        assert machine is not None
        assert target is not None
        deadline = datetime.now(UTC) + timedelta(seconds=life_s)
        near = machine.model_copy(update={"deadline": deadline, "boot_budget_s": life_s / 4})
        request = submission.request.model_copy(update={"machine": near})
        request = create_run(target.store, replace(submission, request=request))
        if submission.bundle is not None:
            submission.bundle.close()
        return start_ec2(target.store, request, target).run

    def state_later(self, run: Run) -> State | None:
        """What is told of it three minutes from now: a missed heartbeat takes its time."""
        later = datetime.now(UTC) + timedelta(minutes=3)
        return state_of(replace(run.store, clock=lambda: later), run.run_id, now=later)

    @contextmanager
    def fault(self, name: str, at: str | None = None) -> Iterator[Arranged]:
        """Let the next run meet this fault; it must have happened before the block ends."""
        with arrange(self.rehearsal, find_fault(name), parse_moment(at) if at else None) as arranged:
            yield arranged
            assert arranged.problem is None, arranged.problem
            assert arranged.happened is not None, f"{name} did not happen {arranged.moment}"

    def happened(self, arranged: Arranged) -> float:
        """Wait until the fault has happened; when it did."""
        assert arranged.done.wait(4 * PATIENCE_S), f"{arranged.fault.name} did not happen"
        assert arranged.problem is None, arranged.problem
        assert arranged.happened is not None
        return arranged.happened

    def machine(self, run: Run) -> Machine:
        """The machine of a run, when it has been switched on."""

        def look() -> Machine | None:
            found = [
                one
                for one in list(self.rehearsal.instances.machines.values())
                if one.run_id == run.run_id and one.address
            ]
            return found[0] if found else None

        machine = wait_for(look, f"the machine of {run.run_id}", within_s=PATIENCE_S)
        assert machine is not None
        return machine

    def gone(self, run: Run, *, within_s: float = PATIENCE_S) -> float:
        """Wait until the machine of a run is gone; when it was."""
        machine = self.machine(run)
        try:
            wait_for(lambda: machine.gone is not None, "the machine's end", within_s=within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.look_inside(machine)}") from error
        return machine.gone or 0.0

    def look_inside(self, machine: Machine) -> str:
        """What a machine that should be gone says."""
        said = self.rehearsal.around.docker.try_run(
            [
                "exec",
                machine.container,
                "bash",
                "-c",
                "cd /run/dayfly; tail -n 60 log; cat keeper; tail -n 5 machine.jsonl; timeout 9 docker ps -a",
            ],
            timeout_s=20,
        )
        return said.stdout + said.stderr + machine.console

    def go(self, run: Run) -> None:
        """Make the file that the notebooks `waits…` wait for."""
        inside = f"docker exec dayfly-{run.run_id} touch /dayfly/project/go"
        self.rehearsal.around.docker.run(["exec", self.machine(run).container, "bash", "-c", inside])

    def wait_for_notebook(self, run: Run) -> None:
        """Until its container has ended, as the machine's engine says."""
        listing = ["exec", self.machine(run).container, "docker", "ps", "--format", "{{.Names}}"]

        def ended() -> bool:
            return f"dayfly-{run.run_id}" not in self.rehearsal.around.docker.run(listing).split()

        wait_for(ended, "the end of the notebook", within_s=PATIENCE_S)

    def show(self, run: Run) -> dict[str, Any]:
        """What `dayfly show` tells of it."""
        told: dict[str, Any] = self.cli("show", run.run_id, "--json").json()
        return told

    def left(self, run: Run) -> Left:
        """What the user has of it, and is told."""
        told = self.cli("show", run.run_id, "--json").json()
        result = told["result"]
        output = run.store.get(layout.run_key(run.run_id, layout.OUTPUT))
        states = cell_states(read_valid(output)) if output else []
        return Left(
            state=told["state"],
            reason=str(result["reason"]) if result else "",
            message=str(result["message"] or "") if result else "",
            done=states.count("executed"),
            cells=len(states),
            output_bytes=len(output or b""),
            teardown=told["machine"]["teardown"],
            said=self.cli("show", run.run_id).out,
            warnings=tuple(
                one["message"] for one in MachineReader(run.store, run.run_id).read() if "message" in one
            ),
        )

    def machine_log(self, run: Run) -> bytes:
        """What a machine leaves of itself when its boot has failed."""
        return run.store.get(layout.run_key(run.run_id, layout.MACHINE_LOG)) or b""

    @contextmanager
    def settings(self, **changed: str) -> Iterator[None]:
        """Other settings in dayfly.toml, uncommitted."""
        file = self.root / "dayfly.toml"
        text = SETTINGS
        for name, value in changed.items():
            text = re.sub(rf"(?m)^{name} = .*$", f'{name} = "{value}"', text)
        file.write_text(text)
        try:
            yield
        finally:
            file.write_text(SETTINGS)

    def deadline(self, run: Run) -> datetime:
        """When its machine must be gone. The store is asked."""
        machine = run.request.machine
        assert machine is not None
        return machine.deadline

    def let_deadline_pass(self, run: Run, deadline: datetime | None = None) -> None:
        """Move the emulated clock past it, and past what the schedule insists on."""
        left = (deadline or self.deadline(run)) - self.rehearsal.aws.now()
        self.rehearsal.around.emulator.let_pass(max(left.total_seconds(), 0.0) + 5)

    def stack_name(self, run: Run) -> str:
        """The name of its stack."""
        return machine_stack_name(self.rehearsal.base.project, run.run_id)

    def stack(self, run: Run) -> str:
        """The state of its stack; `gone` when there is none."""
        prefix = self.stack_name(run)
        stacks = self.rehearsal.aws.cloudformation.describe_stacks()["Stacks"]
        return (
            ", ".join(one["StackStatus"] for one in stacks if one["StackName"].startswith(prefix)) or "gone"
        )

    def expect_nothing_left(self) -> None:
        """Nothing that costs money is there any more, or in a moment."""
        left: tuple[str, ...] = ()

        def look() -> bool:
            nonlocal left
            left = find_left_over(self.rehearsal)
            return not left

        try:
            wait_for(look, "nothing to be left")
        except AssertionError as error:
            raise AssertionError(f"{error}: {left}") from error

    def clean_up(self) -> None:
        """No fault, no machine, no schedule is left, and the clock is right."""
        emulator = self.rehearsal.around.emulator
        emulator.heal()
        self.rehearsal.around.tell(do="metadata", answers=True)
        emulator.let_pass(DAY_S)
        emulator.ask("POST", "/_dayfly/clock", {"offset_s": 0})
        machines = list(self.rehearsal.instances.machines.values())
        ours = [one for one in machines if one.instance_id not in self.known]
        give_up = time.monotonic() + PATIENCE_S
        while any(one.gone is None for one in ours) and time.monotonic() < give_up:
            time.sleep(0.1)

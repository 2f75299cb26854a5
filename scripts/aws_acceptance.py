# ruff: noqa: INP001, T201 -- a script, in no package, that prints
"""What no emulator can prove, on the real AWS: `make aws-acceptance`.

Sets up a base stack of a project of its own, builds an image on a machine, runs notebooks that succeed, fail,
and hang on a machine that is stopped so that only its deadline can end it; checks after each that nothing is
left; and takes everything down. It asks first, and prints a table. It costs less than a dollar.

`ARGS=--rehearse` does the parts that need no real machine against the emulated AWS, for nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dayfly.aws.client import Aws, open_aws
from dayfly.aws.names import PROJECT_TAG, base_stack_name
from dayfly.aws.stacks import list_stacks
from dayfly.errors import DayflyError
from dayfly.rehearsal.emulator import start_emulator

COST = "less than a dollar: about an hour of small machines, and some megabytes kept for as long"
INSTANCE = "t3.medium"
PATIENCE_S = 3600.0
NOTEBOOKS = {
    "succeeds": "print(6 * 7)",
    "fails": "raise ValueError('on purpose')",
    "hangs": "import time\ntime.sleep(36000)",
}
SETTINGS = """\
instance = "{instance}"
grace = "5s"

[aws]
project = "{project}"
boot_budget = "5m"

[image]
"""


class Failed(Exception):  # noqa: N818 -- it is what the table says
    """A step did not end as it must."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    step: str
    passed: bool | None
    """None: this was not tried."""
    took_s: float
    remark: str = ""


@dataclass(kw_only=True)
class Acceptance:
    """A project of its own, and what became of each step."""

    root: Path
    project: str
    aws: Aws
    real: bool
    rows: list[Row] = field(default_factory=list)

    def dayfly(self, *arguments: str, code: int = 0) -> str:
        """Run a command of dayfly, show what it prints, and expect its exit code."""
        argv = [sys.executable, "-c", "from dayfly.cli import main; main()", *arguments]
        print(f"\n$ dayfly {' '.join(arguments)}", flush=True)
        done = subprocess.run(
            argv, cwd=self.root, check=False, timeout=PATIENCE_S, stdout=subprocess.PIPE, text=True
        )
        print(done.stdout, end="", flush=True)
        if done.returncode != code:
            raise Failed(f"exit code {done.returncode}, not {code}")
        return done.stdout

    def step(self, name: str, do: Callable[[], object], *, needs_machine: bool = False) -> None:
        """Carry out one step; the next ones follow whatever becomes of it."""
        if needs_machine and not self.real:
            self.rows.append(Row(step=name, passed=None, took_s=0.0, remark="needs a real machine"))
            return
        began = time.monotonic()
        try:
            remark = do()
        except (Failed, DayflyError, subprocess.SubprocessError) as error:
            took_s = time.monotonic() - began
            self.rows.append(Row(step=name, passed=False, took_s=took_s, remark=str(error)))
        else:
            said = remark if isinstance(remark, str) and "\n" not in remark else ""
            self.rows.append(Row(step=name, passed=True, took_s=time.monotonic() - began, remark=said))

    # ---- what is checked

    def nothing_left(self) -> str:
        """No machine's stack, instance, volume or security group of this project."""
        tagged: Any = [{"Name": f"tag:{PROJECT_TAG}", "Values": [self.project]}]
        alive: Any = [
            *tagged,
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        ]
        ec2 = self.aws.ec2
        groups = ec2.describe_security_groups(Filters=tagged)["SecurityGroups"]
        stacks = list_stacks(self.aws, tags={PROJECT_TAG: self.project})
        found = {
            "stacks": [one.name for one in stacks if "--" in one.name],
            "instances": ec2.describe_instances(Filters=alive)["Reservations"],
            "volumes": ec2.describe_volumes(Filters=tagged)["Volumes"],
            "security groups": [one["GroupName"] for one in groups],
        }
        left = {name: things for name, things in found.items() if things}
        _expect(not left, f"left: {left}")
        return "no stack, instance, volume or security group"

    def deadline_ends_a_stopped_machine(self) -> str:
        """A machine that is stopped cannot end itself: its schedule does, from outside."""
        began = time.monotonic()
        self.dayfly("run", "hangs.ipynb", "--on", "ec2", "--timeout", "1m", "--detach", "--yes")
        self.wait("the machine runs", lambda: self.instances("running"))
        self.aws.ec2.stop_instances(InstanceIds=self.instances("running"), Force=True)
        self.wait("the stack is gone", lambda: not self.machine_stacks())
        return f"gone after {(time.monotonic() - began) / 60:.0f} min"

    def everything_gone(self) -> str:
        """The base stack, its bucket and its images."""
        _expect(not list_stacks(self.aws, tags={PROJECT_TAG: self.project}), "a stack is left")
        buckets = [one["Name"] for one in self.aws.s3.list_buckets()["Buckets"]]
        _expect(not any(one.startswith(f"dayfly-{self.project}-") for one in buckets), "the bucket is left")
        repositories = self.aws.ecr.describe_repositories()["repositories"]
        names = [one["repositoryName"] for one in repositories]
        _expect(f"dayfly/{self.project}" not in names, "images are left")
        return "no stack, bucket or image"

    def instances(self, state: str) -> list[str]:
        """The ids of the project's instances in a state."""
        filters: Any = [
            {"Name": f"tag:{PROJECT_TAG}", "Values": [self.project]},
            {"Name": "instance-state-name", "Values": [state]},
        ]
        found = self.aws.ec2.describe_instances(Filters=filters)["Reservations"]
        return [instance["InstanceId"] for one in found for instance in one["Instances"]]

    def machine_stacks(self) -> list[str]:
        """The names of the project's machine stacks."""
        begin = f"{base_stack_name(self.project)}--"
        stacks = list_stacks(self.aws, tags={PROJECT_TAG: self.project})
        return [one.name for one in stacks if one.name.startswith(begin)]

    def wait(self, what: str, until: Callable[[], object]) -> None:
        """Wait for something, for an hour at most."""
        began = time.monotonic()
        while not until():
            _expect(time.monotonic() - began < PATIENCE_S, f"{what}: not within an hour")
            self.aws.sleep(15)


def _expect(holds: object, otherwise: str) -> None:
    if not holds:
        raise Failed(otherwise)


def main() -> int:
    """Ask, try, print the table; 0 when all that was tried passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rehearse", action="store_true", help="against the emulated AWS, without machines")
    parser.add_argument("--region", default=os.environ.get("AWS_REGION"))
    parser.add_argument("--yes", action="store_true", help="do not ask")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dayfly-acceptance-") as folder:
        if asked.rehearse:
            cache = Path(__file__).parents[1] / ".cache" / "emulator"
            with start_emulator(Path(folder) / "emulator", cache=cache) as emulator:
                # Invented prices must not stay in the user's cache.
                os.environ.update(emulator.environ() | {"XDG_CACHE_HOME": str(Path(folder) / "cache")})
                return _accept(Path(folder) / "project", open_aws(), real=False)
        aws = open_aws(region=asked.region)
        os.environ["AWS_REGION"] = aws.region
        account = aws.sts.get_caller_identity()["Account"]
        print(f"In account {account}, region {aws.region}, this costs {COST}.")
        print("It makes roles, a bucket and machines under a project of its own, and deletes them all again.")
        if not asked.yes and input("Go on? Type yes: ").strip() != "yes":
            return 1
        return _accept(Path(folder) / "project", aws, real=True)


def _accept(root: Path, aws: Aws, *, real: bool) -> int:
    project = f"acceptance-{secrets.token_hex(3)}"
    _write_project(root, project)
    acceptance = Acceptance(root=root, project=project, aws=aws, real=real)
    with _taken_down(acceptance):
        _steps(acceptance)
    _print_table(acceptance.rows)
    return int(any(row.passed is False for row in acceptance.rows))


def _steps(it: Acceptance) -> None:
    run = ("--on", "ec2", "--yes", "--timeout", "10m")
    it.step("plan of the base stack", lambda: it.dayfly("cloud", "plan"))
    it.step("base stack made", lambda: it.dayfly("cloud", "up", "--yes"))
    it.step("base stack made again: nothing to do", lambda: it.dayfly("cloud", "up", "--yes"))
    it.step("doctor misses the image", lambda: it.dayfly("cloud", "doctor", code=1))
    it.step("plan of an image build", lambda: it.dayfly("image", "build", "--on", "ec2", "--dry-run"))
    it.step(
        "image built on a machine",
        lambda: it.dayfly("image", "build", "--on", "ec2", "--yes"),
        needs_machine=True,
    )
    it.step(
        "plan of a run", lambda: it.dayfly("run", "succeeds.ipynb", *run, "--dry-run"), needs_machine=True
    )
    it.step("a run that succeeds", lambda: it.dayfly("run", "succeeds.ipynb", *run), needs_machine=True)
    it.step("nothing is left of it", it.nothing_left, needs_machine=True)
    it.step("a run that fails", lambda: it.dayfly("run", "fails.ipynb", *run, code=10), needs_machine=True)
    it.step("nothing is left of it", it.nothing_left, needs_machine=True)
    it.step("a run that hangs", it.deadline_ends_a_stopped_machine, needs_machine=True)
    it.step("nothing is left", it.nothing_left)
    it.step("no machines", lambda: _empty(it.dayfly("machines", "--json")))


def _empty(printed: str) -> str:
    _expect(printed.strip() in {"", "[]"}, printed)
    return ""


@contextmanager
def _taken_down(it: Acceptance) -> Iterator[None]:
    """Whatever happens, Ctrl-C too: everything is taken down."""
    try:
        yield
    finally:
        it.step("all taken down", lambda: it.dayfly("cloud", "down", "--delete-data", "--force", "--yes"))
        it.step("nothing of it is left", it.everything_gone)


def _write_project(root: Path, project: str) -> None:
    root.mkdir(parents=True)
    (root / "dayfly.toml").write_text(SETTINGS.format(instance=INSTANCE, project=project), encoding="utf-8")
    (root / "requirements.txt").write_text("ipykernel\n", encoding="utf-8")
    for name, source in NOTEBOOKS.items():
        cell: dict[str, Any] = {
            "cell_type": "code",
            "execution_count": None,
            "id": name,
            "metadata": {},
            "outputs": [],
            "source": source,
        }
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        notebook = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
        (root / f"{name}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    person = ["-c", "user.name=Acceptance", "-c", "user.email=acceptance@example.org"]
    for arguments in (["init", "--quiet"], ["add", "--all"], [*person, "commit", "--quiet", "-m", "Try"]):
        subprocess.run(["git", *arguments], cwd=root, check=True)


def _print_table(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("step", "result", "took", "remark")
    for row in rows:
        result = {True: "passed", False: "FAILED", None: "not tried"}[row.passed]
        table.add_row(row.step, result, f"{row.took_s:.0f} s" if row.took_s else "", row.remark)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())

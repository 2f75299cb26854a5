"""How a machine ends, whatever happens to boot.sh: the real script, with stand-ins for the programs it calls.

See test_boot.py for what that proves, and what it does not.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dayfly.aws.boot import boot_script
from dayfly.runs.result import Reason, Result
from dayfly.runs.state import State
from dayfly.runs.status import state_of_size
from tests.unit.aws.boot_support import (
    BOOT,
    HEADER,
    STEPS,
    Machine,
    notebook_call,
    options,
    with_,
)
from tests.unit.support import RUN_ID, wait_for

MANY_BOOTS = pytest.mark.timeout(600)
"""Seconds: many boots took 94 s on a machine under load. One that hangs has a bound of its own."""


class TestTheEnd:
    @pytest.mark.parametrize(
        ("code", "told"),
        [
            ("0", "succeeded"),
            ("10", "failed"),
            ("11", "timed_out"),
            ("12", "cancelled"),
            ("13", "interrupted"),
        ],
    )
    def test_the_goodbye_says_how_it_ended(self, machine: Machine, code: str, told: str) -> None:
        (machine.fake / "notebook-code").write_text(code)
        machine.boot()
        assert machine.told[-1]["detail"] == told
        assert machine.failure is None
        machine.ended_well()

    def test_a_container_that_did_not_start_is_a_run_that_never_started(self, machine: Machine) -> None:
        (machine.fake / "notebook-code").write_text("125")
        machine.boot()
        result = Result.model_validate_json((machine.fake / "kept" / "result.json").read_bytes())
        assert (result.state, result.reason) == (State.NEVER_STARTED, Reason.BOOT_FAILED)
        assert machine.failure is not None
        assert machine.failure["command"] == "docker run"
        machine.ended_well()

    def test_what_could_not_be_saved_is_told(self, machine: Machine) -> None:
        (machine.fake / "keeper-code").write_text("5")
        machine.boot()
        assert any("upload_failed" in warning for warning in machine.warnings)
        machine.ended_well()

    @pytest.mark.fault(19)
    def test_a_keeper_that_dies_is_followed_by_another(self, machine: Machine) -> None:
        machine.fail("docker run .*dayfly.keeper", times=2, code=137, said="killed")
        machine.boot()
        assert sum("dayfly.keeper" in call for call in machine.called("docker run")) == 3
        assert not any("upload_failed" in warning for warning in machine.warnings)
        machine.ended_well()

    @pytest.mark.fault(35)
    def test_self_deletion_that_is_denied_is_told_and_the_machine_goes_off(self, machine: Machine) -> None:
        machine.fail("aws cloudformation", times=9, said="AccessDenied")
        machine.boot()
        assert any("cannot delete its stack" in warning for warning in machine.warnings)
        machine.ended_well()

    def test_a_power_off_that_fails_is_tried_another_way(self, machine: Machine) -> None:
        machine.fail("systemctl poweroff", times=9)
        machine.boot()
        assert machine.calls[-1] == "poweroff -f"

    def test_a_failed_run_is_held_when_asked(self, tmp_path: Path) -> None:
        machine = with_(tmp_path, HOLD_SECONDS="1800")
        (machine.fake / "notebook-code").write_text("10")
        machine.boot()
        assert "sleep 1800" in machine.calls
        assert any("1800" in warning for warning in machine.warnings)
        machine.ended_well()

    @pytest.mark.parametrize("code", ["0", "12", "13"])
    def test_a_run_that_succeeded_or_was_stopped_is_not_held(self, tmp_path: Path, code: str) -> None:
        machine = with_(tmp_path, HOLD_SECONDS="1800")
        (machine.fake / "notebook-code").write_text(code)
        machine.boot()
        assert "sleep 1800" not in machine.calls

    def test_a_topic_is_told(self, tmp_path: Path) -> None:
        machine = with_(tmp_path, NOTIFY="true")
        machine.put(f"runs/{RUN_ID}/notify", b"arn:aws:sns:eu-central-1:123456789012:ends")
        machine.boot()
        (call,) = machine.called("aws sns publish")
        assert options(call, "--topic-arn") == ["arn:aws:sns:eu-central-1:123456789012:ends"]
        assert options(call, "--message") == [f"dayfly: run {RUN_ID}: succeeded"]

    def test_an_address_is_told_and_is_in_no_argument_or_log(self, tmp_path: Path) -> None:
        machine = with_(tmp_path, NOTIFY="true")
        machine.put(f"runs/{RUN_ID}/notify", b'https://hooks.example/SECRET"x')
        machine.boot()
        assert (machine.fake / "curl").read_text() == 'url = "https://hooks.example/SECRET\\"x"\n'
        assert "SECRET" not in "".join(machine.calls) + machine.log + json.dumps(machine.told)

    def test_a_notification_that_fails_changes_nothing(self, tmp_path: Path) -> None:
        machine = with_(tmp_path, NOTIFY="true")
        machine.put(f"runs/{RUN_ID}/notify", b"https://hooks.example/")
        machine.fail("curl", times=9)
        machine.boot()
        assert machine.warnings == ["The notification could not be sent."]
        machine.ended_well()


class TestPulling:
    @pytest.mark.parametrize("command", ["docker login", "docker pull"])
    @pytest.mark.fault(15)
    def test_a_pull_that_is_throttled_three_times_is_told_and_done(
        self, machine: Machine, command: str
    ) -> None:
        machine.fail(command, times=3, said="toomanyrequests: Rate exceeded")
        machine.boot()
        assert machine.steps == STEPS
        assert ["Rate exceeded" in warning for warning in machine.warnings] == [True] * 3
        assert [call for call in machine.calls if call in {"sleep 2", "sleep 4", "sleep 8"}] == [
            *("sleep 2", "sleep 4", "sleep 8")
        ]

    @pytest.mark.parametrize(
        ("said", "reason", "calls"),
        [
            ("write /var/lib/docker: no space left on device", "disk_full", 1),
            ("manifest unknown", "pull_failed", 1),
            ("toomanyrequests", "pull_failed", 7),
        ],
    )
    @pytest.mark.fault(17)
    def test_a_pull_that_fails_ends_the_run(
        self, machine: Machine, said: str, reason: str, calls: int
    ) -> None:
        machine.fail("docker pull", times=99, said=said)
        machine.boot()
        assert len(machine.called("docker pull")) == calls
        assert machine.failure is not None
        assert machine.failure["reason"] == reason
        assert machine.failure["command"] == "docker pull"
        assert said in machine.failure["message"]
        machine.ended_well()


def failed_run(machine: Machine) -> Result:
    content = machine.object("result.json")
    assert content is not None, machine.log
    return Result.model_validate_json(content)


FATAL = {
    "systemd-run .*dayfly-deadline": ("boot_failed", "systemd-run|unit"),
    "systemd-run .*boot-budget": ("boot_failed", "unit"),
    "systemd-run .*dayfly-machine": ("boot_failed", "unit"),
    "sed -n": ("boot_failed", "sed"),
    "ln -sf": ("boot_failed", "ln -sf"),
    "aws s3 cp .*machine/000000000000": ("store_denied", "head|aws|S3"),
    "aws s3 cp .*request.json": ("boot_failed", "S3|wait"),
    "aws s3 cp .*input.ipynb": ("boot_failed", "S3|wait"),
    "aws s3 cp .*snapshots": ("boot_failed", "S3"),
    "chmod 644": ("boot_failed", "chmod"),
    "aws ecr get-login": ("pull_failed", "get-login-password"),
    "systemctl start docker": ("boot_failed", "systemctl start docker"),
    "docker login": ("pull_failed", "docker login"),
    "touch": ("boot_failed", "touch"),
    "chown": ("boot_failed", "chown"),
}


@pytest.mark.parametrize("pattern", FATAL)
@pytest.mark.fault(13)
def test_a_step_that_fails_is_told_with_its_line_and_ends_the_machine(machine: Machine, pattern: str) -> None:
    machine.fail(pattern, times=99, code=3, said="because")
    machine.boot()
    machine.ended_well()
    reason, command = FATAL[pattern]
    result = failed_run(machine)
    assert (result.state, result.reason) == (State.NEVER_STARTED, Reason(reason))
    line, told = re.findall(r"line (\d+) of boot.sh: (.*)", result.message, re.DOTALL)[0]
    source = BOOT.split("\n")[int(line) - 1]
    assert re.search(command, told)
    assert re.search(command, source), source
    status = machine.object(f"/status/{RUN_ID}")
    assert status is not None
    assert state_of_size(len(status)) is State.NEVER_STARTED
    if reason != "store_denied":
        assert machine.failure is not None
        assert (machine.failure["line"], machine.failure["reason"]) == (int(line), reason)
        assert machine.object("machine.log") is not None


@pytest.mark.fault(13)
def test_a_machine_that_cannot_even_make_its_folder_ends(machine: Machine) -> None:
    """It can tell nobody but its console."""
    machine.fail("mkdir -p .*run/dayfly .*log", said="Read-only file system")
    machine.boot()
    machine.ended_well()
    assert "Read-only file system" in machine.log


@MANY_BOOTS
@pytest.mark.fault(13)
def test_whatever_call_fails_the_machine_ends(tmp_path: Path) -> None:
    """Each program's each call that a boot makes, in turn: nothing keeps the machine alive."""
    calls = Machine(tmp_path / "first").boot().calls
    kinds = dict.fromkeys(re.sub(r"\d+|/\S*/", ".*", " ".join(call.split()[:4])) for call in calls)
    kinds = {re.escape(kind).replace(r"\.\*", ".*"): None for kind in kinds}
    kinds.pop("aws\\ cloudformation\\ delete\\-stack\\ \\-\\-stack\\-name", None)
    assert len(kinds) > 20
    for number, kind in enumerate(kinds):
        machine = Machine(tmp_path / str(number))
        machine.fail(f"^{kind}", times=99 if "docker version" not in kind else 3)
        machine.boot()
        machine.ended_well()


@pytest.mark.fault(19)
def test_a_supervisor_that_is_killed_ends_the_machine_and_loses_nothing_that_was_saved(
    machine: Machine,
) -> None:
    """What follows it kills the notebook's container, and waits for the keeper."""
    (machine.fake / "never-ends").touch()
    with machine.booting() as process:
        wait_for((machine.root / "run" / "dayfly" / "started").exists)
        wait_for((machine.fake / "seen").exists)
        wait_for((machine.fake / "keeper-began").exists)
        subprocess.run(["kill", "-KILL", (machine.fake / "main").read_text().strip()], check=True)
        process.wait(30)
    assert f"docker kill dayfly-{RUN_ID}" in machine.calls
    assert machine.calls.index(f"docker wait dayfly-{RUN_ID}-keeper") > 0
    assert (machine.fake / "kept").exists()
    assert machine.failure is not None
    assert machine.object("result.json") is None, "what became of the run is the keeper's to say"
    machine.ended_well()


@pytest.mark.fault(14)
def test_a_boot_that_takes_too_long_is_ended_by_its_budget(machine: Machine) -> None:
    """The engine hangs at its start; the timer's command is run as systemd would."""
    (machine.fake / "docker-hangs").touch()
    with machine.booting() as process:
        wait_for(
            lambda: machine.fake.joinpath("calls").exists() and "systemctl start docker" in machine.calls
        )
        late = ["/bin/bash", str(machine.root / "run" / "dayfly" / "boot.sh"), "late"]
        subprocess.run(late, env=machine.variables(), check=True)
        process.wait(30)
    assert failed_run(machine).reason is Reason.BOOT_TIMED_OUT
    assert machine.failure is not None
    assert (machine.failure["reason"], machine.failure["step"]) == ("boot_timed_out", "docker")
    machine.ended_well()


def test_the_budget_does_nothing_to_a_run_that_has_begun(machine: Machine) -> None:
    machine.boot()
    late = ["/bin/bash", str(machine.root / "run" / "dayfly" / "boot.sh"), "late"]
    subprocess.run(late, env=machine.variables(), check=True)
    assert not machine.called("systemctl kill")


VALUES = st.text(
    st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]), max_size=40
) | st.sampled_from(
    [
        "$(touch pwned)",
        "`touch pwned`",
        "'; touch pwned; '",
        '"; touch pwned; "',
        "a[$(touch pwned)]",
        "-x",
        "* ?",
    ]
)
FREE = ("OWNER", "HOME", "USER_NAME", "USER", "CPUS", "GPUS", "MEMORY_BYTES", "DEADLINE", "DEADLINE_EPOCH")


@MANY_BOOTS
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values=st.fixed_dictionaries(dict.fromkeys(FREE, VALUES)))
def test_values_stay_values(values: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = with_(Path(folder), **values).boot()
        machine.ended_well()
        assert not list(Path(folder).rglob("pwned"))
        assert not Path("pwned").exists()
        call = notebook_call(machine).encode()
        assert b"--security-opt no-new-privileges" in call
        for name in ("touch pwned",):
            assert f"\n{name}" not in "\n".join(machine.calls)


@MANY_BOOTS
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=st.text(st.characters(exclude_characters="\0\t\n\r", exclude_categories=["Cs"]), max_size=60))
def test_whatever_a_program_says_what_is_told_is_json(said: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        machine.fail("docker login", times=99, said=said)
        machine.boot()
        assert machine.failure is not None
        assert failed_run(machine).state is State.NEVER_STARTED


def test_a_header_is_not_run_again(machine: Machine) -> None:
    """A disk that is full must not cost the values: what follows is boot.sh alone, kept in memory."""
    machine.boot()
    kept = (machine.root / "run" / "dayfly" / "boot.sh").read_text()
    assert kept == boot_script()
    assert HEADER not in kept

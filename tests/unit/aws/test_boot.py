"""The real boot.sh, run by bash in a folder of its own, with stand-ins for the programs that it calls.

What this proves: the order of what is done, with which arguments, what is told, and that whatever fails,
and however, the stack is deleted and the machine switched off. What it does not: that systemd, Docker, the
AWS CLI and cloud-init do what is asked of them. That is for the rehearsal: there the script boots instances.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dayfly.aws.boot import boot_script, lab_context
from dayfly.runs.result import Reason, Result
from dayfly.runs.state import State
from dayfly.runs.status import state_of_size
from tests.unit.aws.boot_support import HEADER, IMAGE, NAMES, Machine, path_without, run_environment
from tests.unit.support import RUN_ID, wait_for

STEPS = ["armed", "logged", "store", "docker", "fetched", "pulling", "pulled", "started", "saved", "goodbye"]
BOOT = resources.files("dayfly.aws.boot").joinpath("boot.sh").read_text("utf-8")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def with_(tmp_path: Path, **changes: str) -> Machine:
    return Machine(tmp_path, run_environment(**changes))


def options(call: str, name: str) -> list[str]:
    """The values of an option in a call."""
    words = shlex.split(call)
    return [words[n + 1] for n, word in enumerate(words) if word == name]


def notebook_call(machine: Machine) -> str:
    return next(call for call in machine.called("docker run") if "container_process" in call)


def keeper_call(machine: Machine) -> str:
    return next(call for call in machine.called("docker run") if "dayfly.keeper" in call)


class TestTheScriptItself:
    def test_it_fits_into_user_data_with_room_for_the_header(self) -> None:
        """EC2 takes 16 KB; the header has a few hundred bytes of names, and its values."""
        assert len(boot_script()) < 12 << 10

    @pytest.mark.parametrize("script", ["boot.sh", "lab.sh", "build.sh"])
    def test_shellcheck_has_nothing_to_say(self, script: str) -> None:
        with resources.as_file(resources.files("dayfly.aws.boot").joinpath(script)) as path:
            checked = subprocess.run(["shellcheck", str(path)], capture_output=True, check=False)
        assert checked.stdout.decode() == ""

    def test_shellcheck_has_nothing_to_say_of_what_is_left_without_comments(self, tmp_path: Path) -> None:
        (tmp_path / "boot.sh").write_text(boot_script())
        excluded = "--exclude=SC2034,SC1090,SC2016,SC1091"
        checked = subprocess.run(
            ["shellcheck", excluded, str(tmp_path / "boot.sh")], capture_output=True, check=False
        )
        assert checked.stdout.decode() == ""

    def test_lines_keep_their_numbers(self) -> None:
        assert len(boot_script().split("\n")) == len(BOOT.split("\n"))

    def test_nothing_is_evaluated(self) -> None:
        assert not re.search(r"\beval\b|\bsource (?!\"\$W/task)|\$\(\$|`[^`]*\$[^`]*`\s*$", boot_script())

    def test_the_archive_of_a_lab_is_always_the_same(self) -> None:
        assert lab_context() == lab_context()


class TestARun:
    def test_its_steps_come_in_order_and_nothing_is_told_twice(self, machine: Machine) -> None:
        machine.boot()
        assert machine.steps == STEPS, machine.log
        assert machine.failure is None
        machine.ended_well()

    def test_the_first_that_is_done_is_to_arm_the_end(self, machine: Machine) -> None:
        """By a monotonic timer, and within what is left until the deadline."""
        machine.boot()
        first = next(call for call in machine.calls if not call.startswith("mkdir"))
        assert first.startswith("systemd-run")
        assert "--unit=dayfly-deadline" in first
        left = re.search(r"--on-active=(\d+) ", first)
        assert left is not None
        assert 3500 < int(left[1]) <= 3600
        assert "poweroff" in first

    def test_a_deadline_that_has_passed_ends_the_machine_at_once(self, tmp_path: Path) -> None:
        machine = with_(tmp_path, DEADLINE_EPOCH="1000").boot()
        assert "--on-active=1 " in machine.called("systemd-run")[0]

    def test_the_boot_budget_is_armed_and_cancelled_when_the_notebook_starts(self, machine: Machine) -> None:
        machine.boot()
        (armed,) = [call for call in machine.called("systemd-run") if "boot-budget" in call]
        assert "--on-active=900 " in armed
        stop = machine.calls.index("systemctl stop dayfly-boot-budget.timer")
        assert stop > machine.calls.index(notebook_call(machine))

    def test_the_store_is_proven_before_anything_is_pulled(self, machine: Machine) -> None:
        machine.boot()
        calls = machine.calls
        probe = next(n for n, call in enumerate(calls) if f"runs/{RUN_ID}/machine/" in call)
        assert probe < calls.index(next(iter(machine.called("docker pull"))))

    def test_the_notebooks_container_is_as_on_a_laptop(self, machine: Machine) -> None:
        machine.boot()
        call = notebook_call(machine)
        words = shlex.split(call)
        assert options(call, "--cap-drop") == ["ALL"]
        assert options(call, "--security-opt") == ["no-new-privileges"]
        assert options(call, "--user") == ["1000:1000"]
        assert options(call, "--hostname") == [f"dayfly-{RUN_ID}"]
        assert options(call, "--stop-timeout") == ["40"]
        assert options(call, "--pull") == ["never"]
        assert options(call, "--network") == []
        assert "--privileged" not in words
        assert "docker.sock" not in call
        mounts = options(call, "--mount")
        assert [mount.split("target=")[1] for mount in mounts] == [
            f"/dayfly/run/{RUN_ID}",
            "/dayfly/snapshot.bundle,readonly",
        ]
        at = f"/dayfly/run/{RUN_ID}"
        assert words[words.index(IMAGE) :] == [
            *(IMAGE, "-I", "-m", "dayfly.backends.container_process", at, "/dayfly/snapshot.bundle")
        ]

    def test_the_notebook_gets_no_credentials_and_nothing_of_the_machines_environment(
        self, machine: Machine
    ) -> None:
        machine.boot(AWS_ENDPOINT_URL="https://emulator", AWS_CA_BUNDLE="/ca")
        assert [name.split("=")[0] for name in options(notebook_call(machine), "--env")] == [
            *("HOME", "USER", "LOGNAME")
        ]

    def test_the_keeper_has_the_hosts_network_and_the_machines_variables_by_name(
        self, machine: Machine
    ) -> None:
        machine.boot(AWS_ENDPOINT_URL="https://emulator", SSL_CERT_FILE="/etc/ca.pem")
        call = keeper_call(machine)
        assert options(call, "--network") == ["host"]
        names = options(call, "--env")
        assert {"AWS_ENDPOINT_URL", "SSL_CERT_FILE", "AWS_REGION", "DAYFLY_DEADLINE_EPOCH"} <= set(names)
        assert "https://emulator" not in call
        assert any("source=/etc/ca.pem" in mount for mount in options(call, "--mount"))
        assert shlex.split(call)[-2:] == [f"/dayfly/run/{RUN_ID}", "s3://bucket"]

    def test_both_find_the_request_and_the_notebook(self, machine: Machine) -> None:
        machine.boot()
        assert (machine.fake / "seen" / "request.json").read_bytes() == b"{}"
        assert (machine.fake / "seen" / "input.ipynb").read_bytes() == b"the notebook"
        assert (machine.fake / "seen" / "runner.log").exists()
        bundle = machine.root / "var" / "lib" / "dayfly" / "snapshot.bundle"
        assert bundle.read_bytes() == b"the bundle"
        assert bundle.stat().st_mode & 0o777 == 0o644

    def test_limits_are_those_that_were_asked_for(self, tmp_path: Path) -> None:
        machine = with_(tmp_path, CPUS="1.5", MEMORY_BYTES="1000000", GPUS="all").boot()
        call = notebook_call(machine)
        assert options(call, "--cpus") == ["1.5"]
        assert options(call, "--memory") == options(call, "--memory-swap") == ["1000000"]
        assert options(call, "--gpus") == ["all"]

    def test_a_notebook_never_has_all_of_the_machines_memory(self, tmp_path: Path) -> None:
        machine = with_(tmp_path, MEMORY_BYTES="99999999999999").boot()
        total = int(re.findall(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[0]) << 10
        assert int(options(notebook_call(machine), "--memory")[0]) == total - (256 << 20)
        assert any("99999999999999" in warning for warning in machine.warnings)

    def test_the_registrys_password_is_in_no_argument_and_left_nowhere(self, machine: Machine) -> None:
        machine.boot()
        assert (machine.fake / "password").read_text() == "a-password\n"
        assert not any("a-password" in call for call in machine.calls)

    def test_the_heart_beats_in_the_sizes_that_listings_know(self, machine: Machine) -> None:
        (machine.fake / "never-ends").touch()
        machine.fail("docker pull", times=3, said="toomanyrequests: Rate exceeded")
        with machine.booting() as process:
            status = machine.fake / "s3" / "bucket" / "status" / RUN_ID
            wait_for(lambda: status.exists() and status.stat().st_size)
            assert state_of_size(status.stat().st_size) in {State.BOOTING, State.PULLING}
            assert json.loads(status.read_bytes())["run_id"] == RUN_ID
            (machine.fake / "notebook-ended").touch()
            process.wait(30)

    def test_no_beat_follows_the_keepers_first(self, machine: Machine) -> None:
        machine.boot()
        calls = machine.calls
        beats = [n for n, call in enumerate(calls) if call.endswith(f"s3://bucket/status/{RUN_ID}")]
        assert all(beat < calls.index(keeper_call(machine)) for beat in beats)

    def test_without_a_commit_there_is_no_bundle(self, tmp_path: Path) -> None:
        machine = with_(tmp_path, COMMIT="").boot()
        assert machine.steps == STEPS
        assert not any("snapshots/" in call for call in machine.calls)
        assert len(options(notebook_call(machine), "--mount")) == 1

    def test_docker_is_installed_where_it_is_missing(self, tmp_path: Path) -> None:
        programs = tuple(name for name in NAMES if name != "apt-get")
        machine = Machine(tmp_path, programs=programs, path=path_without("docker", tmp_path / "programs"))
        (machine.fake / "bin" / "docker").rename(machine.fake / "docker-to-be")
        (machine.fake / "bin" / "dnf").unlink()
        (machine.fake / "bin" / "dnf").write_text(
            '#!/bin/bash\necho "dnf $*" >>"$FAKE/calls"\nln -s "$FAKE/docker-to-be" "$FAKE/bin/docker"\n'
        )
        (machine.fake / "bin" / "dnf").chmod(0o755)
        machine.boot()
        assert machine.called("dnf") == ["dnf install -y -q docker"]
        assert machine.steps == STEPS


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
        machine.put(f"runs/{RUN_ID}/notify", b"arn:aws:sns:eu-central-1:123456789012:ends\n")
        machine.boot()
        (call,) = machine.called("aws sns publish")
        assert options(call, "--topic-arn") == ["arn:aws:sns:eu-central-1:123456789012:ends"]
        assert options(call, "--message") == [f"dayfly: run {RUN_ID}: succeeded"]

    def test_an_address_is_told_and_is_in_no_argument_or_log(self, tmp_path: Path) -> None:
        machine = with_(tmp_path, NOTIFY="true")
        machine.put(f"runs/{RUN_ID}/notify", b'https://hooks.example/SECRET"x\n')
        machine.boot()
        assert (machine.fake / "curl").read_text() == 'url = "https://hooks.example/SECRET\\"x"\n'
        assert "SECRET" not in "".join(machine.calls) + machine.log + json.dumps(machine.told)

    def test_a_notification_that_fails_changes_nothing(self, tmp_path: Path) -> None:
        machine = with_(tmp_path, NOTIFY="true")
        machine.put(f"runs/{RUN_ID}/notify", b"https://hooks.example/\n")
        machine.fail("curl", times=9)
        machine.boot()
        machine.ended_well()


class TestPulling:
    def test_a_pull_that_is_throttled_three_times_is_told_and_done(self, machine: Machine) -> None:
        machine.fail("docker pull", times=3, said="toomanyrequests: Rate exceeded")
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


def test_a_machine_that_cannot_even_make_its_folder_ends(machine: Machine) -> None:
    """It can tell nobody but its console."""
    machine.fail("mkdir -p .*run/dayfly .*log", said="Read-only file system")
    machine.boot()
    machine.ended_well()
    assert "Read-only file system" in machine.log


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

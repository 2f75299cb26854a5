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
from importlib import resources
from pathlib import Path

import pytest

from dayfly.aws.boot import boot_script, lab_context
from dayfly.runs.state import State
from dayfly.runs.status import state_of_size
from tests.unit.aws.boot_support import (
    BOOT,
    IMAGE,
    NAMES,
    STEPS,
    Machine,
    keeper_call,
    notebook_call,
    options,
    path_without,
    with_,
)
from tests.unit.support import RUN_ID, wait_for


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

    @pytest.mark.fault(25)
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
        assert stop > machine.calls.index(machine.called("docker pull")[0])

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

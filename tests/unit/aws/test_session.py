"""The ways into a machine, as argument lists and as lines for `~/.ssh/config`."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.aws.session import CLI_PAGE, PLUGIN_PAGE, Target, config_lines, ssh_argv, ssm_argv, user_of
from dayfly.cli.ssh import check_programs
from dayfly.errors import DayflyError, UsageError

KNOWN = Path("/home/ada/.cache/dayfly/known_hosts")
RUN = "20261123-101502-analysis-7f3a"


def target(**changes: Any) -> Target:
    fields: dict[str, Any] = {"machine_id": RUN, "instance_id": "i-0123", "region": "eu-central-1"}
    return Target(**{**fields, **changes})


OPEN = target(address="203.0.113.7", key_name="dayfly-x")


class TestThroughSystemsManager:
    def test_it_is_a_session_with_the_instance(self) -> None:
        assert ssm_argv(target()) == [
            *("aws", "ssm", "start-session", "--region", "eu-central-1", "--target", "i-0123")
        ]

    def test_the_projects_profile_is_used(self) -> None:
        assert ssm_argv(target(profile="team"))[5:7] == ["--profile", "team"]

    @given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
    def test_a_command_arrives_word_by_word(self, command: list[str]) -> None:
        """Whatever is in it: it is one string of JSON, in which a shell there finds the words again."""
        argv = ssm_argv(target(), command)
        assert argv[7:10] == ["--document-name", "AWS-StartNonInteractiveCommand", "--parameters"]
        (sent,) = json.loads(argv[10])["command"]
        assert shlex.split(sent) == command


class TestBySsh:
    def test_the_hosts_key_is_kept_by_the_instances_id_in_a_file_of_its_own(self) -> None:
        """An address is given to another machine later; an instance's id never is."""
        assert ssh_argv(OPEN, known_hosts=KNOWN) == [
            "ssh",
            *("-o", "HostKeyAlias=i-0123"),
            *("-o", f"UserKnownHostsFile={KNOWN}"),
            *("-o", "StrictHostKeyChecking=accept-new"),
            *("--", "ec2-user@203.0.113.7"),
        ]

    def test_a_key_and_a_command_can_be_given(self) -> None:
        argv = ssh_argv(OPEN, ["ls", "a b"], known_hosts=KNOWN, identity=Path("key"))
        assert argv[-5:] == ["-i", "key", "--", "ec2-user@203.0.113.7", "ls 'a b'"]

    def test_a_machine_without_it_says_the_other_way(self) -> None:
        with pytest.raises(UsageError, match="started without SSH") as caught:
            ssh_argv(target(), known_hosts=KNOWN)
        assert f"dayfly ssh {RUN}" in caught.value.hint

    @pytest.mark.parametrize(
        ("image", "user"),
        [
            ("al2023-ami-2023.6.20261101.0-kernel-6.1-x86_64", "ec2-user"),
            ("debian-12-amd64-20261101-1930", "admin"),
            ("ubuntu/images/hvm-ssd/ubuntu-noble-24.04", "ubuntu"),
            ("Deep Learning Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023)", "ec2-user"),
            ("Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04)", "ubuntu"),
            ("", "ec2-user"),
        ],
    )
    def test_the_user_is_that_of_the_system(self, image: str, user: str) -> None:
        assert user_of(image) == user


class TestConfig:
    def test_where_ssh_is_open_it_is_the_address(self) -> None:
        assert config_lines(OPEN, known_hosts=KNOWN) == [
            f"Host dayfly-{RUN}",
            "  User ec2-user",
            "  HostName 203.0.113.7",
            "  HostKeyAlias i-0123",
            f"  UserKnownHostsFile {KNOWN}",
            "  StrictHostKeyChecking accept-new",
        ]

    def test_else_it_goes_through_systems_manager(self) -> None:
        lines = config_lines(target(key_name="dayfly-x", profile="my team"), known_hosts=KNOWN)
        assert "  HostName i-0123" in lines
        assert (
            "  ProxyCommand aws ssm start-session --region eu-central-1 --profile 'my team' --target %h"
            " --document-name AWS-StartSSHSession --parameters portNumber=%p"
        ) in lines

    def test_a_machine_that_knows_no_key_cannot_be_reached_by_ssh(self) -> None:
        with pytest.raises(UsageError, match="knows no SSH key") as caught:
            config_lines(target(), known_hosts=KNOWN)
        assert "dayfly cloud up --ssh-key" in caught.value.hint

    @pytest.mark.parametrize("made", [OPEN, target(key_name="dayfly-x", profile="my team")])
    def test_openssh_reads_it(self, made: Target, tmp_path: Path) -> None:
        known, key = tmp_path / "a folder" / "known_hosts", tmp_path / "a folder" / "key"
        file = tmp_path / "config"
        file.write_text("\n".join(config_lines(made, known_hosts=known, identity=key)) + "\n")
        asked = subprocess.run(
            ["ssh", "-G", "-F", str(file), made.host], capture_output=True, text=True, check=True
        )
        read = asked.stdout.splitlines()
        assert f"hostname {made.address or made.instance_id}" in read
        assert "stricthostkeychecking accept-new" in read
        assert any(line.startswith("userknownhostsfile ") and "a folder/known_hosts" in line for line in read)
        assert f"identityfile {key}" in read


class TestPrograms:
    @pytest.mark.parametrize(
        ("there", "page"), [([], CLI_PAGE), (["aws"], PLUGIN_PAGE), (["session-manager-plugin"], CLI_PAGE)]
    )
    def test_one_that_is_missing_is_named_with_the_page_to_get_it(self, there: list[str], page: str) -> None:
        with pytest.raises(DayflyError, match="is not installed") as caught:
            check_programs(target(), by_ssh=False, which=lambda name: name if name in there else None)
        assert page in caught.value.hint

    def test_with_both_all_is_well(self) -> None:
        check_programs(target(), by_ssh=False, which=lambda name: name)

    def test_ssh_needs_neither(self) -> None:
        check_programs(OPEN, by_ssh=True, which=lambda name: name if name == "ssh" else None)
        with pytest.raises(UsageError, match="no ssh"):
            check_programs(OPEN, by_ssh=True, which=lambda _: None)

"""What a machine is told: the values in its user data, the boot script after them, and their bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from re import _parser  # type: ignore[attr-defined]  # knows how long a match may be
from typing import Any

import pytest

from dayfly.aws.boot import boot_script
from dayfly.aws.template import load_template
from scripts.policy_documents import PARAMETERS

MACHINE = load_template("machine").document


def user_data() -> tuple[str, str]:
    """The header, in which CloudFormation puts the values, and the script."""
    header, script = MACHINE["Resources"]["Instance"]["Properties"]["UserData"]["Fn::Base64"]["Fn::Join"][1]
    return header["Fn::Sub"], script


def test_user_data_fits_with_every_value_as_long_as_it_may_be() -> None:
    """EC2 takes 16,384 bytes before they are encoded."""
    header, script = user_data()
    told = [one for name, one in MACHINE["Parameters"].items() if "${" + name + "}" in header]
    of_aws = len("ap-southeast-1") + len(PARAMETERS["AWS::AccountId"]) + 128
    assert len(header + script) + sum(map(_longest, told)) + of_aws <= 16_384


def _longest(parameter: Mapping[str, Any]) -> int:
    if "AllowedValues" in parameter:
        return max(map(len, parameter["AllowedValues"]))
    by_pattern = _parser.parse(parameter["AllowedPattern"]).getwidth()[1]
    return int(min(by_pattern, parameter.get("MaxLength", by_pattern)))


def test_the_template_has_the_boot_script_as_it_is() -> None:
    """Else: uv run python scripts/machine_template.py."""
    assert user_data()[1] == boot_script()


def test_values_reach_the_script_as_a_file_and_in_no_other_way() -> None:
    """SECURITY 13. A quoted heredoc: the shell takes nothing in it for code."""
    header, script = user_data()
    lines = header.splitlines()
    begin = lines.index("cat >/etc/dayfly/machine.env <<'DAYFLY_ENVIRONMENT'")
    end = lines.index("DAYFLY_ENVIRONMENT")
    values = lines[begin + 1 : end]
    assert "${" not in "\n".join(lines[: begin + 1] + lines[end:])
    assert all(re.fullmatch(r"DAYFLY_[A-Z0-9_]+=\$\{[A-Za-z0-9:]+\}", line) for line in values)
    assert end == len(lines) - 1
    assert "Fn::" not in script


def test_each_parameter_of_the_task_has_its_variable() -> None:
    header, _ = user_data()
    found = dict(re.findall(r"^(DAYFLY_\w+)=\$\{([\w:]+)\}$", header, re.MULTILINE))
    for variable, parameter in found.items():
        words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", parameter.removeprefix("AWS::")).upper()
        assert variable == f"DAYFLY_{words}".replace("ACCOUNT_ID", "ACCOUNT").replace("STACK_NAME", "STACK")
    not_told = set(MACHINE["Parameters"]) - set(found.values())
    assert not_told == {
        *("ImageId", "RootDeviceName", "LaunchTemplateId", "LaunchTemplateVersion", "InstanceProfile"),
        *("VpcId", "SubnetId", "DiskGiB", "KeyName", "SshCidr", "ElasticIpAllocation"),
    }


HOSTILE = [
    "a\nDAYFLY_ENVIRONMENT\nreboot",
    "$(reboot)",
    "`reboot`",
    "a'b",
    'a"b',
    "a\\b",
    "a\0b",
    "a\rb",
    "${HOME}",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_no_parameter_of_a_machine_takes_a_hostile_value(value: str) -> None:
    """SECURITY 13. The program reads the file as data as well: this is the first of two fences."""
    for name, one in MACHINE["Parameters"].items():
        if one["Type"] == "Number" or "AllowedValues" in one:
            continue
        assert not re.fullmatch(one["AllowedPattern"], value), name


def test_owners_of_any_script_can_be_named() -> None:
    pattern = MACHINE["Parameters"]["Owner"]["AllowedPattern"]
    for owner in ["jo@example.org", "Jörg Müller", "arn:aws:sts::123456789012:assumed-role/Admin/jo", ""]:
        assert re.fullmatch(pattern, owner), owner


def test_ids_as_long_as_they_may_be_name_a_machine() -> None:
    run_id = f"20261123-101502-{'a' * 32}-0123abcd"
    assert re.fullmatch(MACHINE["Parameters"]["MachineId"]["AllowedPattern"], run_id)
    assert re.fullmatch(MACHINE["Parameters"]["Prefix"]["AllowedPattern"], f"runs/{run_id}")

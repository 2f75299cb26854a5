"""The documentation's way without dayfly: what it names exists, and what is needed is named.

It is read, not run: the shell checks its syntax, and the templates its parameters and outputs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dayfly.aws.template import load_template

PAGE = Path(__file__).parents[3] / "docs" / "aws-setup.md"
BASE, MACHINE = load_template("base").document, load_template("machine").document


@pytest.fixture(scope="module")
def section() -> str:
    _, found, rest = PAGE.read_text(encoding="utf-8").partition("\n## With the AWS CLI alone\n")
    assert found
    return rest.partition("\n## ")[0]


@pytest.fixture(scope="module")
def commands(section: str) -> str:
    return "\n".join(re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))


def test_the_commands_are_shell(commands: str) -> None:
    done = subprocess.run(
        [shutil.which("bash") or "bash", "-n"], input=commands.encode(), capture_output=True, check=False
    )
    assert done.stderr == b""
    checked = subprocess.run(
        ["shellcheck", "--shell=bash", "-"], input=commands.encode(), capture_output=True, check=False
    )
    assert checked.stdout == b""


def test_the_base_stack_is_given_what_it_needs_and_nothing_it_does_not_know(commands: str) -> None:
    [line] = re.findall(r"--parameter-overrides (.*)$", commands, re.MULTILINE)
    given = set(re.findall(r'"(\w+)=', line))
    assert given <= set(BASE["Parameters"])
    needed = {name for name, one in BASE["Parameters"].items() if "Default" not in one}
    assert given == needed | {"VpcId", "SubnetIds"}, "which Network=default needs"


def test_a_machine_is_given_what_it_needs_and_nothing_it_does_not_know(commands: str) -> None:
    given = set(re.findall(r"\(parameter (\w+)", commands))
    assert given <= set(MACHINE["Parameters"])
    assert {name for name, one in MACHINE["Parameters"].items() if "Default" not in one} <= given


def test_every_parameter_in_the_text_exists(section: str) -> None:
    text = re.sub(r"^```bash\n.*?^```$", "", section, flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`([A-Z]\w+)(?:=\w+)?`", text)) - {"VpcId", "SubnetIds"}
    assert named
    assert named <= set(BASE["Parameters"])


def test_every_output_that_is_read_exists(commands: str) -> None:
    read = set(re.findall(r"\boutput ([A-Z]\w+)", commands))
    assert read
    assert read <= set(BASE["Outputs"])


def test_templates_and_the_capability_are_named(commands: str) -> None:
    for name in ("base", "machine"):
        assert f"src/dayfly/aws/templates/{name}.yaml" in commands
    assert "CAPABILITY_NAMED_IAM" in commands
    assert commands.index("create-schedule") < commands.index("create-stack"), "the end comes first"
    assert '--role-arn "$(output CloudFormationRoleArn)"' in commands

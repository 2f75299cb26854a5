"""A key goes to AWS's own tool, and nowhere else."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dayfly.aws.iam_user import AccessKey, check_user_name, store_key
from dayfly.errors import AwsError, UsageError
from tests.unit.aws.stubbed import REGION, StubbedAws, stubbed_aws

KEY = AccessKey(user="ada", key_id="AKIAEXAMPLE000000000", secret="canary-5f1e")  # noqa: S106 -- what is looked for


@pytest.fixture
def stub() -> Iterator[StubbedAws]:
    with stubbed_aws() as stubbed:
        yield stubbed


@pytest.fixture
def path(tmp_path: Path) -> dict[str, str]:
    """A PATH on which there is an `aws`."""
    tool = tmp_path / "aws"
    tool.write_text("#!/bin/sh\n", "utf-8")
    tool.chmod(0o755)
    return {"PATH": str(tmp_path)}


def test_the_secret_is_in_no_argument_and_reaches_the_tool_by_its_standard_input(
    stub: StubbedAws, path: dict[str, str]
) -> None:
    calls: list[tuple[list[str], dict[str, Any]]] = []
    store_key(stub.aws, KEY, path, run=lambda command, **more: calls.append((command, more)))
    ((command, more),) = calls
    assert command[1:] == ["configure", "--profile", "ada"]
    assert "canary" not in " ".join(command) + str(more["env"])
    assert more["input"] == f"AKIAEXAMPLE000000000\ncanary-5f1e\n{REGION}\n\n".encode()
    assert more["capture_output"]


def test_a_key_that_could_not_be_stored_is_deleted_and_its_secret_told_to_nobody(
    stub: StubbedAws, path: dict[str, str]
) -> None:
    def fail(command: list[str], **more: Any) -> None:
        raise subprocess.CalledProcessError(1, command, output=more["input"])

    stub.answer("iam", "delete_access_key", {}, {"UserName": "ada", "AccessKeyId": "AKIAEXAMPLE000000000"})
    with pytest.raises(AwsError) as caught:
        store_key(stub.aws, KEY, path, run=fail)
    assert "was deleted" in caught.value.what
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    stub.stubbers["iam"].assert_no_pending_responses()


def test_no_text_of_a_key_has_its_secret() -> None:
    assert "canary" not in repr(KEY) + str(KEY)


def test_without_the_aws_cli_nothing_is_stored(stub: StubbedAws) -> None:
    with pytest.raises(UsageError, match="AWS CLI is not installed"):
        store_key(stub.aws, KEY, {"PATH": "/nowhere"})


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "a/b", "ä"])
def test_a_name_that_iam_would_refuse_is_refused_at_once(name: str) -> None:
    with pytest.raises(UsageError):
        check_user_name(name)

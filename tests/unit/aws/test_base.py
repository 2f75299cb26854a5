"""The base stack as runs rely on it: there, complete, new enough, and not about to change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dayfly.aws.base import _OUTPUTS, load_base
from dayfly.errors import AwsError
from tests.unit.aws.stubbed import NOW, StubbedAws, stubbed_aws

STACK = "arn:aws:cloudformation:eu-central-1:123456789012:stack/dayfly-demo/1"


@pytest.fixture
def stub() -> Iterator[StubbedAws]:
    with stubbed_aws() as stubbed:
        yield stubbed


def stands(stub: StubbedAws, status: str, *, version: str = "2") -> None:
    outputs = [{"OutputKey": key, "OutputValue": key.lower()} for key in _OUTPUTS.values()]
    outputs += [
        {"OutputKey": "Version", "OutputValue": version},
        {"OutputKey": "SubnetIds", "OutputValue": "subnet-0a"},
    ]
    stack = {"StackId": STACK, "StackName": "dayfly-demo", "CreationTime": NOW, "StackStatus": status}
    stub.answer("cloudformation", "describe_stacks", {"Stacks": [{**stack, "Outputs": outputs}]})


@pytest.mark.parametrize(
    "status",
    [
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "IMPORT_COMPLETE",
    ],
)
def test_a_base_stack_at_rest_is_relied_on(stub: StubbedAws, status: str) -> None:
    stands(stub, status)
    assert load_base(stub.aws, "demo").status == status


@pytest.mark.parametrize(
    "status", ["UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"]
)
def test_while_it_is_changed_no_machine_is_made(stub: StubbedAws, status: str) -> None:
    """Its roles may be gone before the machine is, and nothing but they can end it."""
    stands(stub, status)
    with pytest.raises(AwsError, match=status) as caught:
        load_base(stub.aws, "demo")
    assert "Wait" in caught.value.hint


@pytest.mark.parametrize("status", ["DELETE_FAILED", "UPDATE_ROLLBACK_FAILED", "ROLLBACK_COMPLETE"])
def test_when_half_of_it_is_gone_no_machine_is_made(stub: StubbedAws, status: str) -> None:
    stands(stub, status)
    with pytest.raises(AwsError, match=status) as caught:
        load_base(stub.aws, "demo")
    assert "dayfly cloud doctor" in caught.value.hint


def test_an_older_one_is_to_be_brought_up_to_date(stub: StubbedAws) -> None:
    stands(stub, "CREATE_COMPLETE", version="0")
    with pytest.raises(AwsError, match="version 0") as caught:
        load_base(stub.aws, "demo")
    assert "dayfly cloud up" in caught.value.hint

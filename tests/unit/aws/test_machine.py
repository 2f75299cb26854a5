"""A machine as a value: what its stack is given, and what is said when there can be none."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dayfly.aws.base import BaseStack
from dayfly.aws.machine import MachinePlan, lacks_capacity
from dayfly.aws.names import Task
from dayfly.aws.template import load_template
from dayfly.backends.ec2_target import run_parameters
from dayfly.runs.request import ContainerUser, ImageSource, SnapshotSource
from tests.unit.machine_runs import source
from tests.unit.support import NOW, RUN_ID, make_request

DIGEST = f"sha256:{'a' * 64}"
DEADLINE = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)


def make_base(**changes: object) -> BaseStack:
    fields: dict[str, object] = {
        "project": "demo",
        "region": "eu-central-1",
        "account": "123456789012",
        "stack_id": "arn:aws:cloudformation:eu-central-1:123456789012:stack/dayfly-demo/1",
        "status": "CREATE_COMPLETE",
        "version": 1,
        "bucket": "dayfly-demo-123456789012-eu-central-1",
        "repository_uri": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/dayfly/demo",
        "cloudformation_role_arn": "arn:aws:iam::123456789012:role/dayfly-demo-eu-central-1-cloudformation",
        "scheduler_role_arn": "arn:aws:iam::123456789012:role/dayfly-demo-eu-central-1-scheduler",
        "schedule_group": "dayfly-demo",
        "run_profile": "dayfly-demo-eu-central-1-run",
        "access_profile": "dayfly-demo-eu-central-1-access",
        "build_profile": "dayfly-demo-eu-central-1-build",
        "lab_profile": "dayfly-demo-eu-central-1-lab",
        "launch_template": "lt-0a",
        "launch_template_version": "3",
        "access_launch_template": "lt-0b",
        "access_launch_template_version": "4",
        "vpc_id": "vpc-0a",
        "subnet_ids": ("subnet-0a", "subnet-0b"),
        "key_name": "dayfly-demo",
        "elastic_ip_allocation": "eipalloc-0a",
    }
    return BaseStack(**{**fields, **changes})  # type: ignore[arg-type]


def make_plan(task: Task = "run", **changes: object) -> MachinePlan:
    fields: dict[str, object] = {
        "machine_id": RUN_ID,
        "task": task,
        "base": make_base(),
        "owner": "ada",
        "instance_type": "m7i.large",
        "ami": "ami-0a",
        "root_device": "/dev/xvda",
        "spot": False,
        "disk_gib": 30,
        "access": False,
        "subnet_ids": ("subnet-0a", "subnet-0b"),
        "boot_budget_s": 900.0,
        "deadline": DEADLINE,
    }
    return MachinePlan(**{**fields, **changes})  # type: ignore[arg-type]


def make_run_parameters(**changes: Any) -> dict[str, str]:
    request = make_request(
        backend="ec2",
        snapshot=SnapshotSource(commit="c" * 40, tree="d" * 40, checkout="/dayfly/project"),
        image=ImageSource(
            tag="repo:tag",
            id=f"repo@{DIGEST}",
            key="k",
            platform="linux/amd64",
            user=ContainerUser(uid=1000, gid=100, name="jovyan", home="/home/jovyan"),
        ),
        machine=source(instance_type="m7i.large", deadline=DEADLINE),
        **changes,
    )
    return run_parameters(request, hold_s=0, notify=False)


def test_a_runs_stack_is_given_what_the_template_asks_for_and_nothing_else() -> None:
    declared = load_template("machine").parameters
    given = make_plan(work=make_run_parameters()).parameters(1)
    required = {name for name, one in declared.items() if "Default" not in one}
    assert required <= set(given) <= set(declared)


def test_every_value_of_a_run_is_one_that_the_template_allows() -> None:
    import re

    declared = load_template("machine").parameters
    given = make_plan(
        work=make_run_parameters(cpus=2.5, memory_bytes=4_000_000_000, gpus="all"), ssh_cidr="203.0.113.7/32"
    ).parameters(2)
    for name, value in given.items():
        pattern = declared[name].get("AllowedPattern")
        assert pattern is None or re.fullmatch(pattern, value), name
        assert value in declared[name].get("AllowedValues", [value]), name


def test_each_attempt_has_a_stack_and_a_subnet_of_its_own() -> None:
    plan = make_plan()
    assert [plan.stack_name(attempt) for attempt in (1, 2)] == [
        f"dayfly-demo--{RUN_ID}",
        f"dayfly-demo--{RUN_ID}-2",
    ]
    assert [plan.parameters(attempt)["SubnetId"] for attempt in (1, 2)] == ["subnet-0a", "subnet-0b"]


@pytest.mark.parametrize(
    ("task", "access", "profile"),
    [
        ("run", False, "dayfly-demo-eu-central-1-run"),
        ("run", True, "dayfly-demo-eu-central-1-access"),
        ("build", False, "dayfly-demo-eu-central-1-build"),
        ("build", True, "dayfly-demo-eu-central-1-build"),
        ("lab", False, "dayfly-demo-eu-central-1-lab"),
    ],
)
def test_each_task_has_a_role_of_its_own(task: Task, access: bool, profile: str) -> None:
    assert make_plan(task, access=access).parameters(1)["InstanceProfile"] == profile


def test_the_metadata_service_is_within_a_notebooks_reach_only_where_it_was_asked_for() -> None:
    assert make_plan().parameters(1)["LaunchTemplateId"] == "lt-0a"
    assert make_plan(access=True).parameters(1)["LaunchTemplateId"] == "lt-0b"


def test_without_ssh_there_is_no_key_no_address_and_no_open_port() -> None:
    closed, opened = make_plan().parameters(1), make_plan(ssh_cidr="203.0.113.7/32").parameters(1)
    names = ("KeyName", "SshCidr", "ElasticIpAllocation")
    assert [closed[name] for name in names] == ["", "", ""]
    assert [opened[name] for name in names] == ["dayfly-demo", "203.0.113.7/32", "eipalloc-0a"]


def test_the_deadline_is_in_the_tags_and_the_parameters_the_same() -> None:
    plan = make_plan(deadline=NOW + timedelta(hours=1))
    given = plan.parameters(1)
    assert plan.tags["dayfly:deadline"] == given["Deadline"] == "2026-11-23T11:15:02Z"
    assert int(given["DeadlineEpoch"]) == (NOW + timedelta(hours=1)).timestamp()


@pytest.mark.parametrize(
    "said",
    [
        "We currently do not have sufficient m7i.large capacity in the Availability Zone you requested",
        "There is no Spot capacity available that matches your request.",
        "Insufficient capacity.",
        "Your requested instance type (p5.48xlarge) is not supported in your requested Availability Zone",
    ],
)
def test_a_zone_without_capacity_is_told_from_other_failures(said: str) -> None:
    assert lacks_capacity(said)
    assert not lacks_capacity("You have requested more vCPU capacity than your current vCPU limit of 32")

"""`dayfly cloud up --batch` against the emulated AWS: what stands then, and that it is idle."""

from __future__ import annotations

from dayfly.aws.base import load_base
from dayfly.aws.batch_cost import MOST_ATTEMPTS
from dayfly.aws.batch_submit import RETRIED
from dayfly.aws.client import Aws
from tests.cloud.stacks import PROJECT, base_stack


def test_a_base_stack_without_batch_has_nothing_of_it(aws: Aws) -> None:
    base = base_stack(aws)
    assert (base.batch_queue, base.batch_job_definition) == ("", "")
    assert aws.batch.describe_job_queues()["jobQueues"] == []


def test_with_batch_there_are_two_queues_that_scale_to_zero(aws: Aws) -> None:
    base_stack(aws, Batch="true", BatchMaxVcpus="16")
    base = load_base(aws, PROJECT)
    queues = aws.batch.describe_job_queues(jobQueues=[base.batch_queue, base.batch_spot_queue])["jobQueues"]
    assert [one["jobQueueName"] for one in queues] == ["dayfly-rehearsal", "dayfly-rehearsal-spot"]
    found = aws.batch.describe_compute_environments()["computeEnvironments"]
    resources = {one["computeResources"]["type"]: one["computeResources"] for one in found}
    assert set(resources) == {"EC2", "SPOT"}
    for one in resources.values():
        assert (int(one["minvCpus"]), int(one["maxvCpus"])) == (0, 16)
        assert one["tags"] == {"dayfly:project": PROJECT, "dayfly:task": "sweep"}
    [model] = aws.batch.describe_job_definitions(jobDefinitions=[base.batch_job_definition])["jobDefinitions"]
    assert model["containerProperties"]["jobRoleArn"] == base.batch_job_role_arn
    assert model["retryStrategy"]["evaluateOnExit"] == list(RETRIED), "submissions say the same"
    assert model["retryStrategy"]["attempts"] == MOST_ATTEMPTS

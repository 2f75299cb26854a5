"""The checks of `dayfly cloud doctor` that look into AWS. Each is independent of the others."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from dayfly.aws.batch_jobs import list_open_jobs
from dayfly.aws.cache import Cache
from dayfly.aws.doctor import Check, Finding, Patient, note, ok, wrong
from dayfly.aws.ecr import find_repository_image, list_repository_images
from dayfly.aws.image_records import find_image_record
from dayfly.aws.names import OWNER_TAG, Role, role_name
from dayfly.aws.quotas import count_running_vcpus, load_quota, quota_for
from dayfly.aws.reap_plan import SLACK, deadline_in, machine_stacks
from dayfly.aws.teardown import find_end
from dayfly.errors import AwsError

PROBE = "status/doctor"
"""Where the write probe writes. A run's status has a run id for its name, so no listing takes it for one."""
_UNSTICK = (
    "Past its deadline: dayfly cloud reap; before: "
    "aws cloudformation delete-stack --deletion-mode FORCE_DELETE_STACK --stack-name {name}"
)
_REMAKE = "Take the base stack down and up again, data stays: dayfly cloud down, dayfly cloud up"
_USUAL_TYPE = "m7i.large"
_LEAST_VCPUS = Decimal(2)


def cloud_checks(patient: Patient, cache: Cache, image_key: str | None) -> list[tuple[str, Check]]:
    """The checks by name. `image_key` is that of the project's image, None where it cannot be known."""
    return [
        ("bucket", lambda: _bucket(patient)),
        ("image", lambda: _image(patient, image_key)),
        ("network", lambda: _network(patient)),
        ("deadlines", lambda: _deadlines(patient)),
        ("roles", lambda: _roles(patient)),
        ("launch templates", lambda: _launch_templates(patient)),
        ("quota", lambda: _quota(patient, cache)),
        ("machines", lambda: _machines(patient)),
        *([("sweeps", lambda: _sweeps(patient))] if patient.base.batch_queue else []),
    ]


def _bucket(patient: Patient) -> Sequence[Finding]:
    bucket = patient.base.bucket
    try:
        patient.aws.s3.put_object(Bucket=bucket, Key=PROBE, Body=patient.aws.now().isoformat().encode())
        patient.aws.s3.get_object(Bucket=bucket, Key=PROBE)["Body"].read()
    except AwsError as error:
        if error.code == "NoSuchBucket":
            return [wrong("bucket", f"There is no bucket {bucket}.", "Make it again: dayfly cloud up")]
        mend = error.hint or "Look at the bucket's policy, and at: dayfly cloud policy user"
        return [wrong("bucket", f"{bucket} cannot be written and read. {error.what}", mend)]
    return [ok("bucket", f"{bucket} can be written and read")]


def _image(patient: Patient, key: str | None) -> Sequence[Finding]:
    aws, base = patient.aws, patient.base
    mend = "Build it on a machine: dayfly image build --on ec2; or push it: dayfly image push"
    if key is None:
        count = len(list_repository_images(aws, base))
        return [note("image", f"The project's files name no image; {count} in the repository.", mend)]
    record = find_image_record(patient.store, key)
    if record is None:
        return [wrong("image", f"The project's image, of key {key[:16]}, has not been pushed.", mend)]
    if find_repository_image(aws, base, digest=record.digest) is None:
        return [wrong("image", f"The image {record.tag} has been removed from the repository.", mend)]
    return [ok("image", f"{record.tag} is in the repository")]


def _sweeps(patient: Patient) -> Sequence[Finding]:
    """Batch's queues and machines-to-be, where the base stack has them, and jobs past their deadline."""
    aws, base = patient.aws, patient.base
    names = [queue.rpartition("/")[2] for queue in (base.batch_queue, base.batch_spot_queue)]
    environments = aws.batch.describe_compute_environments(computeEnvironments=names)["computeEnvironments"]
    for one in environments:
        if one.get("status") != "VALID" or one.get("state") != "ENABLED":
            what = f"Batch's {one['computeEnvironmentName']} is {one.get('status')}, {one.get('state')}. "
            return [
                wrong("sweeps", what + one.get("statusReason", ""), "Bring it up to date: dayfly cloud up")
            ]
    if len(environments) < len(names):
        return [wrong("sweeps", "A compute environment of Batch is gone.", _REMAKE)]
    jobs = list_open_jobs(aws, patient.project)
    late = [one for one in jobs if (end := deadline_in(one.tags)) is not None and aws.now() > end + SLACK]
    if late:
        return [wrong("sweeps", f"{late[0].name} is past its deadline.", "End it: dayfly cloud reap")]
    return [ok("sweeps", f"two queues, {len(jobs)} job{'s' * (len(jobs) != 1)} in them")]


def _network(patient: Patient) -> Sequence[Finding]:
    base = patient.base
    found = patient.aws.ec2.describe_subnets(SubnetIds=list(base.subnet_ids))["Subnets"]
    free = sum(one["AvailableIpAddressCount"] for one in found)
    private = [one["SubnetId"] for one in found if not one.get("MapPublicIpOnLaunch")]
    if len(private) == len(found):
        return [
            note(
                "network",
                f"No subnet of {base.vpc_id} gives public addresses.",
                "That is well where a NAT gateway or endpoints lead to S3, ECR, CloudFormation and SSM.",
            )
        ]
    if free == 0:
        mend = "Name others: dayfly cloud up --network"
        return [wrong("network", "The subnets have no free addresses.", mend)]
    zones = len({one["AvailabilityZone"] for one in found})
    return [ok("network", f"{base.vpc_id}, {len(found)} subnets in {zones} zones")]


def _deadlines(patient: Patient) -> Sequence[Finding]:
    group = patient.base.schedule_group
    try:
        state = patient.aws.scheduler.get_schedule_group(Name=group)["State"]
    except AwsError as error:
        if error.code != "ResourceNotFoundException":
            raise
        state = "DELETING"  # or gone
    if state != "ACTIVE":
        what = f"The schedule group {group} is gone or going: no deadline can be armed."
        return [wrong("deadlines", what, _REMAKE)]
    return [ok("deadlines", f"schedule group {group}")]


def _roles(patient: Patient) -> Sequence[Finding]:
    roles: tuple[Role, ...] = ("cloudformation", "scheduler", "run")
    for role in roles:
        name = role_name(patient.project, patient.aws.region, role)
        try:
            patient.aws.iam.get_role(RoleName=name)
        except AwsError as error:
            if error.code == "NoSuchEntity":
                return [wrong("roles", f"There is no role {name}.", _REMAKE)]
            raise
    return [ok("roles", "CloudFormation's, the scheduler's, and that of runs")]


def _launch_templates(patient: Patient) -> Sequence[Finding]:
    base = patient.base
    try:
        found = patient.aws.ec2.describe_launch_templates(
            LaunchTemplateIds=[base.launch_template, base.access_launch_template]
        )["LaunchTemplates"]
    except AwsError as error:
        if not error.code.startswith("InvalidLaunchTemplate"):
            raise
        return [wrong("launch templates", error.message, _REMAKE)]
    if len(found) < len({base.launch_template, base.access_launch_template}):
        return [wrong("launch templates", "One of the two is gone.", _REMAKE)]
    return [ok("launch templates", "both there")]


def _quota(patient: Patient, cache: Cache) -> Sequence[Finding]:
    quota = quota_for(_USUAL_TYPE, spot=False)
    if quota is None:
        return []
    allowed = load_quota(patient.aws, cache, quota, account=patient.identity.account)
    used = count_running_vcpus(patient.aws, quota)
    what = f"{used} of {int(allowed)} vCPUs in use ({quota.families})"
    if allowed - used < _LEAST_VCPUS:
        return [wrong("quota", what, f"Ask AWS for more: {quota.link}")]
    return [ok("quota", what)]


def _machines(patient: Patient) -> Sequence[Finding]:
    """Stacks that are stuck, and machines that should be gone."""
    stacks = machine_stacks(patient.aws, patient.project)
    findings = []
    for stack in stacks:
        deadline = deadline_in(stack.tags)
        owner = stack.tags.get(OWNER_TAG, "somebody")
        if stack.status == "DELETE_FAILED":
            end = find_end(patient.aws, stack.stack_id)
            what = f"{stack.name} cannot be deleted: {end.why}"
            findings.append(wrong("stuck stack", what, _UNSTICK.format(name=stack.name)))
        elif deadline is not None and patient.aws.now() >= deadline + SLACK:
            what = f"{stack.name}, of {owner}, is past its deadline and still there ({stack.status})."
            findings.append(wrong("overdue machine", what, "End it: dayfly cloud reap"))
    return [*findings, ok("machines", f"{len(stacks)} alive" if stacks else "none alive")]

"""The faults by name."""

from __future__ import annotations

from dayfly.errors import UsageError
from dayfly.rehearsal.faults import deeds
from dayfly.rehearsal.faults.fault import Fault, When

_ALWAYS: tuple[When, ...] = ("cell", "boot", "pull", "end")
_RUNNING: tuple[When, ...] = ("cell", "end")
_S3_DOWN_S = 20.0

_FAULTS = (
    # What happens around the machine, before there is one.
    Fault(
        name="no-capacity",
        row=31,
        says="no zone has such a machine to spare",
        when=("submit",),
        inject=deeds.no_capacity,
        heal=deeds.heal_calls,
    ),
    Fault(
        name="quota",
        row=31,
        says="the account may have no more processors",
        when=("submit",),
        inject=deeds.quota,
        heal=deeds.heal_calls,
    ),
    Fault(
        name="deadline-not-armed",
        row=34,
        says="EventBridge Scheduler refuses the schedule",
        when=("submit",),
        inject=deeds.call_fails("scheduler:CreateSchedule", kind="deny"),
        heal=deeds.heal_calls,
    ),
    Fault(
        name="api-throttled",
        row=38,
        says="the first three calls of CloudFormation and of the scheduler are throttled",
        when=("submit",),
        inject=deeds.control_plane_throttled,
        heal=deeds.heal_calls,
    ),
    # The boot.
    Fault(
        name="user-data-never-runs",
        row=12,
        says="the machine boots and never looks at its user data",
        when=("boot",),
        inject=deeds.user_data_never_runs,
    ),
    Fault(
        name="metadata-down",
        row=23,
        says="the metadata service answers nobody",
        when=("boot",),
        inject=deeds.metadata_down,
        heal=deeds.metadata_up,
    ),
    Fault(
        name="docker-daemon-hangs",
        row=14,
        says="the machine's Docker daemon stands still",
        when=("boot", "cell"),
        inject=deeds.hang_engine,
    ),
    Fault(
        name="pull-throttled",
        row=15,
        says="the image registry answers 429 three times",
        when=("boot",),
        inject=deeds.throttle_pulls,
    ),
    Fault(
        name="disk-full-at-pull",
        row=17,
        says="the image does not fit onto the machine's disk",
        when=("boot",),
        inject=deeds.small_images_disk,
    ),
    # The run.
    Fault(
        name="out-of-memory",
        row=3,
        says="the notebook's memory limit is reached",
        when=("cell",),
        inject=deeds.out_of_memory,
    ),
    Fault(
        name="runner-killed",
        row=8,
        says="the runner is killed",
        when=_RUNNING,
        inject=deeds.kill_runner,
    ),
    Fault(
        name="docker-stop",
        row=9,
        says="somebody stops the notebook's container",
        when=_RUNNING,
        inject=deeds.stop_notebook,
    ),
    Fault(
        name="disk-full",
        row=18,
        says="the disk on which the run directory lies is full",
        when=_RUNNING,
        prepare=deeds.small_work_disk,
        inject=deeds.fill_work_disk,
    ),
    Fault(
        name="supervisor-killed",
        row=19,
        says="the boot script is killed",
        when=("cell", "pull", "end"),
        inject=deeds.kill_supervisor,
    ),
    Fault(
        name="keeper-killed",
        row=None,
        says="the keeper, which saves the run, is killed",
        when=_RUNNING,
        inject=deeds.kill_keeper,
    ),
    Fault(
        name="freeze",
        row=20,
        says="every process of the machine stands still",
        when=_ALWAYS,
        inject=deeds.freeze,
    ),
    Fault(
        name="spot-notice",
        row=21,
        says="AWS takes the machine away in two minutes, and says so",
        when=_RUNNING,
        inject=deeds.spot_notice,
    ),
    Fault(
        name="power-cut",
        row=22,
        says="the machine is gone without a word",
        when=_ALWAYS,
        inject=deeds.power_cut,
    ),
    Fault(
        name="credentials-rotate",
        row=24,
        says="the machine's credentials live for a minute",
        when=("boot",),
        inject=deeds.short_credentials,
    ),
    Fault(
        name="network-flaps",
        row=29,
        says="packets between machine and AWS are dropped for four seconds, three times",
        when=_ALWAYS,
        inject=deeds.flap_network,
    ),
    Fault(
        name="s3-503",
        row=26,
        says=f"S3 answers 503 (slow down) for {_S3_DOWN_S:g} seconds",
        when=_ALWAYS,
        inject=deeds.call_fails("s3:*", status=503, code="SlowDown"),
        heal=deeds.heal_calls,
        lasts_s=_S3_DOWN_S,
    ),
    Fault(
        name="s3-denied",
        row=27,
        says="S3 denies everything",
        when=("submit", *_ALWAYS),
        inject=deeds.call_fails("s3:*", kind="deny"),
        heal=deeds.heal_calls,
    ),
    # The end.
    Fault(
        name="s3-down-at-end",
        row=28,
        says="S3 answers 503 and never comes back",
        when=("end", "cell"),
        inject=deeds.call_fails("s3:*", status=503, code="ServiceUnavailable"),
        heal=deeds.heal_calls,
    ),
    Fault(
        name="self-deletion-denied",
        row=35,
        says="the machine may not delete its stack",
        when=_ALWAYS,
        inject=deeds.call_fails("cloudformation:DeleteStack", kind="deny", times=1),
        heal=deeds.heal_calls,
    ),
    Fault(
        name="stack-delete-failed",
        row=36,
        says="CloudFormation cannot delete the machine's security group",
        when=_ALWAYS,
        inject=deeds.stack_stands,
        heal=deeds.stack_goes,
    ),
)
_BY_NAME = {fault.name: fault for fault in _FAULTS}


def list_faults() -> tuple[Fault, ...]:
    """All of them, in the order in which a run would meet them."""
    return _FAULTS


def find_fault(name: str) -> Fault:
    """The fault of this name. Raises UsageError for none."""
    if name not in _BY_NAME:
        raise UsageError(f"There is no fault {name!r}.", hint="See them with: dayfly rehearse --fault list")
    return _BY_NAME[name]

"""How each fault is made: by signals in the machine, by its engine and network, and by the emulated AWS."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

from dayfly.rehearsal.emulator import RehearsalError
from dayfly.rehearsal.faults.fault import Deed, Struck

SPOT_NOTICE_S = 120.0
CREDENTIALS_S = 60
_THROTTLED = 3
_PYTHON = ("/opt/emulator/bin/python", "-P", "-c")
_WORK = "/var/lib/dayfly"
_FLAPS = 3
_KNOWN_WITHIN_S = 10.0
_FLAP_S = 4


def call_fails(operation: str, *, kind: str = "fail", times: int = -1, **how: object) -> Deed:
    """Calls like `operation` go wrong in the emulated AWS, `times` times or for ever (-1)."""

    def inject(struck: Struck) -> None:
        body = {"operation": operation, "kind": kind, "times": times, **how}
        struck.rehearsal.around.emulator.ask("POST", "/_dayfly/faults", body)

    return inject


def control_plane_throttled(struck: Struck) -> None:
    """CloudFormation and the scheduler are asked too often, three calls long each."""
    for service in ("cloudformation", "scheduler"):
        call_fails(f"{service}:*", kind="throttle", times=_THROTTLED)(struck)


def heal_calls(struck: Struck) -> None:
    """No call goes wrong any more."""
    struck.rehearsal.around.emulator.heal()


def no_capacity(struck: Struck) -> None:
    """No zone has any machine to spare."""
    struck.rehearsal.around.emulator.no_capacity()


def quota(struck: Struck) -> None:
    """The account may have no processor of a standard type."""
    struck.rehearsal.around.emulator.quota("L-1216C47A", 0)


def stack_stands(struck: Struck) -> None:
    """CloudFormation's role may not delete security groups any more."""
    rehearsal = struck.rehearsal
    denied = {"Effect": "Deny", "Action": "ec2:DeleteSecurityGroup", "Resource": "*"}
    rehearsal.aws.iam.put_role_policy(
        RoleName=rehearsal.base.cloudformation_role_arn.rpartition("/")[2],
        PolicyName="rehearsed-fault",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [denied]}),
    )


def stack_goes(struck: Struck) -> None:
    """It may again."""
    rehearsal = struck.rehearsal
    role = rehearsal.base.cloudformation_role_arn.rpartition("/")[2]
    rehearsal.aws.iam.delete_role_policy(RoleName=role, PolicyName="rehearsed-fault")


def user_data_never_runs(struck: Struck) -> None:
    """The unit of cloud-init that runs user data is masked, as soon as systemd can be spoken with."""
    struck.inside(
        "ln -sf /dev/null /run/systemd/system/cloud-final.service;"
        "until systemctl daemon-reload 2>/dev/null; do sleep 0.1; done"
    )


def metadata_down(struck: Struck) -> None:
    """The metadata service answers nobody."""
    struck.rehearsal.around.tell(do="metadata", answers=False)


def metadata_up(struck: Struck) -> None:
    """It answers again."""
    struck.rehearsal.around.tell(do="metadata", answers=True)


def spot_notice(struck: Struck) -> None:
    """AWS takes the machine away in two minutes, and says so."""
    at = (datetime.now(UTC) + timedelta(seconds=SPOT_NOTICE_S)).strftime("%Y-%m-%dT%H:%M:%SZ")
    _tell_of_machine(struck, do="spot", time=at)


def short_credentials(struck: Struck) -> None:
    """The role's credentials live for a minute; new ones are there after half of it."""
    _tell_of_machine(struck, do="credentials", lifetime_s=CREDENTIALS_S)


def _tell_of_machine(struck: Struck, **what: object) -> None:
    """Tell the metadata service of a machine that may have been switched on this moment.

    Raises RehearsalError.
    """
    give_up = time.monotonic() + _KNOWN_WITHIN_S
    while True:
        try:
            struck.rehearsal.around.tell(address=struck.the_machine.address, **what)
        except RehearsalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)
        else:
            return


def power_cut(struck: Struck) -> None:
    """The machine is gone, and had no time to say a word."""
    struck.rehearsal.around.docker.run(["kill", struck.the_machine.container])


def freeze(struck: Struck) -> None:
    """Every process of the machine stands still.

    By signal, too: the containers in it are in control groups of their own.
    """
    struck.inside("kill -STOP -1")
    struck.rehearsal.around.docker.run(["pause", struck.the_machine.container])


def kill_keeper(struck: Struck) -> None:
    """SIGKILL to the keeper's container."""
    struck.inside(f"docker kill dayfly-{struck.the_machine.run_id}-keeper")


def kill_runner(struck: Struck) -> None:
    """SIGKILL to the first process of the notebook's container."""
    name = f"dayfly-{struck.the_machine.run_id}"
    struck.inside(f"kill -KILL $(docker inspect --format '{{{{.State.Pid}}}}' {name})")


def kill_supervisor(struck: Struck) -> None:
    """SIGKILL to boot.sh."""
    struck.inside("kill -KILL $(systemctl show --property MainPID --value dayfly-machine.service)")


def stop_notebook(struck: Struck) -> None:
    """`docker stop`, as somebody with a shell on the machine might."""
    struck.inside(f"docker stop dayfly-{struck.the_machine.run_id}", in_background=True)


def hang_engine(struck: Struck) -> None:
    """SIGSTOP to dockerd, as soon as there is one."""
    struck.inside("until pid=$(pidof dockerd); do sleep 0.02; done; kill -STOP $pid", in_background=True)


def small_images_disk(struck: Struck) -> None:
    """The disk on which the engine keeps images has 96 MB."""
    struck.inside("mount -t tmpfs -o size=96m tmpfs /var/lib/docker")


def small_work_disk(struck: Struck) -> None:
    """The disk on which the run directory lies has 24 MB."""
    struck.inside(f"mkdir -p {_WORK} && mount -t tmpfs -o size=24m,mode=755 tmpfs {_WORK}")


def fill_work_disk(struck: Struck) -> None:
    """Somebody else has filled it, and goes on doing so."""
    fill = f"cat /dev/zero >>{_WORK}/full 2>/dev/null"
    struck.inside(f"{fill} || true")
    struck.inside(f"while :; do {fill} || true; sleep 0.2; done", in_background=True)


def out_of_memory(struck: Struck) -> None:
    """The notebook's container may have eight more megabytes than it has now."""
    name = f"dayfly-{struck.the_machine.run_id}"
    used = "-name memory.usage_in_bytes -o -name memory.current"  # of control groups, version 1 and 2
    struck.inside(
        f"id=$(docker inspect --format '{{{{.Id}}}}' {name});"
        f'file=$(find /sys/fs/cgroup -path "*$id*" \\( {used} \\) -print -quit);'
        "limit=$(($(<$file) + (8 << 20)));"
        f"docker update --memory $limit --memory-swap $limit {name}"
    )


def throttle_pulls(struck: Struck) -> None:
    """The registry answers 429 (too many requests) three times, to whatever the machine asks of it."""
    start = "import sys; sys.path.insert(0, '/opt/rehearsal'); from around.throttle import main; main()"
    struck.around(*_PYTHON, start, str(_THROTTLED), in_background=True)


def flap_network(struck: Struck) -> None:
    """Between machine and AWS, packets are dropped for four seconds, three times."""
    rule = ("INPUT", "--source", struck.the_machine.address, "--jump", "DROP")
    for _ in range(_FLAPS):
        struck.around("iptables", "--insert", *rule)
        time.sleep(_FLAP_S)
        struck.around("iptables", "--delete", *rule)
        time.sleep(_FLAP_S / 2)

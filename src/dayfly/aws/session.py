"""Ways into a machine: a session of Systems Manager, or SSH where the machine was started with it.

Nothing here starts a program: these are the argument lists, and the lines for `~/.ssh/config`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dayfly.aws.client import Aws
from dayfly.aws.stacks import Stack
from dayfly.errors import RunConflictError, UsageError

PLUGIN = "session-manager-plugin"
PLUGIN_PAGE = (
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/"
    "session-manager-working-with-install-plugin.html"
)
CLI_PAGE = "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"
_USERS = {"debian": "admin", "ubuntu": "ubuntu"}
_USER = "ec2-user"
"""Of Amazon Linux, and of what is made from it."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A machine that one can log in to. `address` is where SSH reaches it; empty without SSH."""

    machine_id: str
    instance_id: str
    region: str
    profile: str | None = None
    address: str = ""
    key_name: str = ""
    """The key pair that its sshd knows; empty: nobody can log in by SSH."""
    user: str = _USER

    @property
    def host(self) -> str:
        """What it is called in `~/.ssh/config`."""
        return f"dayfly-{self.machine_id}"


def find_target(aws: Aws, stack: Stack, machine_id: str) -> Target:
    """How the machine of a stack is reached; two calls at most. Raises RunConflictError when it is gone."""
    instance_id = stack.outputs.get("InstanceId", "")
    ended = stack.status.startswith("DELETE_")
    if not instance_id or ended:
        raise RunConflictError(
            f"The machine of {machine_id} cannot be entered: its stack is {stack.status}.",
            why=stack.reason or ("It has ended." if ended else "It is being made."),
            hint=f"See more with: dayfly show {machine_id}",
        )
    target = Target(
        machine_id=machine_id,
        instance_id=instance_id,
        region=aws.region,
        profile=aws.profile,
        key_name=stack.parameters.get("KeyName", ""),
    )
    if not target.key_name:
        return target
    reservations = aws.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    instance = reservations[0]["Instances"][0]
    images = aws.ec2.describe_images(ImageIds=[instance["ImageId"]])["Images"]
    names = [one.get("Name", "") for one in images if one.get("ImageId") == instance["ImageId"]]
    return replace(
        target,
        address=instance.get("PublicIpAddress", "") if stack.parameters.get("SshCidr") else "",
        user=user_of(names[0] if names else ""),
    )


def user_of(image_name: str) -> str:
    """Who logs in to a machine of this AMI, by the AMI's name."""
    name = image_name.lower()
    return next((user for system, user in _USERS.items() if system in name), _USER)


def ssm_argv(target: Target, command: Sequence[str] = ()) -> list[str]:
    """A session through Systems Manager, as ssm-user: no port is open, AWS's permissions decide."""
    argv = [*_start_session(target), "--target", target.instance_id]
    if command:
        parameters = json.dumps({"command": [shlex.join(command)]})
        argv += ["--document-name", "AWS-StartNonInteractiveCommand", "--parameters", parameters]
    return argv


def ssh_argv(
    target: Target, command: Sequence[str] = (), *, known_hosts: Path, identity: Path | None = None
) -> list[str]:
    """SSH to the machine's own address; its key is kept at the first visit and compared at the next.

    Raises UsageError for a machine that was started without SSH.
    """
    if not target.address:
        raise UsageError(
            f"The machine of {target.machine_id} was started without SSH.",
            hint=f"Enter it through Systems Manager: dayfly ssh {target.machine_id}\n"
            "or start the next one with: dayfly run --on ec2 --ssh auto",
        )
    argv = ["ssh"]
    for option in _options(target, known_hosts):
        argv += ["-o", option]
    if identity is not None:
        argv += ["-i", str(identity)]
    argv += ["--", f"{target.user}@{target.address}"]
    return [*argv, shlex.join(command)] if command else argv


def config_lines(target: Target, *, known_hosts: Path, identity: Path | None = None) -> list[str]:
    """What `~/.ssh/config` needs for `ssh`, `scp`, `rsync` and editors to reach the machine.

    By its address where it has SSH, else through Systems Manager. Raises UsageError when it knows no key.
    """
    if not target.key_name:
        raise UsageError(
            f"The machine of {target.machine_id} knows no SSH key.",
            why="Its base stack has none, or it was started without.",
            hint="Give the project one with: dayfly cloud up --ssh-key ~/.ssh/id_ed25519.pub\n"
            f"This machine is entered with: dayfly ssh {target.machine_id}",
        )
    lines = [f"Host {target.host}", f"  User {target.user}"]
    if target.address:
        lines.append(f"  HostName {target.address}")
    else:
        through = [*_start_session(target), "--target", "%h", "--document-name", "AWS-StartSSHSession"]
        proxy = shlex.join([*through, "--parameters", "portNumber=%p"])
        lines += [f"  HostName {target.instance_id}", f"  ProxyCommand {proxy}"]
    lines += [f"  {option.replace('=', ' ', 1)}" for option in _options(target, known_hosts)]
    if identity is not None:
        lines.append(f"  IdentityFile {_quoted(identity)}")
    return lines


def _start_session(target: Target) -> list[str]:
    profile = ["--profile", target.profile] if target.profile else []
    return ["aws", "ssm", "start-session", "--region", target.region, *profile]


def _options(target: Target, known_hosts: Path) -> list[str]:
    """An address is given to another machine later, an instance's id never: the host key is kept by that."""
    return [
        f"HostKeyAlias={target.instance_id}",
        f"UserKnownHostsFile={_quoted(known_hosts)}",
        "StrictHostKeyChecking=accept-new",
    ]


def _quoted(path: Path) -> str:
    return f'"{path}"' if any(letter.isspace() for letter in str(path)) else str(path)

"""`dayfly rehearse --lab`: JupyterLab on a rehearsed machine, through a tunnel as on AWS."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dayfly.rehearsal.session import Rehearsal
    from dayfly.rehearsal.verdict import Verdict

KEY = "id_ed25519"
_HERE = "127.0.0.1"
"""Whom the machine's port 22 is opened to. Nothing in a rehearsal holds anybody else back."""


def make_key(folder: Path) -> Path:
    """A new key for SSH without a passphrase: the private one, with the public one beside it.

    Raises RehearsalError.
    """
    from dayfly.rehearsal.emulator import RehearsalError

    key = folder / KEY
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "rehearsal", "-f", str(key)]
    try:
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RehearsalError(
            "No key for SSH could be made.",
            why=str(error),
            hint="Install OpenSSH's client: the tunnel to a rehearsed lab is one of SSH.",
        ) from error
    return key


def perform_lab(
    rehearsal: Rehearsal, key: Path, *, port: int | None, browser: bool, commit: str | None, dirty: bool
) -> Verdict:
    """Work in JupyterLab until its user ends it, and judge what is left of its machine."""
    from dayfly.aws.labs import IDLE_S
    from dayfly.cli.lab_begin import LabFlags
    from dayfly.cli.lab_cloud import lab_on_machine
    from dayfly.rehearsal.verdict import judge

    flags = LabFlags(
        port=port,
        browser=browser,
        timeout_s=rehearsal.project.settings.timeout or 0.0,
        idle_s=IDLE_S,
        ssh=_HERE,
        identity=key,
        commit=commit,
        dirty=dirty,
        dry_run=False,
        yes=True,
    )
    lab_on_machine(rehearsal.project, flags)
    (machine,) = rehearsal.instances.machines.values()
    return judge(rehearsal, machine.run_id, ended_at=time.monotonic())

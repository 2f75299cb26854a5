"""Ending a run before its last cell: one decision, whoever makes it, and one way to carry it out.

Interrupt, then a grace, then kill. The first to ask decides the state; a second ask cuts the grace
short.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dayfly.runner.connection import KernelClient, interrupt, wait_for_exit
from dayfly.runner.launch import LaunchedKernel
from dayfly.runs.result import Reason
from dayfly.runs.state import State

STOP_POLL_S = 0.25
_SPOT_GRACE_S = 30.0
"""Of the two minutes that AWS gives; the rest is for saving."""


@dataclass(frozen=True, kw_only=True)
class Intent:
    """How the run is to end, and why, in words for people."""

    state: State
    reason: Reason
    message: str
    grace_s: float | None = None
    """The longest grace, in seconds, where the run's own may be too long."""


class Ending:
    """The end of one run, asked for or not."""

    def __init__(self, kernel: LaunchedKernel, grace_s: float) -> None:
        self._kernel = kernel
        self._grace_s = grace_s
        self._client: KernelClient | None = None
        self._task: asyncio.Task[None] | None = None
        self.intent: Intent | None = None
        self.killed = False

    @property
    def asked(self) -> bool:
        """Whether no further cell is to be executed."""
        return self.intent is not None

    def ready(self, client: KernelClient) -> None:
        """The kernel answers: from now on it can be interrupted rather than killed."""
        self._client = client

    def ask(self, intent: Intent) -> None:
        """End the run. The first intent stands; asking again kills the kernel at once."""
        if self.intent is None:
            self.intent = intent
            self._task = asyncio.get_running_loop().create_task(self._carry_out())
        else:
            self._kill()

    async def _carry_out(self) -> None:
        limit_s = self.intent.grace_s if self.intent is not None else None
        grace_s = self._grace_s if limit_s is None else min(self._grace_s, limit_s)
        if self._client is not None:
            for _ in range(2):  # an interrupt just before a cell begins is lost: send another
                await interrupt(self._client, self._kernel)
                if await wait_for_exit(self._kernel, grace_s / 2):
                    return
        self._kill()

    def _kill(self) -> None:
        self.killed = self.killed or self._kernel.alive()
        self._kernel.signal_group(signal.SIGKILL)

    async def settle(self) -> None:
        """The cells are done: nothing needs to be interrupted any more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task


async def watch_for_stop(file: Path, ask: Callable[[Intent], None]) -> None:
    """Ask for the end once, as the stop file says, when it appears in the run directory."""
    while not file.exists():  # noqa: ASYNC110, ASYNC240 -- another process makes the file; a stat is quick
        await asyncio.sleep(STOP_POLL_S)
    ask(read_stop(file))


def read_stop(file: Path) -> Intent:
    """How the run is to end by its stop file: taken back by AWS when that is its reason, else stopped."""
    try:
        asked = json.loads(file.read_bytes())
    except (OSError, ValueError):
        asked = None
    if isinstance(asked, dict) and asked.get("reason") == Reason.SPOT:
        return Intent(
            state=State.INTERRUPTED,
            reason=Reason.SPOT,
            message="AWS takes its spot machine back (two minutes after a notice); the run was ended before.",
            grace_s=_SPOT_GRACE_S,
        )
    return Intent(state=State.CANCELLED, reason=Reason.STOPPED, message="The run was stopped (dayfly stop).")

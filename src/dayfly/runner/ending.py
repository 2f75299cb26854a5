"""Ending a run before its last cell: one decision, whoever makes it, and one way to carry it out.

Interrupt, then a grace, then kill. The first to ask decides the state; a second ask cuts the grace
short.
"""

from __future__ import annotations

import asyncio
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


@dataclass(frozen=True, kw_only=True)
class Intent:
    """How the run is to end, and why, in words for people."""

    state: State
    reason: Reason
    message: str


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
        if self._client is not None:
            for _ in range(2):  # an interrupt just before a cell begins is lost: send another
                await interrupt(self._client, self._kernel)
                if await wait_for_exit(self._kernel, self._grace_s / 2):
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


async def watch_for_stop(file: Path, stop: Callable[[], None]) -> None:
    """Call `stop` once when the stop file appears in the run directory."""
    while not file.exists():  # noqa: ASYNC110, ASYNC240 -- another process makes the file; a stat is quick
        await asyncio.sleep(STOP_POLL_S)
    stop()

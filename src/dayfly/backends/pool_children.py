"""The runs that a pool has begun: forked from its nursery, or started as `dayfly run` starts them."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from dayfly.backends.pool_nursery import encode_facts
from dayfly.backends.processes import Execution
from dayfly.errors import DayflyError
from dayfly.runner.facts import Facts
from dayfly.runner.warm import Forked, WarmKernels
from dayfly.runs import layout
from dayfly.runs.request import Request
from dayfly.runs.store import Store


class Child(Protocol):
    """A run that goes on, or has ended."""

    def ended(self) -> bool:
        """Whether nothing of it is at work any more; what must be let go of is."""

    def interrupt(self) -> None:
        """Ask for its end, which saves what there is; asking again cuts its grace short."""

    def descriptor(self) -> int | None:
        """What becomes readable at its end; None where one must look."""


class Start(Protocol):
    """A way to begin a run that is in the store."""

    def __call__(self, request: Request, content: bytes) -> Child:
        """Begin it; raises OSError or DayflyError when that cannot be done."""


@dataclass(frozen=True, kw_only=True)
class ForkedChild:
    """A runner that the nursery has forked; `idle` are those that wait for another run."""

    process: Forked
    idle: list[Forked]

    def ended(self) -> bool:
        """Whether the runner has ended, or is done with its run."""
        if self.process.poll() is not None:
            self.process.wait()
            return True
        if self.process.done is not None:
            self.idle.append(self.process)
            return True
        return False

    def interrupt(self) -> None:
        """As `dayfly run` does at Ctrl-C."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGTERM)

    def descriptor(self) -> int | None:
        """The connection to the nursery."""
        return self.process.fileno()


@dataclass(frozen=True, kw_only=True)
class StartedChild:
    """Processes or containers of their own."""

    execution: Execution

    def ended(self) -> bool:
        """Whether all of them have ended."""
        try:
            return self.execution.wait(0)
        except DayflyError:  # the copy of an output, which no sweep asks for
            return True

    def interrupt(self) -> None:
        """As Ctrl-C does."""
        self.execution.interrupt()

    def descriptor(self) -> int | None:
        """Nothing that all of them have."""
        return None


@dataclass(kw_only=True)
class ForkedStart:
    """Begins runs by the nursery at `nursery`."""

    store: Store
    nursery: str
    kernels: WarmKernels | None
    facts: Facts | None = field(default=None)
    _idle: list[Forked] = field(default_factory=list)

    def __call__(self, request: Request, content: bytes) -> Child:
        """Ask a runner that is idle, or have the nursery fork one; without it, start one as usual."""
        kernels = self.kernels and {**self.kernels.__dict__, "env": dict(self.kernels.env)}
        asked = {
            "run_dir": str(self.store.path(layout.run_key(request.run_id, ""))),
            "store": self.store.url,
            "kernels": kernels,
            "facts": self.facts and encode_facts(self.facts),
        }
        while self._idle:
            process = self._idle.pop()
            if process.poll() is not None:
                process.wait()
                continue
            try:
                process.ask(asked)
            except OSError:
                process.kill()  # it must not begin what another one does
            else:
                return ForkedChild(process=process, idle=self._idle)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(self.nursery)
        except OSError:
            connection.close()
            return UsualStart(store=self.store, environ=os.environ)(request, content)
        try:
            process = Forked(connection, asked)
        except BaseException:
            connection.close()
            raise
        return ForkedChild(process=process, idle=self._idle)

    def close(self) -> None:
        """End the runners that are idle: they have nothing to save."""
        while self._idle:
            self._idle.pop().kill()


@dataclass(frozen=True, kw_only=True)
class UsualStart:
    """Begins runs as `dayfly run` does, on this machine or in containers."""

    store: Store
    environ: Mapping[str, str]

    def __call__(self, request: Request, content: bytes) -> Child:
        """Start the run's processes."""
        if request.backend == "docker":
            from dayfly.backends.docker import start_docker

            return StartedChild(execution=start_docker(self.store, request, content, self.environ))
        from dayfly.backends.local import start_local

        return StartedChild(execution=start_local(self.store, request, content, self.environ))

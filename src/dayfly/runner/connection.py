"""Talking to the kernel: jupyter_client's asynchronous client over sockets that lose nothing."""

from __future__ import annotations

import asyncio
import math
import time
from queue import Empty
from typing import TYPE_CHECKING, Any, cast

import zmq
import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from traitlets import Type

from dayfly.runner.launch import LaunchedKernel

if TYPE_CHECKING:
    from jupyter_client.connect import KernelConnectionInfo
    from jupyter_client.session import Session

_RECONNECT_MS = 10
_LOOK_AGAIN_S = 0.1
"""ZeroMQ tells once that a message has come, and whoever *sends* on the socket at that moment takes the
news away (nbclient does, for Output widgets): so a poll may wait for ever beside a message that is there."""
_LOOK_AGAIN_AT_LEAST_S = 1.0
"""The longer nothing has come, the seldomer: looking ten times a second costs 25 ms in a cell of 5 s."""


class KernelNotReadyError(Exception):
    """The kernel ended, or did not answer in time, before its first cell."""


class _Channel(AsyncZMQSocketChannel):
    """Takes a message that is there without going through the event loop."""

    def __init__(self, socket: zmq.asyncio.Socket, session: Session, loop: Any = None) -> None:
        super().__init__(socket, session, loop)
        self._direct: zmq.Socket[bytes] = zmq.Socket.shadow(socket.underlying)

    async def get_msg(  # type: ignore[override]  # as in the base class, which says so too
        self,
        timeout: float | None = None,  # noqa: ASYNC109 -- jupyter_client's signature
    ) -> dict[str, Any]:
        """The next message; raises Empty when none comes within `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        look_s = _LOOK_AGAIN_S
        while (frames := self._take()) is None:
            left_s = look_s if deadline is None else min(deadline - time.monotonic(), look_s)
            if left_s <= 0 or self.socket is None:
                raise Empty
            await self.socket.poll(math.ceil(left_s * 1000))
            look_s = min(2 * look_s, _LOOK_AGAIN_AT_LEAST_S)
        _, parts = self.session.feed_identities(frames)
        message: dict[str, Any] = self.session.deserialize(parts)
        return message

    def _take(self) -> list[bytes] | None:
        try:
            return self._direct.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None


class OutputChannel(_Channel):
    """The iopub channel. While `discarding` is set, output messages are dropped unparsed."""

    discarding = False

    def _take(self) -> list[bytes] | None:
        while (frames := super()._take()) is not None:
            if not (self.discarding and _is_stream(frames)):
                return frames
        return None


def _is_stream(frames: list[bytes]) -> bool:
    """Whether this is stream output, by its topic or header, without verifying or parsing it."""
    try:
        header = frames[frames.index(b"<IDS|MSG>") + 2]
    except (ValueError, IndexError):
        return False
    return b'"msg_type": "stream"' in header or b'"msg_type":"stream"' in header


class KernelClient(AsyncKernelClient):
    """A client of a kernel that we launched; the process says whether it lives, no heartbeat."""

    shell_channel_class = Type(_Channel)
    control_channel_class = Type(_Channel)
    iopub_channel_class = Type(OutputChannel)

    kernel: LaunchedKernel

    async def is_alive(self) -> bool:
        """Whether the kernel process runs."""
        return self.kernel.alive()


def connect(kernel: LaunchedKernel) -> KernelClient:
    """A client with open channels; the kernel need not be there yet."""
    context = zmq.asyncio.Context()
    # A kernel that is still booting is found soon after it binds (ZeroMQ's default is 100 ms) ...
    context.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
    # ... and no output is dropped when it comes faster than we read: the default drops messages
    # beyond the thousandth, the end of the cell among them.
    context.setsockopt(zmq.RCVHWM, 0)
    context.setsockopt(zmq.LINGER, 0)
    client = KernelClient(context=context)
    client.kernel = kernel
    client.load_connection_info(cast("KernelConnectionInfo", dict(kernel.connection)))
    client.allow_stdin = False
    client.start_channels(shell=True, iopub=True, stdin=False, hb=False, control=True)  # noqa: S604 -- a channel
    return client


async def wait_until_ready(client: KernelClient, timeout_s: float) -> dict[str, Any]:
    """Wait for the kernel's info reply *and* its first status message; returns the reply's content.

    Both, because a subscription that is late loses messages: jupyter_client waits 0.2 s for that,
    and nbclient, when it happens to the first cell, 4 s. We ask again until both have come, as
    Jupyter Server does. Raises KernelNotReadyError.
    """
    deadline = time.monotonic() + timeout_s
    info: dict[str, Any] | None = None
    heard = False
    asked: set[str] = set()
    ask_again = 0.0
    shell = asyncio.ensure_future(client.get_shell_msg())
    iopub = asyncio.ensure_future(client.get_iopub_msg())
    try:
        while info is None or not heard:
            now = time.monotonic()
            if now >= deadline:
                raise KernelNotReadyError(f"The kernel did not answer within {timeout_s:.0f} s.")
            if not client.kernel.alive():
                raise KernelNotReadyError("The kernel process ended while it was starting.")
            if now >= ask_again:
                asked.add(client.kernel_info())
                ask_again = now + 0.5
            done, _ = await asyncio.wait(
                {shell, iopub}, timeout=min(0.1, deadline - now), return_when=asyncio.FIRST_COMPLETED
            )
            if shell in done:
                message = shell.result()
                shell = asyncio.ensure_future(client.get_shell_msg())
                if message["msg_type"] == "kernel_info_reply":
                    info = message["content"]
            if iopub in done:
                parent = iopub.result()["parent_header"].get("msg_id")
                heard = heard or parent in asked
                iopub = asyncio.ensure_future(client.get_iopub_msg())
    finally:
        for task in (shell, iopub):
            task.cancel()
        await asyncio.gather(shell, iopub, return_exceptions=True)
    return info


async def shut_down(client: KernelClient, kernel: LaunchedKernel, grace_s: float) -> bool:
    """Ask the kernel to end and wait for it; True when it did, with its exit hooks run."""
    if not kernel.alive():
        return True
    request = client.session.msg("shutdown_request", {"restart": False})
    if kernel.spec.is_ipython:
        # Asked on the control channel, ipykernel 7 now and then waits 10 s for itself while it exits
        # (its control thread flushes output to a thread that has ended); on the shell channel never.
        client.shell_channel.send(request)
    else:
        client.control_channel.send(request)
    return await wait_for_exit(kernel, grace_s)


async def wait_for_exit(kernel: LaunchedKernel, timeout_s: float) -> bool:
    """Wait until the process has ended; True when it has."""
    deadline = time.monotonic() + timeout_s
    while kernel.alive():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        await asyncio.sleep(min(0.005, left))
    return True


async def interrupt(client: KernelClient, kernel: LaunchedKernel) -> None:
    """Interrupt what the kernel executes, in the way its kernelspec says."""
    import signal

    if kernel.spec.interrupt_mode == "message":
        message = client.session.msg("interrupt_request", content={})
        client.control_channel.send(message)
    else:
        kernel.signal_group(signal.SIGINT)


def exit_description(kernel: LaunchedKernel) -> str:
    """How the kernel process ended, in words; empty while it runs."""
    import signal

    code = kernel.process.poll()
    if code is None:
        return ""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"it was killed by {name}"
    return f"it exited with code {code}"

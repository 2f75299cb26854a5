"""`python -m benchmarks.kernel_end`: how long a kernel takes to end once it was asked to.

Shows why papermill and `jupyter execute` now and then take some seconds more; README.md explains.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import time

from jupyter_client.manager import AsyncKernelManager

_SLOW_S = 1.0


async def time_shutdown(source: str, wait_s: float, channel: str) -> float:
    """Start a kernel, run one cell, shut the kernel down; return the seconds that the last step took.

    nbclient, and so papermill and `jupyter execute`, asks on the control channel.
    """
    manager = AsyncKernelManager(kernel_name="python3", shutdown_wait_time=wait_s)
    await manager.start_kernel(
        extra_arguments=["--HistoryManager.hist_file=:memory:"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=60)
        await client.execute_interactive(source, timeout=60, output_hook=lambda _: None)
        started = time.perf_counter()
        if channel == "control":
            await manager.shutdown_kernel()
        else:
            client.shell_channel.send(client.session.msg("shutdown_request", {"restart": False}))
            await manager.finish_shutdown()
        ended = time.perf_counter()
        client.stop_channels()
        return ended - started
    finally:
        if manager.has_kernel:
            await manager.shutdown_kernel(now=True)


async def main() -> None:
    """Print how many of the kernels were slow to end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernel_end", description=__doc__)
    parser.add_argument("--kernels", type=int, default=60, help="how many to start, one after the other")
    parser.add_argument("--wait", type=float, default=5.0, help="jupyter_client's shutdown_wait_time, in s")
    parser.add_argument("--flush-timeout", type=float, default=10.0, help="ipykernel's flush_timeout, in s")
    parser.add_argument("--channel", choices=("control", "shell"), default="control", help="where to ask it")
    options = parser.parse_args()
    source = f"import sys; sys.stdout.flush_timeout = sys.stderr.flush_timeout = {options.flush_timeout}"
    taken = [await time_shutdown(source, options.wait, options.channel) for _ in range(options.kernels)]
    slow = [seconds for seconds in taken if seconds > _SLOW_S]
    print(f"{len(slow)} of {len(taken)} kernels took more than {_SLOW_S} s: {[round(s, 2) for s in slow]}")
    print(f"median {statistics.median(taken):.2f} s")


if __name__ == "__main__":
    asyncio.run(main())

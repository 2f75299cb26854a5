"""`python -m dayfly.backends.local_process RUN_DIR STORE`: a runner whose run directory is in the store.

Nothing needs to be carried; this process runs the runner and keeps the run's status object.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from dayfly.runner.main import execute_run


def main(run_dir: Path, store_url: str) -> int:
    """Execute the run; returns the exit code."""
    from dayfly.keeper.heart import Heart

    with Heart(store_url, run_dir.name) as heart:
        return execute_run(run_dir, heart.enter)


if __name__ == "__main__":
    # As in the command line: what is imported stays, and the collector need not look at it so often.
    gc.set_threshold(50_000)
    code = main(Path(sys.argv[1]), sys.argv[2])
    # All is written, and whoever waits need not wait for the modules to be taken apart.
    sys.stderr.flush()
    os._exit(code)

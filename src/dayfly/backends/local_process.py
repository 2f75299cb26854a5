"""`python -m dayfly.backends.local_process RUN_DIR STORE`: a runner whose run directory is in the store.

Nothing needs to be carried; this process runs the runner and keeps the run's status object.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
from pathlib import Path

from dayfly.backends.checkout import prepare_checkout
from dayfly.runner.main import ALONE, Given, execute_run
from dayfly.runs import layout


def main(run_dir: Path, store_url: str, given: Given = ALONE) -> int:
    """Execute the run, in a checkout of its commit where it has one; returns the exit code."""
    from dayfly.keeper.heart import Heart

    source = json.loads((run_dir / layout.REQUEST).read_bytes()).get("snapshot")
    with Heart(store_url, run_dir.name) as heart:
        if source is None:
            return execute_run(run_dir, heart.enter, given=given)
        bundle = run_dir.parent.parent / layout.snapshot_key(source["commit"])
        try:
            return execute_run(run_dir, heart.enter, prepare_checkout(bundle), given)
        finally:
            shutil.rmtree(source["checkout"], ignore_errors=True)


if __name__ == "__main__":
    # As in the command line: what is imported stays, and the collector need not look at it so often.
    gc.set_threshold(50_000)
    code = main(Path(sys.argv[1]), sys.argv[2])
    # All is written, and whoever waits need not wait for the modules to be taken apart.
    sys.stderr.flush()
    os._exit(code)

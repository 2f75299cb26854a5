"""`python -m dayfly.backends.checkout_process RUN_DIR`: a runner in a checkout, its store elsewhere.

The bundle lies in the run directory, which the keeper removes at the end.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from dayfly.backends.checkout import prepare_checkout
from dayfly.runner.main import execute_run
from dayfly.runs import layout


def main(run_dir: Path) -> int:
    """Execute the run in a checkout of its commit, which is removed afterwards; returns the exit code."""
    checkout = json.loads((run_dir / layout.REQUEST).read_bytes())["snapshot"]["checkout"]
    try:
        return execute_run(run_dir, prepare=prepare_checkout(run_dir / layout.BUNDLE))
    finally:
        shutil.rmtree(checkout, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

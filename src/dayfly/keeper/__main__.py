"""`python -m dayfly.keeper RUN_DIR STORE_URL`: carry the run in that directory to the store."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

from dayfly.errors import StoreError
from dayfly.keeper.keep import keep_run, lies_in
from dayfly.runs.store import open_store


def main(run_dir: Path, store_url: str) -> int:
    """Keep the run; a directory elsewhere is removed once all is in the store. Returns the exit code."""
    # The keeper outlives the runner, and what ends a terminal must not end it.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    store = open_store(store_url)
    if keep_run(run_dir, store):
        if not lies_in(run_dir, store):
            shutil.rmtree(run_dir, ignore_errors=True)
        return 0
    sys.stderr.write(f"upload_failed: {store_url} could not be written; the run is in {run_dir}\n")
    return StoreError.exit_code


if __name__ == "__main__":
    match sys.argv[1:]:
        case [directory, url]:
            sys.exit(main(Path(directory), url))
        case _:
            sys.exit("usage: python -m dayfly.keeper RUN_DIR STORE_URL")

"""`python -m dayfly.keeper RUN_DIR STORE_URL`: carry the run in that directory to the store.

On a machine, `DAYFLY_DEADLINE_EPOCH` says when the machine ends (seconds since 1970), and `DAYFLY_SPOT=true`
that its end may be announced. Credentials are then the machine's own, which rotate.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from dayfly.errors import StoreError
from dayfly.keeper.keep import keep_run, lies_in
from dayfly.keeper.spot import metadata_endpoint, watch_spot
from dayfly.runs import layout
from dayfly.runs.store import open_store

GOODBYE_S = 60.0
"""What a machine needs, after the keeper has given up, to tell of it before its deadline."""


def main(run_dir: Path, store_url: str, environ: Mapping[str, str]) -> int:
    """Keep the run; a directory elsewhere is removed once all is in the store. Returns the exit code."""
    # The keeper outlives the runner, and what ends a terminal must not end it.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    store = open_store(store_url, instance_credentials=True)
    spot = environ.get("DAYFLY_SPOT") == "true"
    with watch_spot(run_dir, metadata_endpoint(environ)) if spot else nullcontext():
        saved = keep_run(run_dir, store, deadline=_deadline(environ))
    if saved:
        if not lies_in(run_dir, store):
            shutil.rmtree(run_dir, ignore_errors=True)
        return 0
    _tell(run_dir, f"upload_failed: {store_url} could not be written; the run is in {run_dir}\n")
    return StoreError.exit_code


def _deadline(environ: Mapping[str, str]) -> float | None:
    """Until when the last save is tried, by the monotonic clock: the wall clock may jump later."""
    epoch = environ.get("DAYFLY_DEADLINE_EPOCH", "")
    if not epoch.isdecimal():
        return None
    return time.monotonic() + float(epoch) - time.time() - GOODBYE_S


def _tell(run_dir: Path, text: str) -> None:
    """To standard error and to runner.log, which may be the same file."""
    sys.stderr.write(text)
    sys.stderr.flush()
    log = run_dir / layout.RUNNER_LOG
    if not (log.exists() and os.path.samestat(os.fstat(sys.stderr.fileno()), log.stat())):
        with log.open("a", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [directory, url]:
            sys.exit(main(Path(directory), url, os.environ))
        case _:
            sys.exit("usage: python -m dayfly.keeper RUN_DIR STORE_URL")

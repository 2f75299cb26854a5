"""The command line: the only place that prints or exits."""

from __future__ import annotations

import gc
import os
import sys

from dayfly.cli.streams import open_missing_streams, replace_broken_streams

_INTERRUPTED = 130
_ALLOCATIONS = 50_000


def main() -> None:
    """Run the command line and exit with the code that `dayfly.errors` lists.

    The process ends without taking its modules apart, which takes longer than most commands do.
    """
    open_missing_streams()
    # 10 ms of the 155 of `dayfly ps` were the collector's, looking through modules that stay.
    gc.set_threshold(_ALLOCATIONS)
    code = _run()
    replace_broken_streams()
    os._exit(code)


def _run() -> int:
    from dayfly.cli.app import make_app
    from dayfly.errors import DayflyError

    try:
        _check_directory()
        make_app(sys.argv[1] if sys.argv[1:] else None)(prog_name="dayfly")
    except SystemExit as end:
        # Click turns a reader that has seen enough into a failure.
        code = 0 if isinstance(end.__context__, BrokenPipeError) else end.code
        return code if isinstance(code, int) else int(code is not None)
    except DayflyError as error:
        from dayfly.cli.text import print_error

        print_error(error)
        return error.exit_code
    except BrokenPipeError:
        return 0  # the reader (head, less) has seen enough
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception:  # noqa: BLE001 -- a fault of ours: the traceback is what helps
        import traceback

        traceback.print_exc()
        return 1
    return 0


def _check_directory() -> None:
    from pathlib import Path

    from dayfly.errors import UsageError

    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("The current directory is gone.", hint="Change to one that is there.") from error

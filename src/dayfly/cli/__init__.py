"""The command line: the only place that prints or exits."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and exit with the code that `dayfly.errors` lists."""
    from dayfly.cli.app import app
    from dayfly.errors import DayflyError

    try:
        app(prog_name="dayfly")
    except DayflyError as error:
        from dayfly.cli.text import print_error

        print_error(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader (head, less) has seen enough; nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)

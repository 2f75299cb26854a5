"""`python -m dayfly.runner RUN_DIR`: execute the run in that directory."""

from __future__ import annotations

import sys
from pathlib import Path

from dayfly.errors import DayflyError
from dayfly.runner.main import execute_run

if __name__ == "__main__":
    match sys.argv[1:]:
        case [directory]:
            try:
                sys.exit(execute_run(Path(directory)))
            except DayflyError as error:
                sys.stderr.write(f"{error}\n")
                sys.exit(error.exit_code)
        case _:
            sys.exit("usage: python -m dayfly.runner RUN_DIR")

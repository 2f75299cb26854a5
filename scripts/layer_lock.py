# ruff: noqa: INP001 -- a script, in no package
"""Write src/dayfly/environment/layer.lock, the packages of dayfly's layer, with their hashes.

`--check` writes nothing, and fails when the lock no longer fits what is asked for; `--upgrade` takes
the newest versions.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

ENVIRONMENT = Path(__file__).parents[1] / "src" / "dayfly" / "environment"
LOCK = ENVIRONMENT / "layer.lock"
_HEAD = "# The packages of dayfly's layer. Made by scripts/layer_lock.py from:\n"
_INPUTS = ("layer.in", "layer-alone.in")
_PYTHON = "3.10"  # the oldest Python of an image


def make_lock(*options: str) -> str:
    """The lock's text; versions stay as they are locked where they still fit."""
    with tempfile.TemporaryDirectory() as folder:
        parts = [
            _compile("layer.in", Path(folder), options),
            _compile("layer-alone.in", Path(folder), [*options, "--no-deps"]),
        ]
    return make_head() + "".join(parts)


def make_head() -> str:
    """The lock's first lines; they tell, with no index to ask, that what is asked for has changed."""
    hashes = [hashlib.sha256((ENVIRONMENT / name).read_bytes()).hexdigest() for name in _INPUTS]
    return _HEAD + "".join(f"#   {name} {value}\n" for name, value in zip(_INPUTS, hashes, strict=True))


def _compile(name: str, folder: Path, options: list[str] | tuple[str, ...]) -> str:
    output = folder / f"{name}.lock"
    if LOCK.exists():  # what the output file says already is preferred
        output.write_bytes(LOCK.read_bytes())
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-annotate"]
    command += ["--no-header", "--python-version", _PYTHON, "--output-file", str(output), *options]
    subprocess.run([*command, name], cwd=ENVIRONMENT, check=True)
    return output.read_text(encoding="utf-8")


def main() -> int:
    """Write the lock, or check it."""
    options = sys.argv[1:]
    if "--check" not in options:
        LOCK.write_text(make_lock(*options), encoding="utf-8")
        return 0
    if LOCK.read_text(encoding="utf-8") == make_lock():
        return 0
    sys.stderr.write(f"{LOCK.name} is stale. Write it with: uv run python scripts/layer_lock.py\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

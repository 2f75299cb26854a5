# ruff: noqa: INP001 -- a script, in no package
"""Put boot.sh into machine.yaml, between the two comments that name it: without its comments and indentation.

`--check` writes nothing, and fails when the template has another script.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dayfly.aws.boot import boot_script

AWS = Path(__file__).parents[1] / "src" / "dayfly" / "aws"
TEMPLATE = AWS / "templates" / "machine.yaml"
_BEGIN = "# boot.sh: scripts/machine_template.py writes what stands between these two comments.\n"
_END = "# end of boot.sh\n"
_INDENT = " " * 14


def with_script(template: str, script: str) -> str:
    """The template with `script` as a literal block, in which YAML changes nothing."""
    before, begin, rest = template.partition(_INDENT + _BEGIN)
    _, end, after = rest.partition(_INDENT + _END)
    if not (begin and end):
        raise SystemExit(f"{TEMPLATE.name} has lost the comments around boot.sh.")
    if not script.endswith("\n") or script.endswith("\n\n") or "\t" in script or "\r" in script:
        raise SystemExit("boot.sh must end with one line break, and have no tabs and carriage returns.")
    lines = "".join(f"{_INDENT}  {line}\n" if line else "\n" for line in script[:-1].split("\n"))
    return f"{before}{begin}{_INDENT}- |\n{lines}{end}{after}"


def main() -> None:
    """Write the template, or compare it."""
    template = TEMPLATE.read_text(encoding="utf-8")
    made = with_script(template, boot_script())
    if "--check" in sys.argv[1:]:
        if made != template:
            raise SystemExit("machine.yaml has another boot.sh: uv run python scripts/machine_template.py")
    else:
        TEMPLATE.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()

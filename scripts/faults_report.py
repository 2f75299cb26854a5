# ruff: noqa: INP001 -- a script, in no package
"""Write docs/faults.md from what the tests of faults have found: `faults_report.py RECORDS...`.

`make faults` runs the tests and then this. Which rows there are is said here; what was found, by the tests.
"""

# ruff: noqa: E501 -- a row of the table is a line

from __future__ import annotations

import ast
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "faults.md"
TESTS = Path(__file__).parents[1] / "tests"
Records = list[dict[str, Any]]

HEAD = """\
# Faults

What may go wrong, and what is left then. This page is written by `make faults`, from the tests that make each
fault happen; run it yourself to see it hold.

**left**: what the user has of the output. **gone**: when the machine is gone. **told**: by `dayfly show`. Each says what
must be, and in **bold** what was found where a machine took part: on a rehearsed one, which boots the real
boot script under systemd in a container beside an emulated AWS ([evidence](evidence.md)). Seconds are those of the
machine that wrote this page, with two cores that it shared, and count from the fault; no AWS was part of it. A test
with ° did not run when the page was written.

`dayfly rehearse NOTEBOOK --fault NAME` lets a notebook of yours meet one; `--fault list` names them.
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fault. What must be: `left` F (all), P (a valid partial notebook that says how far it came), - (nothing)."""

    number: int
    fault: str
    how: str
    left: str
    gone: str
    told: str


def _rows(*lines: tuple[str, str, str, str, str]) -> tuple[Row, ...]:
    return tuple(
        Row(number=number, fault=fault, how=how, left=left, gone=gone, told=told)
        for number, (fault, how, left, gone, told) in enumerate(lines, 1)
    )


ALL, PART, NONE = "all", "a valid part", "nothing"
NOW, DEADLINE, NEVER_MADE = "now", "by the deadline", "none was made"
# fmt: off
ROWS = _rows(
    ("a cell raises", "notebook", ALL, NOW, "failed: the cell and its traceback"),
    ("`sys.exit(3)`, `os._exit(3)` in a cell", "notebook", PART, NOW, "failed; kernel_died"),
    ("the kernel is out of memory", "memory limit of the container", PART, NOW, "kernel_died, memory limit"),
    ("a cell hangs and ignores interrupts", "notebook", PART, DEADLINE, "timed_out"),
    ("the kernelspec is missing", "notebook", NONE, NOW, "kernel_missing, and which there are"),
    ("a cell prints without end", "notebook", "all, cut with a note", NOW, "truncated"),
    ("saving is slow", "slow storage", "a valid part; a minute lost at most", NOW, "a warning"),
    ("the runner is killed in the middle of a write", "SIGKILL", PART, NOW, "lost"),
    ("`docker stop`", "engine", PART, NOW, "interrupted"),
    ("the notebook leaves a daemon behind", "notebook", ALL, NOW, "succeeded"),
    ("a parameter of unknown name or wrong type", "command", NONE, NEVER_MADE, "which there are"),
    ("user data never runs", "cloud-init masked", NONE, DEADLINE, "never_started"),
    ("each line of the boot script fails in turn", "the script, a command made to fail", "the machine's log", NOW, "boot_failed: line and command"),
    ("the Docker daemon hangs at the start", "SIGSTOP", "the machine's log", "by the boot budget", "boot_timed_out"),
    ("the pull is throttled three times", "the registry answers 429", ALL, NOW, "the retries"),
    ("image of the wrong tag or architecture", "emulated AWS", NONE, NEVER_MADE, "refused before anything is made"),
    ("the disk is full while pulling", "a small disk", "the machine's log", NOW, "disk_full"),
    ("the disk is full in the middle of the run", "a small disk, filled", PART, NOW, "disk_full"),
    ("the machine's boot script is killed; its keeper is", "SIGKILL", "a valid part; all", NOW, "lost; succeeded: another keeper takes over"),
    ("the machine freezes", "every process stopped", PART, DEADLINE, "lost"),
    ("a spot notice", "metadata service", PART, "within 120 s", "interrupted: spot"),
    ("the instance vanishes without notice", "power cut", PART, NOW, "lost"),
    ("the metadata service is down at boot", "metadata service", NONE, DEADLINE, "never_started"),
    ("credentials rotate during the run", "metadata service", ALL, NOW, "succeeded"),
    ("the wall clock jumps by an hour", "libfaketime", ALL, "the deadline holds", "succeeded"),
    ("S3 answers 503 for a while", "emulated AWS", ALL, NOW, "succeeded"),
    ("S3 denies", "emulated AWS", NONE, "none was made, or now", "refused by the write probe"),
    ("S3 is down at the end, for a while; for ever", "emulated AWS", "all; a valid part", "when S3 is back; by the deadline", "succeeded; lost, with what was saved"),
    ("the network flaps", "packets dropped", ALL, NOW, "succeeded"),
    ("the client is killed at each step of a submission", "SIGKILL", "nothing, or all", DEADLINE, "`dayfly ps`; no orphan"),
    ("no capacity, or a quota is reached", "emulated AWS", NONE, "the stack is deleted", "what would do instead"),
    ("Ctrl-C while the stack is made", "SIGINT", "as chosen", "now, or detached", "the run and how to come back"),
    ("the laptop closes for the rest of the run", "SIGKILL", ALL, NOW, "`attach` shows the end"),
    ("the deadline cannot be armed", "emulated AWS", NONE, NEVER_MADE, "refused: nothing was made"),
    ("the machine may not delete its stack", "emulated AWS", ALL, "now; the stack by the deadline", "cleanup pending"),
    ("CloudFormation cannot delete the stack", "emulated AWS", ALL, NOW, "`cloud doctor` names the resource"),
    ("the same submission twice", "emulated AWS", "one run", "-", "the run that there is"),
    ("the AWS API is throttled", "emulated AWS", "all, once", NOW, "nothing"),
    ("the base stack goes while bucket and images are full", "emulated AWS", "all, kept", "-", "what is kept and how to empty it"),
    ("a Batch job never starts", "emulated AWS", NONE, "-", "queue_timed_out"),
    ("a child of a sweep is retried", "emulated AWS", "each attempt apart", "-", "attempt n"),
    ("two runs write to one outputs folder", "notebook", "both", NOW, "never mixed"),
    ("the local disk is full in a local run", "a small disk", PART, "-", "disk_full"),
    ("dayfly.toml, notebook or a file of the store is damaged", "command", NONE, NEVER_MADE, "which file and line, and what is expected"),
)
# fmt: on
NOTES = """\
## What cannot be shown here

- A machine's wall clock (25): a container shares its host's clock, and nobody may set that. What is shown is that a run
  does not mind (libfaketime under the runner), and that the machine's end is armed by systemd's monotonic clock.
- Waiting for a deadline of hours: the emulated scheduler's clock is moved there. Rows 12 and 25 wait for one in real time.
- How AWS itself fails: each answer here is the emulated AWS's.
"""


def render(records: Records) -> str:
    """The page."""
    by_row: dict[int, Records] = defaultdict(list)
    for record in records:
        for row in record["rows"]:
            by_row[row].append(record)
    tests = find_marked()
    lines = [HEAD, "| # | fault | made by | left | gone | told | tests |", "|-|-|-|-|-|-|-|"]
    lines += [_line(row, by_row[row.number], tests.get(row.number, [])) for row in ROWS]
    return "\n".join([*lines, "", NOTES])


def find_marked() -> dict[int, list[str]]:
    """By row, the tests that bear `@pytest.mark.fault(row)`, as `file::test` below tests/."""
    found: dict[int, list[str]] = defaultdict(list)
    for file in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for row in _rows_of(node) if isinstance(node, ast.FunctionDef) else ():
                found[row].append(f"{file.relative_to(TESTS)}::{node.name}")  # type: ignore[attr-defined]
    return found


def _rows_of(function: ast.FunctionDef) -> Iterator[int]:
    for mark in function.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
            yield from (one.value for one in mark.args if isinstance(one, ast.Constant))  # type: ignore[misc]


def _line(row: Row, records: Records, tests: list[str]) -> str:
    found = [
        one
        for record in records
        for one in record["found"]
        if one["row"] == row.number or (one["row"] is None and row.number in record["rows"])
    ]
    ran = {_short(record["test"]) for record in records}
    named = [f"`{test}`" + ("" if test in ran else " °") for test in tests]
    tests_cell = "<br>".join(named)
    cells = (
        str(row.number),
        row.fault,
        row.how,
        _must_and_found(row.left, [one["left"] for one in found]),
        _must_and_found(row.gone, [one["gone"] for one in found]),
        _must_and_found(row.told, [one["told"] for one in found]),
        tests_cell,
    )
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _must_and_found(must: str, found: list[str]) -> str:
    return "<br>".join([must, *(f"**{one}**" for one in dict.fromkeys(found))])


def _short(nodeid: str) -> str:
    """`file::test` below tests/, without a class and without what it was parametrized with."""
    path, _, rest = nodeid.partition("::")
    return f"{path.removeprefix('tests/')}::{rest.partition('[')[0].rpartition('::')[2]}"


def main() -> None:
    """Write the page. Fails when a row has no test, or a test failed; one that did not run is marked."""
    by_test: dict[str, dict[str, Any]] = {}
    for file in sys.argv[1:]:  # of two runs of one test, the later counts
        by_test |= {record["test"]: record for record in json.loads(Path(file).read_text(encoding="utf-8"))}
    records = [by_test[test] for test in sorted(by_test)]
    failed = [record["test"] for record in records if record["outcome"] != "passed"]
    missing = {row.number for row in ROWS} - set(find_marked())
    if failed or missing:
        sys.exit(f"failed: {failed}; rows without a test: {sorted(missing)}; the page stays as it was")
    PAGE.write_text(render(records), encoding="utf-8")


if __name__ == "__main__":
    main()

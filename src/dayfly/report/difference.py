"""Two executed notebooks compared by nbdime."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

from dayfly.errors import MissingExtraError
from dayfly.runs import layout
from dayfly.runs.run import Run


def describe_difference(one: Run, other: Run, *, outputs: bool, colours: bool) -> str:
    """The difference as text, cell by cell, then by output file; empty when there is none.

    Times and states in metadata are left out: they always differ. Raises MissingExtraError without
    nbdime.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # see runner.entry
    try:
        from nbdime import diff_notebooks
        from nbdime.prettyprint import PrettyPrintConfig, pretty_print_diff
    except ImportError as error:
        raise MissingExtraError(
            "dayfly diff needs nbdime.",
            why="It is an optional part, because it brings some thirty packages with it.",
            hint="Install it, in a clone of dayfly, with: pip install '.[diff]'",
        ) from error
    left, right = one.output, other.output
    for notebook in (left, right):
        notebook["metadata"] = {}
        for cell in notebook["cells"]:
            cell["metadata"] = {}
            cell.pop("execution_count", None)
            for output in cell.get("outputs", []):
                output.pop("execution_count", None)
            if not outputs and "outputs" in cell:
                cell["outputs"] = []
    difference = diff_notebooks(left, right)
    files = list(_differing_files(one, other)) if outputs else []
    if not difference and not files:
        return ""
    text = io.StringIO()
    config = PrettyPrintConfig(out=text, use_color=colours, use_git=False, use_diff=True)
    text.write(f"--- {one.run_id}\n+++ {other.run_id}\n")
    if difference:
        pretty_print_diff(left, difference, "", config)
    text.writelines(files)
    return text.getvalue()


def _differing_files(one: Run, other: Run) -> Iterator[str]:
    """A line for each output file that only one of them has, or that differs, by their receipts."""
    left, right = (run.receipt.files if run.receipt is not None else {} for run in (one, other))
    for name in sorted(left.keys() | right.keys()):
        if not name.startswith(f"{layout.OUTPUTS}/") or left.get(name) == right.get(name):
            continue
        if name in left and name in right:
            yield f"## {name} differs\n"
        else:
            yield f"## {name} is in {(one if name in left else other).run_id} alone\n"

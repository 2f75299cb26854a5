"""Two executed notebooks compared by nbdime."""

from __future__ import annotations

import io
import sys

from dayfly.errors import MissingExtraError
from dayfly.runs.run import Run


def describe_difference(one: Run, other: Run, *, outputs: bool, colours: bool) -> str:
    """The difference as text, cell by cell; empty when there is none.

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
    if not difference:
        return ""
    text = io.StringIO()
    config = PrettyPrintConfig(out=text, use_color=colours, use_git=False, use_diff=True)
    text.write(f"--- {one.run_id}\n+++ {other.run_id}\n")
    pretty_print_diff(left, difference, "", config)
    return text.getvalue()

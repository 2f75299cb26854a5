"""What came of faults in a rehearsal, as one page: a table, in light and dark, without a script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from dayfly.report.page import POLICY

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c62828; --good: #2e7d32; }
@media (prefers-color-scheme: dark) { :root { --bad: #ef9a9a; --good: #a5d6a7; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .45rem .8rem .45rem 0; }
tr { border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
td.name { font-family: ui-monospace, monospace; white-space: nowrap; }
small { opacity: .75; display: block; }
.bad { color: var(--bad); } .good { color: var(--good); }
"""


@dataclass(frozen=True, kw_only=True)
class MatrixRow:
    """One fault and what came of it, in words."""

    fault: str
    says: str
    moment: str
    state: str
    reason: str
    message: str
    cells: str
    output: str
    gone: str
    left: str
    clean: bool


def render_matrix(rows: Sequence[MatrixRow]) -> str:
    """The page, as HTML of its own."""
    clean = sum(row.clean for row in rows)
    body = "\n".join(_row(row) for row in rows)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Rehearsed faults</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">
<style>{_STYLE}</style></head><body>
<h1>Rehearsed faults</h1>
<p>{clean} of {len(rows)} faults left nothing behind. Each machine really booted; the AWS around it was
emulated.</p>
<table><thead><tr><th>Fault</th><th>What happened</th><th>What was told</th><th>Cells</th><th>Output</th>
<th>Machine gone</th><th>Left over</th></tr></thead>
<tbody>
{body}
</tbody></table></body></html>
"""


def _row(row: MatrixRow) -> str:
    told = f"{row.state} ({row.reason})" if row.reason else row.state
    left = '<span class="good">nothing</span>' if row.clean else f'<span class="bad">{_text(row.left)}</span>'
    return (
        f'<tr><td class="name">{_text(row.fault)}<small>{_text(row.moment)}</small></td>'
        f"<td>{_text(row.says)}</td><td>{_text(told)}<small>{_text(row.message)}</small></td><td>{_text(row.cells)}</td>"
        f"<td>{_text(row.output)}</td><td>{_text(row.gone)}</td><td>{left}</td></tr>"
    )


def _text(text: str) -> str:
    return html.escape(text)

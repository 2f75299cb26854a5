"""Finding the sweep that a command is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dayfly.backends.sweep_view import Sweep

SweepArgument = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP",
        help="A sweep's id, a unique prefix, or `last` (sweep); S.7 is a point of it.",
    ),
]


def find_sweep(name: str, store: str | None, *, local: bool = False) -> tuple[Sweep, int | None]:
    """The sweep that the user means, and the point if one is named. Raises RunConflictError for a run."""
    from dayfly.backends.sweep_names import not_a_sweep, parse_name
    from dayfly.backends.sweep_view import Sweep, check_index
    from dayfly.cli.options import find_named

    named = parse_name(name)
    found = find_named(named.whole, store, local=local, of_sweeps=True)
    if not isinstance(found, Sweep):
        raise not_a_sweep(found)
    if named.index is not None:
        check_index(found, named.index)
    return found, named.index

"""Leaving a run that goes on: what is said, and the question that a second Ctrl-C asks."""

from __future__ import annotations

import threading
from collections.abc import Callable

import typer

from dayfly.cli.text import is_terminal, to_stderr
from dayfly.errors import StoreError
from dayfly.runs.asker import user_name
from dayfly.runs.run import Run
from dayfly.runs.state import State

_ASKS_WITHIN_S = 3.0


def watch_or_leave(run: Run, *, quiet: bool, as_json: bool) -> State | None:
    """Watch a run that another process executes to its end; after Ctrl-C it is left, and the command ends.

    Raises StoreError when its store cannot be read any more, such as with credentials that have expired.
    """
    from dayfly.cli.views import choose_view
    from dayfly.cli.watch import DetachedError, watch_elsewhere

    try:
        with choose_view(run, quiet=quiet, as_json=as_json) as view:
            return watch_elsewhere(run, view)
    except DetachedError:
        leave_run(run)
        raise typer.Exit(0) from None
    except StoreError as error:  # it is only we who cannot see it
        back = f"The run goes on without you. Come back with: dayfly attach {run.run_id}"
        raise StoreError(
            error.what, why=error.why, hint="\n".join(filter(None, (error.hint, back)))
        ) from error


def leave_run(
    run: Run, *, wait: Callable[[float], object] | None = None, ask: Callable[[], bool] | None = None
) -> None:
    """Say that the run goes on and how to come back, after Ctrl-C; a second one asks whether to stop it.

    Only a run on a machine, which costs money, is asked about, and only where a person can answer. `wait`
    sleeps for so many seconds, `ask` is the question; it raises KeyboardInterrupt or Abort for no answer.
    """
    to_stderr(f"The run goes on. Come back with: dayfly attach {run.run_id}")
    to_stderr(f"End it with: dayfly stop {run.run_id}")
    if run.request.backend != "ec2" or not (ask or is_terminal()):
        return
    try:
        to_stderr(f"Ctrl-C again within {_ASKS_WITHIN_S:g} s asks whether to stop it.")
        (wait or threading.Event().wait)(_ASKS_WITHIN_S)
    except KeyboardInterrupt:
        to_stderr()
        try:
            if not (ask or _ask)():
                return
        except (KeyboardInterrupt, typer.Abort):  # a third one: no answer is no
            to_stderr()
            return
        run.stop(by=user_name())
        to_stderr(f"Asked {run.run_id} to stop.")


def _ask() -> bool:
    return typer.confirm("Stop the run, and save what there is?", default=False, err=True)

"""`dayfly sweep` and `dayfly retry`."""

from __future__ import annotations

import os
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayfly.cli import run_options as options
from dayfly.cli import sweep_options
from dayfly.cli.options import LocalOption, StoreOption, settings_among
from dayfly.cli.streams import replace_broken_streams
from dayfly.cli.sweep_names import SweepArgument, find_sweep
from dayfly.cli.text import safe_text, to_stderr
from dayfly.runs.state import State
from dayfly.runs.sweep import notebook_identity
from dayfly.runs.sweep_states import SETTLED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dayfly.aws.batch_plan import Agreed
    from dayfly.backends.asked import BackendName
    from dayfly.backends.sweep_plan import SweepPlan
    from dayfly.backends.sweep_start import Begun
    from dayfly.backends.sweep_view import Overview, Sweep


def sweep(
    notebook: options.NotebookArgument,
    parameter: sweep_options.PairOption = [],  # noqa: B006 -- Typer copies it
    file: sweep_options.GridOption = [],  # noqa: B006 -- Typer copies it
    zipped: sweep_options.ZipOption = False,
    sample: sweep_options.SampleOption = None,
    seed: sweep_options.SeedOption = 0,
    force: sweep_options.ForceOption = False,
    on: sweep_options.OnOption = "local",
    commit: options.CommitOption = None,
    dirty: options.DirtyOption = False,
    allow_unknown: options.AllowUnknownOption = False,
    detach: options.DetachOption = False,
    dry_run: options.DryRunOption = False,
    quiet: options.QuietOption = False,
    as_json: options.EventsOption = False,
    instance: options.InstanceOption = None,
    arch: options.ArchOption = None,
    spot: options.SpotOption = None,
    disk: options.DiskOption = None,
    max_cost: sweep_options.MaxCostOption = None,
    yes: options.YesOption = False,
    jobs: sweep_options.JobsOption = None,
    retries: sweep_options.RetriesOption = None,
    timeout: sweep_options.TimeoutOption = None,
    cell_timeout: options.CellTimeoutOption = None,
    grace: options.GraceOption = None,
    kernel: options.KernelOption = None,
    kernel_transport: options.KernelTransportOption = None,
    python: options.PythonOption = None,
    cwd: options.CwdOption = None,
    outputs: options.OutputsOption = None,
    output_limit: options.OutputLimitOption = None,
    allow_errors: options.AllowErrorsOption = None,
    cpus: options.CpusOption = None,
    memory: options.MemoryOption = None,
    gpus: options.GpusOption = None,
    store: StoreOption = None,
) -> None:
    """Run a notebook many times, once for each point of a grid of parameters.

    The same points again go on with the same sweep: what has succeeded is not run twice. The exit code is 0
    when every point succeeded, 10 when one failed, 11 when one timed out, 12 or 13 when the sweep was
    stopped or interrupted. Ctrl-C ends a sweep on this computer; what has ended stays.
    """
    flags = settings_among(locals())  # first: later there are more names than the arguments'
    from dayfly.backends.asked import Asked
    from dayfly.backends.stores import store_for
    from dayfly.backends.sweep_plan import plan_sweep, wish_of
    from dayfly.backends.sweep_points import Drawing, grid_from_flags
    from dayfly.cli.asking import ask_about_changes, build_echo
    from dayfly.project.load import load_project

    grid = grid_from_flags(parameter, file)
    backend = _backend(on)
    project = load_project(Path.cwd(), os.environ, flags)
    asked = Asked(
        notebook=notebook,
        allow_unknown=allow_unknown,
        backend=backend,
        commit=commit,
        dirty=dirty,
        on_dirty=ask_about_changes() if notebook != "-" else None,
        echo=build_echo(quiet=quiet or as_json),
    )
    drawing = Drawing(zipped=zipped, sample=sample, seed=seed)
    wish = wish_of(project, grid=grid, drawing=drawing, force=force, jobs=jobs, retries=retries)
    plan = plan_sweep(
        asked, wish, project, os.environ, datetime.now(UTC), partial(store_for, project, os.environ)
    )
    if dry_run:
        from dayfly.cli.sweep_plan import print_sweep_plan

        print_sweep_plan(plan, as_json=as_json)
        return
    _begin(plan, detach=detach, quiet=quiet, as_json=as_json, yes=yes)


def _backend(on: str) -> BackendName:
    """The backend that `--on` names. Raises UsageError."""
    from typing import cast, get_args

    from dayfly.backends.asked import BackendName
    from dayfly.errors import UsageError

    if on in {"local", "docker", "batch"} and on in get_args(BackendName):
        return cast("BackendName", on)
    why = "A machine carries one run." if on == "ec2" else ""
    raise UsageError(
        f"A sweep cannot run on {on!r}.", why=f"{why} Sweeps run on: local, docker, batch.".strip()
    )


def _begin(plan: SweepPlan, *, detach: bool, quiet: bool, as_json: bool, yes: bool) -> None:
    from dayfly.backends.sweep_start import begin_sweep, pool_for
    from dayfly.cli.batch_plan import agree_to_batch

    if not (quiet or as_json):
        _tell_plan(plan)
    on_batch = plan.sweep.run.backend == "batch"
    agreed = agree_to_batch(plan.batch, yes=yes, quiet=quiet or as_json) if on_batch else None
    spot = plan.batch.record.spot if plan.batch is not None else None
    pool = pool_for(plan.sweep.run.backend, jobs=plan.jobs, spot=spot, agreed=agreed)
    begin = partial(begin_sweep, plan.store, plan, os.environ, pool)
    here = not on_batch and plan.store.root is not None
    _begin_and_watch(begin, here=here, detach=detach, quiet=quiet, as_json=as_json)


def _begin_and_watch(
    begin: Callable[[], Begun], *, here: bool, detach: bool, quiet: bool, as_json: bool
) -> None:
    """Begin a sweep and watch it; one that is interrupted before the watching has begun ends all the same.

    `here`: store and pool are on this computer: it is begun in a moment, and never without being known.
    What is uploaded before can be interrupted; the start of a pool itself heeds an interruption, too.
    """
    from dayfly.cli.signals import end_alone_at_hangup, end_by_signals
    from dayfly.runner.signals import defer_signals

    end_by_signals()
    if here:
        end_alone_at_hangup()
    begun: Begun | None = None
    try:
        with defer_signals() if here else nullcontext():
            begun = begin()
        end_alone_at_hangup()
        _watch(begun, detach=detach, quiet=quiet, as_json=as_json)
    except KeyboardInterrupt:
        if begun is not None and begun.process is not None:
            begun.process.interrupt()
        raise


def _tell_plan(plan: SweepPlan) -> None:
    """What a user should know before it begins: equal points, what is there already."""
    from dayfly.backends.sweep_code import code_changed_since
    from dayfly.cli.sweep_text import describe_points

    count = len(plan.points)
    if plan.asked > count:
        to_stderr(f"{describe_points(plan.asked - count)} left out: equal to another one.")
    for sweep_id, number in plan.there.items():
        to_stderr(f"{number:,} of {count:,} are there already, in {sweep_id}")
    before = plan.continues
    if before is not None:
        states = [attempt.state for attempt in before.attempts.values()]
        there = len([s for s in states if s is State.SUCCEEDED]) + plan.there.total()
        failed = len([s for s in states if s in {State.FAILED, State.TIMED_OUT}])
        to_stderr(f"Going on with {plan.sweep.sweep_id}: {there:,} of {count:,} are there already.")
        if failed:
            to_stderr(f"{failed:,} failed; run these again with: dayfly retry {plan.sweep.sweep_id} --failed")
    if changed := code_changed_since(plan):
        named = safe_text(changed[0]) + (f" and {len(changed) - 1} more" if len(changed) > 1 else "")
        to_stderr(f"{named} changed since. Such files are not compared: --force runs all points again.")


def _watch(begun: Begun, *, detach: bool, quiet: bool, as_json: bool) -> None:
    """Watch a sweep to its end and exit with its code, or leave it."""
    from dayfly.backends.sweep_start import wait_until_taken_up
    from dayfly.cli.sweep_summary import exit_sweep
    from dayfly.cli.sweep_views import QuietSweepView, choose_sweep_view
    from dayfly.cli.sweep_watch import watch_sweep

    sweep_, process = begun.sweep, begun.process
    if begun.busy and not (quiet or as_json):
        to_stderr("It is running already, as another command began it; this one watches.")
    if detach:
        wait_until_taken_up(begun)
        typer.echo(sweep_.sweep_id)
        if not quiet:
            to_stderr(f"running; follow it with: dayfly attach {sweep_.sweep_id}")
        return
    if process is None and not begun.busy:  # nothing is left to run
        exit_sweep(sweep_, sweep_.look(), quiet=quiet, as_json=as_json)
    if process is None:
        watch_or_leave_sweep(sweep_, quiet=quiet, as_json=as_json)
    try:
        with choose_sweep_view(sweep_, quiet=quiet, as_json=as_json) as view:
            overview = watch_sweep(sweep_, process, view)
    except BrokenPipeError:  # nobody reads what we show: the exit code still tells how it ends
        replace_broken_streams()
        overview = watch_sweep(sweep_, process, QuietSweepView())
    if overview.working:  # ours gave way to one that another command began at the same moment
        watch_or_leave_sweep(sweep_, quiet=quiet, as_json=as_json)
    exit_sweep(sweep_, overview, quiet=quiet, as_json=as_json)


def watch_or_leave_sweep(sweep_: Sweep, *, quiet: bool, as_json: bool) -> None:
    """Watch a sweep that another process executes to its end, and exit; after Ctrl-C it goes on."""
    from dayfly.cli.sweep_summary import exit_sweep
    from dayfly.cli.sweep_views import choose_sweep_view
    from dayfly.cli.sweep_watch import watch_sweep
    from dayfly.cli.watch import DetachedError

    try:
        with choose_sweep_view(sweep_, quiet=quiet, as_json=as_json) as view:
            overview = watch_sweep(sweep_, None, view)
    except DetachedError:
        to_stderr(f"The sweep goes on. Come back with: dayfly attach {sweep_.sweep_id}")
        to_stderr(f"End it with: dayfly stop {sweep_.sweep_id}")
        raise typer.Exit(0) from None
    exit_sweep(sweep_, overview, quiet=quiet, as_json=as_json)


def retry(
    name: SweepArgument,
    failed: Annotated[bool, typer.Option("--failed", help="Those that failed or timed out, too.")] = False,
    detach: options.DetachOption = False,
    quiet: options.QuietOption = False,
    as_json: options.EventsOption = False,
    yes: options.YesOption = False,
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """Run what is left of a sweep: points that were never begun, lost, interrupted or cancelled.

    With `--failed` also those whose notebook failed, and `S[7]` runs one point again, whatever came of it.
    The notebook is the sweep's own, as it was then: for a mended one, give the same `dayfly sweep` again.
    """
    from dayfly.backends.sweep_start import go_on, pool_for

    sweep_, index = find_sweep(name, store, local=local)
    overview = sweep_.look()
    if not (quiet or as_json):
        _tell_changed(sweep_)
    chosen = [index] if index is not None else []
    if failed:
        chosen += [i for i, s in enumerate(overview.states) if s in {State.FAILED, State.TIMED_OUT}]
    backend, agreed = sweep_.request.run.backend, None
    if backend == "batch":
        agreed = _agree_to_retry(sweep_, overview, chosen, yes=yes, quiet=quiet or as_json)
    asked = sweep_.retry(chosen)
    if not (quiet or as_json):
        to_stderr(f"{len(overview.open) + asked:,} of {len(sweep_.points):,} points are to be run.")
    begin = partial(go_on, sweep_, os.environ, pool_for(backend, agreed=agreed))
    here = backend != "batch" and sweep_.store.root is not None
    _begin_and_watch(begin, here=here, detach=detach, quiet=quiet, as_json=as_json)


def _agree_to_retry(
    sweep_: Sweep, overview: Overview, chosen: Sequence[int], *, yes: bool, quiet: bool
) -> Agreed:
    """Say what would be submitted to AWS Batch; nobody has been asked for anything until then."""
    from dayfly.backends.batch import plan_retry
    from dayfly.cli.batch_plan import agree_to_batch

    again = [index for index in chosen if overview.states[index] in SETTLED]
    plan = plan_retry(sweep_.store, sweep_.request, sweep_.points, again, os.environ)
    return agree_to_batch(plan, yes=yes, quiet=quiet)


def _tell_changed(sweep_: Sweep) -> None:
    """Say so when the notebook is no longer what the sweep runs."""
    request = sweep_.request
    try:
        content = Path(request.run.notebook).read_bytes()
    except OSError:
        return
    if notebook_identity(content) != request.notebook_sha256:
        to_stderr(f"{request.run.notebook} has changed since: what runs is the sweep's own, as it was then.")
        where = ", from a commit that has it" if request.run.snapshot is not None else ""
        to_stderr(f"For the new one, give the same dayfly sweep again{where}: it begins another.")

"""From what a user asks to a request in the store. Everything that can be wrong is found before."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from dayfly.backends.asked import STANDARD_INPUT, Asked
from dayfly.backends.source import Source, find_source
from dayfly.backends.workplace import Workplace, local_workplace
from dayfly.errors import ParameterError, StoreError, UsageError
from dayfly.project.load import Project
from dayfly.runner.inspection import check_parameters, inspect_parameters
from dayfly.runner.kernelspecs import NATIVE, home_directory
from dayfly.runner.notebook import kernel_name_of, parse_notebook
from dayfly.runner.parameters import inject_parameters
from dayfly.runs import ids, layout
from dayfly.runs.request import Request
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store, open_store

_ID_ATTEMPTS = 20


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A request that has been checked, the notebook that goes with it, and the commit's bundle."""

    request: Request
    content: bytes
    bundle: IO[bytes] | None = None
    """Of the commit to carry; None for a run in the working tree, or whose bundle is in the store."""


def plan_submission(asked: Asked, project: Project, environ: Mapping[str, str], now: datetime) -> Submission:
    """Check everything and say what would run; creates nothing but an image, where one is needed.

    Raises UsageError and its kin for a notebook, parameter, directory or kernel that is not right.
    """
    with find_source(asked, project, environ) as source:
        request = _plan_request(asked, source, project, environ, now)
        # The file goes with the source, but not as long as it is open here.
        bundle = source.bundle.open("rb") if source.bundle is not None else None
        return Submission(request=request, content=source.content, bundle=bundle)


def _plan_request(
    asked: Asked, source: Source, project: Project, environ: Mapping[str, str], now: datetime
) -> Request:
    _check_flags(asked, project)
    output_copy = _output_copy(asked.output_copy)
    name = "standard input" if asked.notebook == STANDARD_INPUT else asked.notebook
    notebook = parse_notebook(source.content, name)
    parameters = check_parameters(
        asked.parameters,
        inspect_parameters(notebook) if asked.parameters else None,
        notebook=name,
        allow_unknown=asked.allow_unknown,
    )
    workplace = _find_workplace(asked, source, project, environ)
    settings = project.settings
    kernel = settings.kernel or kernel_name_of(notebook) or NATIVE
    spec = workplace.find_kernel(kernel)
    inject_parameters(notebook, parameters, kernel=spec.name, language=spec.language)  # can it be done?
    from_stdin = asked.notebook == STANDARD_INPUT
    request = Request(
        run_id=ids.new_run_id("stdin" if from_stdin else asked.notebook, now),
        created=now,
        notebook=STANDARD_INPUT if from_stdin else str(Path(asked.notebook).absolute()),
        backend=asked.backend,
        snapshot=workplace.snapshot,
        image=workplace.image,
        cpus=settings.cpus,
        memory_bytes=settings.memory,
        gpus=settings.gpus,
        parameters=parameters,
        kernel=kernel,
        kernel_transport=settings.kernel_transport,
        python=workplace.python,
        cwd=workplace.cwd,
        outputs=workplace.outputs,
        timeout_s=settings.timeout,
        cell_timeout_s=settings.cell_timeout,
        grace_s=settings.grace,
        output_limit_bytes=settings.output_limit,
        allow_errors=settings.allow_errors,
        output_copy=output_copy,
        rerun_of=asked.rerun_of,
    )
    _check_writable(request)
    return request


def _check_flags(asked: Asked, project: Project) -> None:
    """Raises UsageError for a flag that means nothing where the run is to be executed."""
    foreign = ("cpus", "memory", "gpus") if asked.backend == "local" else ("python",)
    for name in foreign:
        if project.sources[name].startswith("flag"):
            raise UsageError(
                f"--{name} means nothing to a run on {asked.backend}.",
                why="A run on local has no limits but those of its machine."
                if asked.backend == "local"
                else "A run in a container has the Python of its image.",
                hint="Run it in the project's image: --on docker" if asked.backend == "local" else "",
            )


def _find_workplace(asked: Asked, source: Source, project: Project, environ: Mapping[str, str]) -> Workplace:
    if asked.backend == "local":
        return local_workplace(asked, source, project, environ)
    from dayfly.backends.docker_workplace import docker_workplace

    return docker_workplace(asked, source, project, environ)


def _check_writable(request: Request) -> None:
    """Raises ParameterError for a value that a request cannot keep, such as an object of some library."""
    try:
        request.model_dump_json(include={"parameters"})
    except ValueError as error:
        raise ParameterError(
            "A parameter cannot be written as JSON.",
            why=str(error),
            hint="Give numbers, text, true or false, lists and dictionaries of these.",
        ) from error


def _output_copy(asked: str | None) -> str | None:
    if asked is None or asked == STANDARD_INPUT:
        return None
    target = Path(asked).absolute()
    if target.is_dir():
        raise UsageError(f"{asked} is a directory.", hint="Give the executed notebook a name: -o out.ipynb")
    if not target.parent.is_dir():
        raise UsageError(f"There is no directory {target.parent} for {asked}.", hint="Make it first.")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"The directory {target.parent} cannot be written.")
    return str(target)


def create_run(store: Store, submission: Submission) -> Request:
    """Put the request into the store: from now on the run exists. Returns the request as it stands.

    The run directory is this run's alone: the request is created, never overwritten, and an id that is
    taken is replaced by another.
    """
    request = submission.request
    if submission.bundle is not None and request.snapshot is not None:
        key = layout.snapshot_key(request.snapshot.commit)
        if not store.exists(key):  # all runs of a commit share it
            store.put(key, submission.bundle)
    for _ in range(_ID_ATTEMPTS):
        if store.create(layout.run_key(request.run_id, layout.REQUEST), request.to_bytes()):
            _complete(store, request, submission.content)
            return request
        again = ids.new_run_id(ids.notebook_slug(request.run_id), datetime.now(UTC))
        request = request.model_copy(update={"run_id": again})
    raise StoreError(f"No free run id could be found in {store.url}.")


def _complete(store: Store, request: Request, content: bytes) -> None:
    """What a run needs beside its request; without it, not even the request stays."""
    try:
        store.put(layout.run_key(request.run_id, layout.INPUT), content)
        put_status(store, request.run_id, State.REQUESTED, request.created)
    except BaseException:
        with suppress(StoreError):
            names = (layout.INPUT, layout.REQUEST)
            store.delete([layout.run_key(request.run_id, name) for name in names])
        raise


def open_project_store(project: Project, environ: Mapping[str, str]) -> Store:
    """The store that the settings name, or the project's own, or the user's."""
    setting = project.settings.store
    if setting is None:
        if project.root is not None:
            return open_store(project.root / ".dayfly")
        return open_store(_user_data_directory(environ) / "dayfly")
    if "://" in setting:
        return open_store(setting)
    from_file = project.sources["store"].startswith(("dayfly.toml", "pyproject.toml"))
    return open_store(project.resolve(setting) if from_file else Path(setting).expanduser())


def _user_data_directory(environ: Mapping[str, str]) -> Path:
    if environ.get("XDG_DATA_HOME"):
        return Path(environ["XDG_DATA_HOME"])
    home = home_directory(environ)
    return home / "Library" / "Application Support" if sys.platform == "darwin" else home / ".local" / "share"

"""From what a user asks to a request in the store. Everything that can be wrong is found before."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dayfly.backends.python import OWN_ENVIRONMENT, choose_python
from dayfly.errors import KernelMissingError, ParameterError, StoreError, UsageError
from dayfly.project.load import Project
from dayfly.runner.inspection import check_parameters, inspect_parameters
from dayfly.runner.kernelspecs import NATIVE, KernelSpec, home_directory, load_kernelspec
from dayfly.runner.notebook import kernel_name_of, parse_notebook
from dayfly.runner.parameters import inject_parameters
from dayfly.runs import ids, layout
from dayfly.runs.request import PythonEnvironment, Request
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store, open_store

STANDARD_INPUT = "-"
_ID_ATTEMPTS = 20


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a user asks for beside the settings."""

    notebook: str
    """A path, or `-` for standard input."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    allow_unknown: bool = False
    output_copy: str | None = None
    rerun_of: str | None = None
    content: bytes | None = None
    """The notebook itself, when it is not to be read from the path."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A request that has been checked, and the notebook that goes with it."""

    request: Request
    content: bytes


def plan_submission(asked: Asked, project: Project, environ: Mapping[str, str], now: datetime) -> Submission:
    """Check everything and say what would run; creates nothing.

    Raises UsageError and its kin for a notebook, parameter, directory or kernel that is not right.
    """
    settings = project.settings
    content = asked.content if asked.content is not None else _read(asked.notebook)
    name = "standard input" if asked.notebook == STANDARD_INPUT else asked.notebook
    notebook = parse_notebook(content, name)
    parameters = check_parameters(
        asked.parameters,
        inspect_parameters(notebook) if asked.parameters else None,
        notebook=name,
        allow_unknown=asked.allow_unknown,
    )
    cwd = _working_directory(asked.notebook, settings.cwd, project)
    folders = [cwd] + ([project.root] if project.root else [])
    python = choose_python(
        settings.python, source=project.sources["python"], folders=folders, environ=environ
    )
    kernel = settings.kernel or kernel_name_of(notebook) or NATIVE
    spec = _find_kernel(kernel, python, environ)
    inject_parameters(notebook, parameters, kernel=spec.name, language=spec.language)  # can it be done?
    from_stdin = asked.notebook == STANDARD_INPUT
    request = Request(
        run_id=ids.new_run_id("stdin" if from_stdin else asked.notebook, now),
        created=now,
        notebook=STANDARD_INPUT if from_stdin else str(Path(asked.notebook).absolute()),
        parameters=parameters,
        kernel=kernel,
        kernel_transport=settings.kernel_transport,
        python=python,
        cwd=str(cwd),
        outputs=str(project.resolve(settings.outputs)) if settings.outputs else None,
        timeout_s=settings.timeout,
        cell_timeout_s=settings.cell_timeout,
        grace_s=settings.grace,
        output_limit_bytes=settings.output_limit,
        allow_errors=settings.allow_errors,
        output_copy=_output_copy(asked.output_copy),
        rerun_of=asked.rerun_of,
    )
    _check_writable(request)
    return Submission(request=request, content=content)


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


def _read(notebook: str) -> bytes:
    if notebook == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(notebook).read_bytes()
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no notebook {notebook}.", hint=f"The current directory is {Path.cwd()}."
        ) from error
    except OSError as error:
        raise UsageError(f"{notebook} cannot be read.", why=str(error.strerror)) from error


def _find_kernel(kernel: str, python: PythonEnvironment, environ: Mapping[str, str]) -> KernelSpec:
    try:
        return load_kernelspec(kernel, python=python.executable, prefix=Path(python.prefix), environ=environ)
    except KernelMissingError as error:
        if python.source != OWN_ENVIRONMENT:
            raise
        raise KernelMissingError(
            error.what,
            why=f"No environment is active, and there is no .venv beside the notebook. {error.why}",
            hint="Activate the notebook's environment, name it with --python, or make one beside it:\n"
            "python3 -m venv .venv && .venv/bin/pip install ipykernel",
        ) from error


def _working_directory(notebook: str, asked: str | None, project: Project) -> Path:
    if asked is not None:
        from_file = project.sources["cwd"].startswith(("dayfly.toml", "pyproject.toml"))
        cwd = project.resolve(asked) if from_file else Path(asked).expanduser().absolute()
    else:
        cwd = Path.cwd() if notebook == STANDARD_INPUT else Path(notebook).absolute().parent
    if not cwd.is_dir():
        raise UsageError(f"There is no directory {cwd} to run the notebook in.", hint="See --cwd.")
    return cwd


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

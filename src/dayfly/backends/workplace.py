"""Where a run is executed, as far as its request must know: directory, Python, kernels."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dayfly.backends.asked import STANDARD_INPUT, Asked
from dayfly.backends.python import OWN_ENVIRONMENT, choose_python
from dayfly.backends.source import Source
from dayfly.errors import KernelMissingError, UsageError
from dayfly.project.load import Project
from dayfly.runner.directories import cache_directory
from dayfly.runner.kernelspecs import KernelSpec, load_kernelspec
from dayfly.runs.request import ImageSource, PythonEnvironment, SnapshotSource

if TYPE_CHECKING:
    from dayfly.backends.batch_target import BatchTarget
    from dayfly.backends.ec2_target import Ec2Target


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """Paths are absolute, as the runner will see them. `find_kernel` raises KernelMissingError."""

    python: PythonEnvironment
    cwd: str
    outputs: str | None
    find_kernel: Callable[[str], KernelSpec]
    snapshot: SnapshotSource | None = None
    image: ImageSource | None = None
    target: Ec2Target | None = None
    """Where in AWS, for a run on a machine."""
    batch: BatchTarget | None = None
    """Where in AWS, for a sweep on Batch."""


def local_workplace(asked: Asked, source: Source, project: Project, environ: Mapping[str, str]) -> Workplace:
    """This machine: the notebook's own directory, or a checkout of its own for a snapshot."""
    here = working_directory(asked.notebook, project)
    if source.snapshot is None and not here.is_dir():
        raise UsageError(f"There is no directory {here} to run the notebook in.", hint="See --cwd.")
    folders = [here] + ([project.root] if project.root else [])
    python = choose_python(
        project.settings.python, source=project.sources["python"], folders=folders, environ=environ
    )
    outputs = project.resolve(project.settings.outputs) if project.settings.outputs else None
    cwd = here
    snapshot = None
    if source.snapshot is not None:
        checkout = new_checkout(source.snapshot.commit, environ)
        snapshot = snapshot_source(source, str(checkout))
        cwd = within(checkout, here, source.snapshot.repository) or here
        outputs = outputs and (within(checkout, outputs, source.snapshot.repository) or outputs)
    return Workplace(
        python=python,
        cwd=str(cwd),
        outputs=str(outputs) if outputs else None,
        find_kernel=lambda kernel: _find_kernel(kernel, python, environ),
        snapshot=snapshot,
    )


def new_checkout(commit: str, environ: Mapping[str, str]) -> Path:
    """A directory of a run's own for a checkout of `commit`; made by the run, and removed by it."""
    return cache_directory(environ) / "checkouts" / f"{commit[:12]}-{secrets.token_hex(4)}"


def snapshot_source(source: Source, checkout: str) -> SnapshotSource | None:
    """What the request says of the snapshot, checked out at `checkout`."""
    snapshot = source.snapshot
    if snapshot is None:
        return None
    return SnapshotSource(
        commit=snapshot.commit,
        tree=snapshot.tree,
        base=snapshot.base,
        branch=snapshot.branch,
        dirty=snapshot.dirty,
        checkout=checkout,
        notebook=str(source.notebook) if source.notebook is not None else None,
    )


def within(checkout: Path, path: Path, repository: Path) -> Path | None:
    """Where `path`, which lies in the repository, lies in its checkout; None for one from elsewhere."""
    try:
        return checkout / path.resolve().relative_to(repository.resolve())
    except ValueError:
        return None


def working_directory(notebook: str, project: Project) -> Path:
    """The directory on this machine that the notebook belongs to, or that the settings name."""
    asked = project.settings.cwd
    if asked is None:
        return Path.cwd() if notebook == STANDARD_INPUT else Path(notebook).absolute().parent
    from_file = project.sources["cwd"].startswith(("dayfly.toml", "pyproject.toml"))
    return project.resolve(asked) if from_file else Path(asked).expanduser().absolute()


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

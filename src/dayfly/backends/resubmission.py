"""The same request again, from a run directory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from dayfly.backends.creation import Submission
from dayfly.backends.python import choose_python
from dayfly.backends.workplace import new_checkout
from dayfly.errors import ImageError, RunConflictError, UsageError
from dayfly.project.load import Project
from dayfly.runner.kernelspecs import load_kernelspec
from dayfly.runs import ids, layout
from dayfly.runs.request import PythonEnvironment, Request
from dayfly.runs.run import Run


def plan_rerun(
    run: Run, project: Project, environ: Mapping[str, str], now: datetime, *, python: str | None
) -> Submission:
    """What repeats `run`: its notebook, parameters, directory, kernel and settings, as they were.

    `python` replaces the environment, for one that is gone; `project` says in which AWS account a machine is
    made. Raises RunConflictError when the notebook is not there any more or is not what the receipt says,
    and UsageError when its directory is gone.
    """
    request = run.request
    content = run.store.get(layout.run_key(run.run_id, layout.INPUT))
    if content is None:
        raise RunConflictError(f"The run {run.run_id} no longer has its notebook ({layout.INPUT}).")
    if run.receipt is not None and any(problem.startswith(f"{layout.INPUT} ") for problem in run.verify()):
        raise RunConflictError(
            f"The notebook in the run {run.run_id} is not the one that ran.",
            why=f"{layout.INPUT} does not match the receipt.",
            hint=f"See more with: dayfly verify {run.run_id}",
        )
    changes = {
        "run_id": ids.new_run_id(_name(request.notebook), now),
        "created": now,
        "output_copy": None,
        "rerun_of": run.run_id,
        **_checkout_again(run, request, environ),
    }
    target = None
    if request.backend == "ec2":
        from dayfly.backends.ec2_workplace import target_again

        _check_python(python)
        target = target_again(request, project, environ)
        if request.snapshot is not None and not target.mirror:
            _check_bundle(run, request.snapshot.commit)
        now = target.aws.now()  # a deadline is kept by AWS's clock
        changes |= {"run_id": ids.new_run_id(_name(request.notebook), now), "created": now}
        changes["machine"] = target.machine(now)
    elif request.backend == "docker":
        _check_image(request, environ, python)
    else:
        changes["python"] = _python_again(run, request, environ, python)
    return Submission(request=request.model_copy(update=changes), content=content, target=target)


def _checkout_again(run: Run, request: Request, environ: Mapping[str, str]) -> dict[str, Any]:
    """What changes with a checkout of its own for the new run."""
    source = request.snapshot
    if source is None:
        if not Path(request.cwd).is_dir():
            raise UsageError(f"The directory {request.cwd}, in which the notebook ran, is gone.")
        return {}
    if request.backend == "ec2":  # whose commit may be in the mirror instead
        return {}
    _check_bundle(run, source.commit)
    if request.backend != "local":
        return {}
    checkout = str(new_checkout(source.commit, environ))
    return {
        "snapshot": source.model_copy(update={"checkout": checkout}),
        "cwd": request.cwd.replace(source.checkout, checkout, 1),
        "outputs": request.outputs and request.outputs.replace(source.checkout, checkout, 1),
    }


def _check_bundle(run: Run, commit: str) -> None:
    if not run.store.exists(layout.snapshot_key(commit)):
        raise RunConflictError(
            f"The snapshot of the run {run.run_id} is gone.",
            why=f"The store has no bundle of {commit[:12]}.",
            hint=f"If the repository has that commit, run it with: --commit {commit[:12]}",
        )


def _python_again(
    run: Run, request: Request, environ: Mapping[str, str], python: str | None
) -> PythonEnvironment:
    environment = choose_python(
        python or request.python.executable,
        source="--python" if python else f"as in {run.run_id}",
        folders=[],
        environ=environ,
    )
    load_kernelspec(
        request.kernel, python=environment.executable, prefix=Path(environment.prefix), environ=environ
    )
    return environment


def _check_python(python: str | None) -> None:
    if python is not None:
        raise UsageError("--python is for runs on local.", why="A run in a container has its image's Python.")


def _check_image(request: Request, environ: Mapping[str, str], python: str | None) -> None:
    from dayfly.environment.docker import Docker

    _check_python(python)
    image = request.image
    if image is not None and Docker(environ=environ).inspect("image", image.id) is None:
        raise ImageError(
            f"The image {image.tag} of that run is gone.",
            why=f"The Docker engine has none with the id {image.id}.",
            hint="Build the project's image of today, and run the notebook with it: dayfly run --on docker",
        )


def _name(notebook: str) -> str:
    return "stdin" if notebook == "-" else notebook

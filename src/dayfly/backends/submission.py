"""From what a user asks to a request in the store. Everything that can be wrong is found before."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from dayfly.backends.asked import STANDARD_INPUT, Asked
from dayfly.backends.creation import Submission
from dayfly.backends.source import Source, find_source
from dayfly.backends.workplace import Workplace, local_workplace
from dayfly.errors import ParameterError, UsageError
from dayfly.project.load import Project
from dayfly.runner.inspection import check_parameters, inspect_parameters
from dayfly.runner.kernelspecs import NATIVE
from dayfly.runner.notebook import kernel_name_of, parse_notebook
from dayfly.runner.parameters import inject_parameters
from dayfly.runs import ids
from dayfly.runs.request import Request


def plan_submission(asked: Asked, project: Project, environ: Mapping[str, str], now: datetime) -> Submission:
    """Check everything and say what would run; creates nothing but an image, where one is needed.

    Raises UsageError and its kin for a notebook, parameter, directory or kernel that is not right.
    """
    with find_source(asked, project, environ) as source:
        request, workplace = _plan_request(asked, source, project, environ, now)
        # The file goes with the source, but not as long as it is open here.
        target = workplace.target
        mirrored = target is not None and bool(target.mirror)
        bundle = source.bundle.open("rb") if source.bundle is not None and not mirrored else None
        return Submission(
            request=request,
            content=source.content,
            bundle=bundle,
            target=target,
            batch=workplace.batch,
            token=asked.token,
        )


def _plan_request(
    asked: Asked, source: Source, project: Project, environ: Mapping[str, str], now: datetime
) -> tuple[Request, Workplace]:
    _check_flags(asked, project)
    output_copy = _output_copy(asked.output_copy)
    name = "standard input" if asked.notebook == STANDARD_INPUT else asked.notebook
    notebook = parse_notebook(source.content, name)
    asked.look_at(notebook)  # a sweep's points, of which the first is ours: it says where in a file it stands
    parameters = check_parameters(
        asked.parameters,
        inspect_parameters(notebook) if asked.parameters else None,
        notebook=name,
        allow_unknown=asked.allow_unknown,
    )
    workplace = _find_workplace(asked, source, project, environ)
    target = workplace.target
    if target is not None:  # its deadline is kept by AWS's clock
        now = target.aws.now()
    elif workplace.batch is not None:
        now = workplace.batch.aws.now()
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
        machine=target.machine(now) if target is not None else None,
        cpus=settings.cpus,
        memory_bytes=settings.memory,
        gpus=settings.gpus,
        parameters=parameters,
        kernel=kernel,
        kernel_transport=settings.kernel_transport,
        python=workplace.python,
        cwd=workplace.cwd,
        outputs=workplace.outputs,
        timeout_s=target.timeout_s if target is not None else settings.timeout,
        cell_timeout_s=settings.cell_timeout,
        grace_s=settings.grace,
        output_limit_bytes=settings.output_limit,
        allow_errors=settings.allow_errors,
        output_copy=output_copy,
        rerun_of=asked.rerun_of,
    )
    _check_writable(request)
    if target is not None:
        from dayfly.aws.machine import check_values

        check_values(target.plan(request))
    return request, workplace


_CONTAINER_FLAGS = ("cpus", "memory", "gpus")
_MACHINE_FLAGS = ("instance", "arch", "spot", "disk", "max_cost", "keep_on_failure")
_FOREIGN = {
    "local": (*_CONTAINER_FLAGS, *_MACHINE_FLAGS),
    "docker": ("python", *_MACHINE_FLAGS),
    "ec2": ("python", "store"),
    "batch": ("python", "store", "instance", "disk", "keep_on_failure"),
}
"""Settings that mean nothing to a run there."""
_WHY_FOREIGN = {
    "local": "A run on local has no limits but those of its machine.",
    "docker": "A run in a container has the Python of its image, and the machine that is there.",
    "ec2": "A run on a machine has the Python of its image, and its store is the project's bucket.",
    "batch": "AWS Batch chooses the machines, and a sweep there has its image's Python and the bucket.",
}


def _check_flags(asked: Asked, project: Project) -> None:
    """Raises UsageError for a flag that means nothing where the run is to be executed."""
    for name in _FOREIGN[asked.backend]:
        if project.sources[name].startswith("flag"):
            raise UsageError(
                f"--{name.replace('_', '-')} means nothing to a run on {asked.backend}.",
                why=_WHY_FOREIGN[asked.backend],
                hint=_hint_for(name, asked.backend),
            )
    if asked.backend != "ec2" and (asked.token or asked.ssh_cidr):
        raise UsageError(
            f"{'--token' if asked.token else '--ssh'} is for runs on machines.", hint="Add: --on ec2"
        )


def _hint_for(name: str, backend: str) -> str:
    if name in _MACHINE_FLAGS:
        return "Run it on a machine: --on ec2"
    if backend == "local":
        return "Run it in the project's image: --on docker"
    return ""


def _find_workplace(asked: Asked, source: Source, project: Project, environ: Mapping[str, str]) -> Workplace:
    if asked.backend == "local":
        return local_workplace(asked, source, project, environ)
    if asked.backend == "ec2":
        from dayfly.backends.ec2_workplace import ec2_workplace

        return ec2_workplace(asked, source, project, environ)
    if asked.backend == "batch":
        from dayfly.backends.batch import batch_workplace

        return batch_workplace(asked, source, project, environ)
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

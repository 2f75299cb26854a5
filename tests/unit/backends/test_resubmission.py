import sys
from datetime import timedelta
from pathlib import Path

import pytest

from dayfly.backends.resubmission import plan_rerun
from dayfly.errors import KernelMissingError, RunConflictError, UsageError
from dayfly.project.load import Project
from dayfly.project.settings import Settings
from dayfly.runs import layout
from dayfly.runs.receipt import hash_bytes
from dayfly.runs.request import PythonEnvironment
from dayfly.runs.run import Run
from dayfly.runs.store import open_store
from tests.unit.support import NOW, RUN_ID, make_receipt, make_request, put_run

CONTENT = b"the notebook that ran"
LATER = NOW + timedelta(hours=1)
ENVIRON = {"JUPYTER_DATA_DIR": "/none", "PATH": "/none"}
PROJECT = Project(root=None, file=None, settings=Settings(), sources={})


def write_venv(folder: Path, *, ipykernel: bool = True) -> Path:
    site = folder / "lib" / "python3.11" / "site-packages"
    (site / "ipykernel" if ipykernel else site).mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / "pyvenv.cfg").touch()
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that has ended, in an environment that is still there."""
    venv = write_venv(tmp_path / "venv")
    store = open_store("memory://")
    put_run(store)
    request = make_request(
        cwd=str(tmp_path),
        parameters={"alpha": 0.1},
        timeout_s=60.0,
        output_copy="/home/ada/out.ipynb",
        python=PythonEnvironment(executable=f"{venv}/bin/python", prefix=str(venv), source="a test"),
    )
    store.put(layout.run_key(RUN_ID, layout.REQUEST), request.to_bytes())
    store.put(layout.run_key(RUN_ID, layout.INPUT), CONTENT)
    files = {layout.INPUT: hash_bytes(iter([CONTENT])), "outputs/input.ipynb": hash_bytes(iter([b""]))}
    store.put(layout.run_key(RUN_ID, layout.RECEIPT), make_receipt(files).to_bytes())
    return Run(RUN_ID, store)


def test_it_is_the_same_request_under_a_new_id(run: Run) -> None:
    submission = plan_rerun(run, PROJECT, ENVIRON, LATER, python=None)
    request = submission.request
    assert submission.content == CONTENT
    assert (request.parameters, request.timeout_s) == ({"alpha": 0.1}, 60.0)
    assert request.run_id.startswith("20261123-111502-analysis-")
    assert (request.created, request.rerun_of) == (LATER, RUN_ID)
    assert request.python.prefix == run.request.python.prefix


def test_what_the_first_wrote_elsewhere_is_not_overwritten(run: Run) -> None:
    assert plan_rerun(run, PROJECT, ENVIRON, LATER, python=None).request.output_copy is None


def test_a_notebook_that_is_not_the_one_that_ran_is_refused(run: Run) -> None:
    run.store.put(layout.run_key(RUN_ID, layout.INPUT), b"another notebook")
    with pytest.raises(RunConflictError, match="is not the one that ran") as caught:
        plan_rerun(run, PROJECT, ENVIRON, LATER, python=None)
    assert f"dayfly verify {RUN_ID}" in caught.value.hint


def test_outputs_that_were_changed_do_not_matter(run: Run) -> None:
    """Not even one that bears the same name: it is missing here."""
    plan_rerun(run, PROJECT, ENVIRON, LATER, python=None)


def test_a_notebook_that_is_gone_is_refused(run: Run) -> None:
    run.store.delete([layout.run_key(RUN_ID, layout.INPUT)])
    with pytest.raises(RunConflictError, match="no longer has its notebook"):
        plan_rerun(run, PROJECT, ENVIRON, LATER, python=None)


def test_a_directory_that_is_gone_is_refused(run: Run) -> None:
    gone = run.request.model_copy(update={"cwd": "/gone"})
    run.store.put(layout.run_key(RUN_ID, layout.REQUEST), gone.to_bytes())
    with pytest.raises(UsageError, match="The directory /gone"):
        plan_rerun(run, PROJECT, ENVIRON, LATER, python=None)


def test_an_environment_that_is_gone_can_be_replaced(run: Run, tmp_path: Path) -> None:
    (tmp_path / "venv" / "bin" / "python").unlink()
    with pytest.raises(KernelMissingError, match="is no Python"):
        plan_rerun(run, PROJECT, ENVIRON, LATER, python=None)
    other = write_venv(tmp_path / "other")
    request = plan_rerun(run, PROJECT, ENVIRON, LATER, python=str(other)).request
    assert (request.python.prefix, request.python.source) == (str(other), "--python")


def test_an_environment_that_lost_its_kernel_is_refused(run: Run, tmp_path: Path) -> None:
    other = write_venv(tmp_path / "other", ipykernel=False)
    with pytest.raises(KernelMissingError):
        plan_rerun(run, PROJECT, ENVIRON, LATER, python=str(other))

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dayfly.errors import RunConflictError
from dayfly.runner.main import execute_run, kernel_environment
from dayfly.runs import layout
from dayfly.runs.lock import acquire_lock
from dayfly.runs.result import Reason, Result
from dayfly.runs.state import State
from tests.unit.support import RUN_ID, code_cell, make_notebook, make_request, make_result, to_content


def request_for(prefix: Path) -> dict[str, Any]:
    return {"run_id": RUN_ID, "python": {"prefix": str(prefix)}}


def test_the_environment_of_the_kernel_is_activated(tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").touch()
    environ = {"PATH": "/bin", "HOME": "/home/ada", "VIRTUAL_ENV": "/elsewhere"}
    values = kernel_environment(environ, request_for(tmp_path), Path("/run/outputs"))
    assert values["PATH"] == f"{tmp_path}/bin:/bin"
    assert values["VIRTUAL_ENV"] == str(tmp_path)
    assert values["HOME"] == "/home/ada"


def test_the_notebook_is_told_its_run_and_where_its_outputs_go(tmp_path: Path) -> None:
    values = kernel_environment({}, request_for(tmp_path), Path("/run/outputs"))
    assert values["DAYFLY_RUN_ID"] == RUN_ID
    assert values["DAYFLY_OUTPUTS"] == "/run/outputs"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    made = tmp_path / RUN_ID
    made.mkdir()
    request = make_request(kernel="no-such-kernel", cwd=str(tmp_path))
    (made / layout.REQUEST).write_bytes(request.to_bytes())
    (made / layout.INPUT).write_bytes(to_content(make_notebook(code_cell())))
    return made


def test_a_run_that_has_ended_is_not_executed_again(run_dir: Path) -> None:
    (run_dir / layout.RESULT).write_bytes(make_result(state=State.TIMED_OUT).to_bytes())
    assert execute_run(run_dir) == State.TIMED_OUT.exit_code


def test_a_run_that_another_runner_has_is_left_alone(run_dir: Path) -> None:
    descriptor = acquire_lock(run_dir)
    try:
        with pytest.raises(RunConflictError):
            execute_run(run_dir)
    finally:
        os.close(descriptor)
    assert not (run_dir / layout.RESULT).exists()


def test_a_kernel_that_is_not_there_ends_the_run_with_a_result(run_dir: Path) -> None:
    states: list[State] = []
    assert execute_run(run_dir, states.append) == State.FAILED.exit_code
    result = Result.model_validate_json((run_dir / layout.RESULT).read_bytes())
    assert result.reason is Reason.KERNEL_MISSING
    assert "no-such-kernel" in result.message
    assert states == [State.FAILED]


def test_the_lock_is_let_go_when_the_run_has_ended(run_dir: Path) -> None:
    execute_run(run_dir)
    os.close(acquire_lock(run_dir))


def test_whatever_goes_wrong_ends_in_a_result(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Here a request that is not whole."""
    request = json.loads((run_dir / layout.REQUEST).read_bytes())
    del request["cwd"]
    request["kernel"] = "python3"
    (run_dir / layout.REQUEST).write_text(json.dumps(request))
    assert execute_run(run_dir) == State.FAILED.exit_code
    assert (run_dir / layout.RESULT).exists()

"""What a run directory holds when a run has ended, also on a disk that fails."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from dayfly.runner.annotate import prepare_notebook
from dayfly.runner.closing import (
    close_run,
    copy_output,
    keep_reserve,
    release_reserve,
    save_notebook,
)
from dayfly.runner.context import Session
from dayfly.runner.ending import Ending, Intent
from dayfly.runner.facts import Facts
from dayfly.runner.journal import Journal
from dayfly.runner.kernelspecs import KernelSpec
from dayfly.runner.launch import LaunchedKernel
from dayfly.runner.notebook_file import NotebookFile, Snapshot
from dayfly.runs import layout
from dayfly.runs.atomic import write_atomically
from dayfly.runs.result import Reason, Result
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.store import open_store
from tests.unit.support import NOW, RUN_ID, code_cell, make_notebook, make_request, put_run, to_content

DONE = Intent(state=State.SUCCEEDED, reason=Reason.COMPLETED, message="Every cell was executed.")
FAILED = Intent(state=State.FAILED, reason=Reason.CELL_FAILED, message="Cell 1 raised.")


class FailingFile(NotebookFile):
    """A file whose next writes fail."""

    failures: list[OSError]

    def write(self, snapshot: Snapshot) -> int:
        if self.failures:
            raise self.failures.pop(0)
        return super().write(snapshot)


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


async def no_facts() -> Facts:
    return Facts(packages={"numpy": "2.0"}, git=None, platform="Linux", host="here")


class Closing:
    """A run whose cells are done."""

    def __init__(self, root: Path) -> None:
        self.store = open_store(root / "store")
        put_run(self.store, RUN_ID, State.SAVING)
        self.run_dir = root / "store" / layout.RUNS / RUN_ID
        (self.run_dir / layout.OUTPUTS).mkdir()
        self.notebook = make_notebook(code_cell("1"))
        (self.run_dir / layout.INPUT).write_bytes(to_content(self.notebook))
        self.states: list[State] = []
        self.failures: list[OSError] = []
        self.changes: dict[str, Any] = {}

    def session(self) -> Session:
        request = make_request(**self.changes)
        prepare_notebook(self.notebook, request, NOW)
        file = FailingFile(self.run_dir / layout.OUTPUT, self.notebook)
        file.failures = self.failures
        python = ("/env/bin/python", "-m", "ipykernel_launcher")
        spec = KernelSpec(name="python3", argv=python, display_name="Python 3", language="python")
        process: Any = None
        kernel = LaunchedKernel(spec=spec, process=process, connection={})
        return Session(
            run_dir=self.run_dir,
            request=request,
            kernel=kernel,
            journal=Journal(self.run_dir, log_limit_bytes=1000),
            notebook=nbformat.from_dict(self.notebook),
            file=file,
            ending=Ending(kernel, 1),
            started=NOW,
            on_state=self.states.append,
            facts=asyncio.ensure_future(no_facts()),
        )

    def do(self, act: Callable[[Session], Awaitable[Any]]) -> Any:
        """Do this with a session, and close its files."""

        async def run() -> Any:
            session = self.session()
            try:
                return await act(session)
            finally:
                await session.facts
                session.file.close()
                session.journal.close()

        return asyncio.run(run())

    def close(self, end: Intent = DONE) -> Result:
        """Save the notebook and close the run, as a session does."""

        async def act(session: Session) -> Result:
            return await close_run(session, await save_notebook(session, end))

        result: Result = self.do(act)
        return result


@pytest.fixture
def closing(tmp_path: Path) -> Closing:
    return Closing(tmp_path)


class TestClosing:
    def test_a_run_directory_is_complete_and_matches_its_receipt(self, closing: Closing) -> None:
        (closing.run_dir / layout.OUTPUTS / "a.csv").write_text("1,2")
        result = closing.close()
        run = Run(RUN_ID, closing.store)
        assert run.result == result
        assert run.verify() == []
        assert run.receipt is not None
        assert set(run.receipt.files) >= {"request.json", "input.ipynb", "output.ipynb", "outputs/a.csv"}
        assert run.receipt.kernel.packages == {"numpy": "2.0"}

    def test_the_result_names_its_receipt(self, closing: Closing) -> None:
        receipt = hashlib.sha256()
        result = closing.close()
        receipt.update((closing.run_dir / layout.RECEIPT).read_bytes())
        assert result.receipt_sha256 == receipt.hexdigest()

    def test_the_notebook_says_how_the_run_ended(self, closing: Closing) -> None:
        closing.close(FAILED)
        metadata = nbformat.read(closing.run_dir / layout.OUTPUT, as_version=4).metadata
        assert (metadata.dayfly.state, metadata.dayfly.reason) == ("failed", "cell_failed")

    def test_the_last_event_comes_after_the_result(self, closing: Closing) -> None:
        closing.close()
        (event,) = Run(RUN_ID, closing.store).events()
        assert (event["type"], event["state"]) == ("ended", "succeeded")
        assert closing.states == [State.SUCCEEDED]

    def test_names_that_no_store_can_hold_are_changed_with_a_warning(self, closing: Closing) -> None:
        (closing.run_dir / layout.OUTPUTS / "a\nb").touch()
        result = closing.close()
        assert "was renamed" in result.warnings[0]
        assert Run(RUN_ID, closing.store).verify() == []

    def test_a_runner_log_in_which_nothing_stands_is_removed(self, closing: Closing) -> None:
        (closing.run_dir / layout.RUNNER_LOG).touch()
        closing.close()
        assert not (closing.run_dir / layout.RUNNER_LOG).exists()

    def test_one_in_which_something_stands_is_kept(self, closing: Closing) -> None:
        (closing.run_dir / layout.RUNNER_LOG).write_text("a warning")
        closing.close()
        assert (closing.run_dir / layout.RUNNER_LOG).exists()


class TestAFailingDisk:
    def test_a_full_disk_is_given_the_reserve_and_the_notebook_is_saved(self, closing: Closing) -> None:
        keep_reserve(closing.run_dir)
        closing.failures = [full()]
        assert closing.close().state is State.SUCCEEDED
        assert list(closing.run_dir.glob(".reserve*")) == []

    def test_one_that_stays_full_ends_the_run_as_failed(self, closing: Closing) -> None:
        (closing.run_dir / layout.OUTPUT).write_bytes(to_content(make_notebook()))
        closing.failures = [full(), full()]
        result = closing.close()
        assert (result.state, result.reason) == (State.FAILED, Reason.DISK_FULL)
        assert "output.ipynb is the last checkpoint" in result.message

    def test_what_failed_before_is_still_told(self, closing: Closing) -> None:
        (closing.run_dir / layout.OUTPUT).write_bytes(to_content(make_notebook()))
        closing.failures = [OSError(errno.EIO, "Input/output error")] * 2
        result = closing.close(FAILED)
        assert result.reason is Reason.SAVE_FAILED
        assert "Cell 1 raised." in result.message

    def test_outputs_that_cannot_be_collected_leave_a_result_all_the_same(self, closing: Closing) -> None:
        async def act(session: Session) -> Result:
            def collect() -> int:
                raise full()

            session.collect = collect
            return await close_run(session, await save_notebook(session, DONE))

        result: Result = closing.do(act)
        assert (result.state, result.reason) == (State.FAILED, Reason.DISK_FULL)
        assert result.receipt_sha256 is None
        assert Run(RUN_ID, closing.store).result == result

    def test_the_reserve_is_real_space_given_back_in_two_parts(self, tmp_path: Path) -> None:
        keep_reserve(tmp_path)
        sizes = [path.stat().st_blocks * 512 for path in sorted(tmp_path.iterdir())]
        assert len(sizes) == 2
        assert min(sizes) >= 64 * 1024
        release_reserve(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
        release_reserve(tmp_path, all_of_it=True)
        assert list(tmp_path.iterdir()) == []


class TestTheCopy:
    def copy(self, closing: Closing, target: Path) -> list[str]:
        (closing.run_dir / layout.OUTPUT).write_bytes(b"the notebook")
        closing.changes = {"output_copy": str(target)}

        async def act(session: Session) -> list[str]:
            copy_output(session)
            return session.journal.warnings

        warnings: list[str] = closing.do(act)
        return warnings

    def test_its_name_may_be_as_long_as_a_name_can_be(self, closing: Closing, tmp_path: Path) -> None:
        target = tmp_path / ("o" * 255)
        assert self.copy(closing, target) == []
        assert target.read_bytes() == b"the notebook"

    def test_the_notebook_is_also_where_the_user_asked_for_it(self, closing: Closing, tmp_path: Path) -> None:
        (tmp_path / "out.ipynb").write_bytes(b"old")
        assert self.copy(closing, tmp_path / "out.ipynb") == []
        assert (tmp_path / "out.ipynb").read_bytes() == b"the notebook"

    def test_where_it_cannot_be_there_is_a_warning_that_says_where_it_is(
        self, closing: Closing, tmp_path: Path
    ) -> None:
        (warning,) = self.copy(closing, tmp_path / "gone" / "out.ipynb")
        assert str(closing.run_dir / layout.OUTPUT) in warning


class TestWritingAtomically:
    def test_a_file_is_replaced(self, tmp_path: Path) -> None:
        for content in (b"one", b"two"):
            write_atomically(tmp_path / "a.json", content)
            assert (tmp_path / "a.json").read_bytes() == content
        assert len(list(tmp_path.iterdir())) == 1

    def test_what_cannot_be_written_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").mkdir()
        with pytest.raises(OSError, match="directory"):
            write_atomically(tmp_path / "a.json", json.dumps({}).encode())
        assert [path.name for path in tmp_path.iterdir()] == ["a.json"]

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dayfly.backends.asked import Asked
from dayfly.backends.creation import Submission, create_run
from dayfly.backends.stores import open_project_store
from dayfly.backends.submission import plan_submission
from dayfly.errors import DayflyError, KernelMissingError, NotebookInvalidError, ParameterError, UsageError
from dayfly.project.load import Project, load_project
from dayfly.runner.inspection import TypedText
from dayfly.runs import ids, layout
from dayfly.runs.catalog import list_runs
from dayfly.runs.request import Request
from dayfly.runs.state import State
from dayfly.runs.store import open_store
from tests.unit.support import NOW, make_notebook, tagged, to_content


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a notebook, and an environment that has ipykernel."""
    folder = tmp_path / "project"
    site = folder / ".venv" / "lib" / "python3.11" / "site-packages"
    (site / "ipykernel").mkdir(parents=True)
    (folder / ".venv" / "bin").mkdir()
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (folder / ".venv" / "pyvenv.cfg").touch()
    (folder / "dayfly.toml").write_text('store = "runs"\n')
    (folder / "nb").mkdir()
    notebook = make_notebook(tagged("parameters", "alpha: float = 0.1"))
    (folder / "nb" / "analysis.ipynb").write_bytes(to_content(notebook))
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}


Plan = Callable[..., Submission]


@pytest.fixture
def plan(project: Path, environ: dict[str, str]) -> Plan:
    def planned(notebook: str = "", flags: dict[str, Any] | None = None, **asked: Any) -> Submission:
        path = notebook or str(project / "nb" / "analysis.ipynb")
        loaded = load_project(project, environ, flags)
        return plan_submission(Asked(notebook=path, **asked), loaded, environ, NOW)

    return planned


class TestPlanning:
    def test_a_request_says_all_that_will_be_done(self, plan: Plan, project: Path) -> None:
        submission = plan(parameters={"alpha": TypedText("1", 1)}, flags={"timeout": "2h", "grace": 5})
        request = submission.request
        assert request.run_id.startswith("20261123-101502-analysis-")
        assert request.notebook == str(project / "nb" / "analysis.ipynb")
        assert request.cwd == str(project / "nb")
        assert request.parameters == {"alpha": 1.0}
        assert (request.kernel, request.timeout_s, request.grace_s) == ("python3", 7200, 5)
        assert request.python.prefix == str(project / ".venv")
        assert submission.content == (project / "nb" / "analysis.ipynb").read_bytes()

    def test_planning_creates_nothing(self, plan: Plan, project: Path) -> None:
        before = sorted(project.rglob("*"))
        plan()
        assert sorted(project.rglob("*")) == before

    def test_a_notebook_from_standard_input_runs_where_the_command_does(
        self, plan: Plan, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(project)
        request = plan("-", content=to_content(make_notebook())).request
        assert (request.notebook, request.cwd) == ("-", str(project))
        assert ids.notebook_slug(request.run_id) == "stdin"

    def test_a_directory_in_the_file_is_relative_to_it(self, plan: Plan, project: Path) -> None:
        (project / "dayfly.toml").write_text('cwd = "work"\noutputs = "results"\n')
        (project / "work").mkdir()
        request = plan().request
        assert (request.cwd, request.outputs) == (str(project / "work"), str(project / "results"))

    def test_a_directory_on_the_command_line_is_relative_to_here(
        self, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "here" / "work").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "here")
        assert plan(flags={"cwd": "work"}).request.cwd == str(tmp_path / "here" / "work")

    def test_a_copy_of_the_output_has_an_absolute_path(
        self, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert plan(output_copy="out.ipynb").request.output_copy == str(tmp_path / "out.ipynb")
        assert plan(output_copy="-").request.output_copy is None


class TestWhatIsWrong:
    """It is all found before anything is created: afterwards the store is empty."""

    @pytest.mark.parametrize(
        "wrong",
        [
            ({"notebook": "none.ipynb"}, {}, UsageError, "There is no notebook none.ipynb"),
            ({"notebook": "."}, {}, UsageError, "cannot be read"),
            ({"content": b"{"}, {}, NotebookInvalidError, "is not a notebook"),
            ({"content": b""}, {}, NotebookInvalidError, "is empty"),
            ({"parameters": {"beta": 1}}, {}, ParameterError, "has no parameter beta"),
            ({"parameters": {"alpha": "much"}}, {}, ParameterError, "is not of type float"),
            ({"parameters": {"x": object()}, "allow_unknown": True}, {}, ParameterError, "as JSON"),
            ({"parameters": {"x": "\udcff"}, "allow_unknown": True}, {}, ParameterError, "as JSON"),
            ({}, {"kernel": "no-such-kernel"}, KernelMissingError, "no-such-kernel"),
            ({}, {"python": "/no/such/python"}, KernelMissingError, "is no Python"),
            ({}, {"cwd": "/no/such/folder"}, UsageError, "There is no directory /no/such/folder"),
            ({"output_copy": "/no/such/folder/out.ipynb"}, {}, UsageError, "There is no directory"),
            ({"output_copy": "/"}, {}, UsageError, "is a directory"),
        ],
        ids=range(13),
    )
    def test_nothing_is_created(
        self,
        plan: Plan,
        project: Path,
        environ: dict[str, str],
        wrong: tuple[dict[str, Any], dict[str, Any], type[DayflyError], str],
    ) -> None:
        asked, flags, error, words = wrong
        store = open_project_store(load_project(project, environ), environ)
        with pytest.raises(error) as caught:
            create_run(store, plan(flags=flags, **asked))
        assert words in caught.value.what
        assert list(store.list("")) == []

    def test_a_language_that_cannot_be_given_parameters_is_found_too(
        self, plan: Plan, project: Path, environ: dict[str, str]
    ) -> None:
        kernel = project / ".venv/share/jupyter/kernels/prolog"
        kernel.mkdir(parents=True)
        spec = {"argv": ["swipl"], "display_name": "Prolog", "language": "prolog"}
        (kernel / "kernel.json").write_text(json.dumps(spec))
        content = to_content(make_notebook(tagged("parameters", "alpha = 1"), language="prolog"))
        with pytest.raises(ParameterError, match="Cannot write parameters"):
            plan(content=content, parameters={"alpha": 1}, flags={"kernel": "prolog"})

    def test_an_environment_without_ipykernel_is_found_too(self, plan: Plan, project: Path) -> None:
        (project / ".venv/lib/python3.11/site-packages/ipykernel").rmdir()
        with pytest.raises(KernelMissingError, match="has no Jupyter kernel 'python3'"):
            plan()


class TestCreating:
    def test_from_then_on_the_run_exists(self, plan: Plan) -> None:
        store = open_store("memory://")
        submission = plan()
        request = create_run(store, submission)
        assert request == submission.request
        assert sorted(entry.key for entry in store.list("")) == [
            layout.run_key(request.run_id, layout.INPUT),
            layout.run_key(request.run_id, layout.REQUEST),
            layout.status_key(request.run_id),
        ]
        (summary,) = list_runs(store)
        assert summary.state is State.REQUESTED

    def test_an_id_that_is_taken_is_replaced(self, plan: Plan) -> None:
        store = open_store("memory://")
        submission = plan()
        first = create_run(store, submission)
        second = create_run(store, submission)
        assert first.run_id != second.run_id
        assert ids.notebook_slug(second.run_id) == "analysis"
        kept = store.get(layout.run_key(first.run_id, layout.REQUEST))
        assert kept == first.to_bytes()

    def test_a_notebook_from_standard_input_keeps_its_name_then(self, plan: Plan) -> None:
        store = open_store("memory://")
        submission = plan("-", content=to_content(make_notebook()))
        create_run(store, submission)
        assert ids.notebook_slug(create_run(store, submission).run_id) == "stdin"

    def test_a_request_is_read_back_as_it_was(self, plan: Plan) -> None:
        store = open_store("memory://")
        request = create_run(store, plan(parameters={"alpha": 0.5}))
        content = store.get(layout.run_key(request.run_id, layout.REQUEST))
        assert content is not None
        assert Request.model_validate_json(content) == request


class TestTheStore:
    def load(self, folder: Path, environ: dict[str, str], **flags: Any) -> Project:
        return load_project(folder, environ, flags)

    def test_in_the_file_it_is_relative_to_it(self, project: Path, environ: dict[str, str]) -> None:
        loaded = self.load(project / "nb", environ)
        assert open_project_store(loaded, environ).root == project / "runs"

    def test_on_the_command_line_it_is_relative_to_here(
        self, project: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(project / "nb")
        loaded = self.load(project, environ, store="elsewhere")
        assert open_project_store(loaded, environ).root == project / "nb" / "elsewhere"

    def test_a_project_has_its_own(self, project: Path, environ: dict[str, str]) -> None:
        (project / "dayfly.toml").write_text("")
        store = open_project_store(self.load(project, environ), environ)
        assert store.root == project / ".dayfly"

    def test_outside_a_project_it_is_the_users(self, tmp_path: Path, environ: dict[str, str]) -> None:
        (tmp_path / "empty").mkdir()
        loaded = self.load(tmp_path / "empty", environ)
        ours = "Library/Application Support" if sys.platform == "darwin" else ".local/share"
        assert open_project_store(loaded, environ).root == tmp_path / "home" / ours / "dayfly"
        xdg = {**environ, "XDG_DATA_HOME": str(tmp_path / "data")}
        assert open_project_store(loaded, xdg).root == tmp_path / "data/dayfly"

    def test_a_url_is_a_url_wherever_it_stands(self, project: Path, environ: dict[str, str]) -> None:
        (project / "dayfly.toml").write_text('store = "memory://"\n')
        assert open_project_store(self.load(project, environ), environ).root is None

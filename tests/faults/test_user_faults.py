"""Faults of what the user gives: nothing is created, and the message says what, where and what next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dayfly.runs import layout
from dayfly.runs.run import Run
from tests.helpers import Place, run_dir_of


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        pytest.param(
            "nane=x", ["no parameter nane (did you mean name?)", "It has: alpha, name"], id="unknown"
        ),
        pytest.param("alpha=much", ["alpha='much' is not of type float", "-p alpha=0.1"], id="declared type"),
        pytest.param(
            "count=many", ["count='many' is not of type int", "default 2"], id="type of the default"
        ),
        pytest.param("count", ["'count' is no parameter", "-p name=value"], id="no value"),
        pytest.param("tags=[1", ["is not valid YAML"], id="no YAML"),
    ],
)
@pytest.mark.fault(11)
def test_fault_11_a_bad_parameter(place: Place, parameter: str, said: list[str]) -> None:
    done = place.cli("run", str(place.notebook("hello")), "-p", parameter, code=2)
    for words in said:
        assert words in done.err
    assert place.cli("ps").out == ""


@pytest.mark.fault(11)
def test_fault_11_parameters_for_a_notebook_that_takes_none(place: Place) -> None:
    notebook = str(place.notebook("no_parameters"))
    done = place.cli("run", notebook, "-p", "alpha=1", code=2)
    assert "takes no parameters" in done.err
    assert "--allow-unknown" in done.err
    allowed = place.cli("run", notebook, "-p", "alpha=1", "--allow-unknown")
    assert place.find(allowed.run_id).output["cells"][0]["source"].endswith("alpha = 1\n")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("dayfly.toml", "\ntimeot = 1", ["'timeot' (dayfly.toml, line 2)", "Did you mean 'timeout'?"]),
        ("dayfly.toml", 'grace = "soon"', ["'grace' cannot be 'soon' (dayfly.toml, line 1)", "10m"]),
        ("dayfly.toml", 'store = "x', ["dayfly.toml is not valid TOML", "line 1"]),
        ("dayfly.toml", "\udce9", ["dayfly.toml is not valid TOML"]),
        (
            "pyproject.toml",
            '[project]\nname = "x"\n[tool.dayfly]\nallow_errors = "perhaps"',
            ["'allow_errors' cannot be 'perhaps' (pyproject.toml, line 4)"],
        ),
    ],
)
@pytest.mark.fault(44)
def test_fault_44_a_damaged_project_file(place: Place, file: str, content: str, said: list[str]) -> None:
    (place.root / "dayfly.toml").unlink()
    (place.root / file).write_bytes(content.encode(errors="surrogateescape"))
    for command in (["run", str(place.notebook("hello"))], ["config"]):
        done = place.cli(*command, code=2)
        for words in said:
            assert words in done.err
    assert not (place.root / ".dayfly" / layout.RUNS).exists()


@pytest.mark.fault(44)
def test_fault_44_a_mistake_in_one_setting_does_not_hide_the_runs(place: Place) -> None:
    """What needs the store alone asks for no more: a run can be looked at and stopped all the same."""
    run, _ = place.run("hello")
    (place.root / "dayfly.toml").write_text('timeout = "soon"\n')
    assert run.run_id in place.cli("ps").out
    assert "succeeded" in place.cli("show").out


@pytest.mark.fault(44)
def test_fault_44_a_damaged_environment_variable(place: Place) -> None:
    done = place.cli("config", code=2, environ={"DAYFLY_TIMEOUT": "soon"})
    assert "'timeout' cannot be 'soon' (environment, DAYFLY_TIMEOUT)" in done.err


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(lambda text: text[:700], ["is not a notebook, line"], id="cut off"),
        pytest.param(lambda _: "", ["is empty"], id="empty"),
        pytest.param(lambda _: '{"a": 1}', ["without the number `nbformat`"], id="other JSON"),
        pytest.param(
            lambda text: text.replace('"cells"', '"sells"'), ["`cells` should be a list"], id="no cells"
        ),
        pytest.param(
            lambda text: text.replace('"cell_type": "markdown"', '"cell_type": 3', 1),
            ["Cell 1 has no `cell_type`"],
            id="cell of no type",
        ),
        pytest.param(
            lambda text: "<<<<<<< ours\n" + text + "\n>>>>>>> theirs\n",
            ["Git conflict markers"],
            id="conflict",
        ),
    ],
)
@pytest.mark.fault(44)
def test_fault_44_a_damaged_notebook(place: Place, damage: Callable[[str], str], said: list[str]) -> None:
    notebook = place.notebook("hello")
    notebook.write_text(damage(notebook.read_text()))
    for command in ("run", "inspect"):
        done = place.cli(command, "hello.ipynb", code=2)
        for words in ["hello.ipynb", *said]:
            assert words in done.err
    assert place.cli("ps").out == ""


def _damage(run: Run, name: str, content: str) -> Path:
    file = run_dir_of(run) / name
    file.write_text(content)
    return file


@pytest.mark.fault(44)
def test_fault_44_a_damaged_file_in_the_store(place: Place) -> None:
    """The command that needs it names file and line; the others go on; the run can be removed."""
    run, _ = place.run("hello")
    intact = (run_dir_of(run) / layout.RESULT).read_text()
    result = _damage(run, layout.RESULT, intact.replace('"succeeded"', '"exploded"'))
    done = place.cli("show", run.run_id, code=5)
    assert f"{result} is damaged, line 4." in done.err
    assert "state: Input should be" in done.err
    result.write_text(intact)

    output = _damage(run, layout.OUTPUT, "{\n nonsense")
    for command, *rest in (["open", "--html", "x.html"], ["diff", "last"]):
        done = place.cli(command, run.run_id, *rest, code=5)
        assert f"{output} is damaged, line 2." in done.err
    assert "output.ipynb has changed" in place.cli("verify", run.run_id, code=1).out

    request = _damage(run, layout.REQUEST, '{\n "version": 1,\n "kernel": 7\n}')
    for also in ("show", "rerun"):
        done = place.cli(also, run.run_id, code=5)
        assert f"{request} is damaged" in done.err

    with (run_dir_of(run) / layout.EVENTS / "000000000000.jsonl").open("a") as events:
        events.write("not JSON\n")
    assert "hello world, 1" in place.cli("logs", run.run_id).out
    assert run.run_id in place.cli("ps").out
    assert place.cli("rm", run.run_id).out.strip() == run.run_id


@pytest.mark.fault(44)
def test_fault_44_something_else_in_the_store(place: Place) -> None:
    """What is no run is left out of listings, and nothing fails over it."""
    run, _ = place.run("hello")
    status = place.root / ".dayfly" / layout.STATUS
    (status / "notes.txt").write_text("mine")
    (status / "20261123-101502-x-7f3a").write_text("of no known size")
    listed = place.cli("ps", "--json").json_lines()
    assert {row["run_id"]: row["state"] for row in listed}[run.run_id] == "succeeded"
    assert "notes" not in {row["notebook"] for row in listed}

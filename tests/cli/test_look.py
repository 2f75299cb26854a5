"""The commands that look, on runs that all of these tests share and none changes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from dayfly.runs.run import Run
from tests.helpers import Place, make_place


@dataclass(frozen=True, kw_only=True)
class Runs:
    """A store with three runs."""

    place: Place
    good: Run
    bad: Run
    other: Run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Two that succeeded, with different parameters, and one that failed between them, and no others."""
    place = make_place(tmp_path_factory.mktemp("look") / "place")
    good = place.run("hello", "-p", "name=Ann")[0]
    bad = place.run("fails", code=10)[0]
    other = place.run("hello", "-p", "name=Bob")[0]
    return Runs(place=place, good=good, bad=bad, other=other)


def test_ps_lists_runs_newest_first(runs: Runs) -> None:
    heading, *rows = runs.place.cli("ps").out.splitlines()
    assert heading.split() == ["RUN", "STATE", "STARTED", "TOOK"]
    assert {row.split()[0] for row in rows} == {runs.good.run_id, runs.bad.run_id, runs.other.run_id}
    assert [row.split()[0] for row in rows] == sorted((row.split()[0] for row in rows), reverse=True)


def test_ps_shows_the_runs_in_one_state(runs: Runs) -> None:
    rows = runs.place.cli("ps", "--state", "failed").out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == [runs.bad.run_id]
    assert runs.place.cli("ps", "--state", "lost").out == ""
    done = runs.place.cli("ps", "--state", "tired", code=2)
    assert "The states are: requested, " in done.err


def test_ps_json_is_a_line_for_each_run(runs: Runs) -> None:
    rows = {row["run_id"]: row for row in runs.place.cli("ps", "--all", "--json").json_lines()}
    assert rows[runs.bad.run_id]["state"] == "failed"
    assert rows[runs.good.run_id]["notebook"] == "hello"


def test_an_empty_store_says_how_to_begin(place: Place) -> None:
    assert "dayfly run NOTEBOOK" in place.cli("ps").err
    for command in ("show", "logs", "attach", "open", "fetch", "verify"):
        assert "There are no runs yet." in place.cli(command, code=3).err


def test_show_tells_everything_about_a_run(runs: Runs) -> None:
    shown = runs.place.cli("show", runs.good.run_id).out
    for words in (
        f"✓ {runs.good.run_id}  succeeded",
        "parameters name='Ann'",
        "4 of 4 cells" if "4 of 4 cells" in shown else "5 of 5 cells",
        "kernel     python3",
        "packages   ",
        f"output     .dayfly/runs/{runs.good.run_id}/output.ipynb",
        "outputs    greeting.txt (10 B)",
        f"dayfly open {runs.good.run_id}",
    ):
        assert words in shown


def test_show_tells_why_a_run_failed_and_what_to_do_next(runs: Runs) -> None:
    shown = runs.place.cli("show", runs.bad.run_id).out
    assert "why        Cell 2 raised ZeroDivisionError: division by zero" in shown
    assert "return a / b" in shown
    assert f"dayfly rerun {runs.bad.run_id}" in shown


def test_show_json_has_request_result_receipt_and_cells(runs: Runs) -> None:
    told = runs.place.cli("show", runs.bad.run_id, "--json").json()
    assert told["state"] == "failed"
    assert told["request"]["kernel"] == "python3"
    assert told["result"]["failed_cell"]["number"] == 2
    assert told["receipt"]["run_id"] == runs.bad.run_id
    assert [cell["state"] for cell in told["cells"]] == ["executed", "failed"]


def test_last_and_unique_prefixes_name_a_run(runs: Runs) -> None:
    newest = runs.place.cli("ps", "--json").json_lines()[0]["run_id"]
    assert newest in runs.place.cli("show").out
    assert newest in runs.place.cli("show", "last").out
    prefix = runs.bad.run_id[:-1]
    assert runs.bad.run_id in runs.place.cli("show", prefix).out


def test_a_prefix_of_several_runs_is_refused_with_their_ids(runs: Runs) -> None:
    done = runs.place.cli("show", "20", code=3)
    assert "3 runs begin with '20'." in done.err
    for run in (runs.good, runs.bad, runs.other):
        assert run.run_id in done.err


@pytest.mark.parametrize("name", ["1999", "", "../..", "run/with/slashes", "*", "\x1b[31m"])
def test_a_run_that_does_not_exist_is_told_so(runs: Runs, name: str) -> None:
    done = runs.place.cli("show", name, code=3)
    assert "There is no run" in done.err
    assert "dayfly ps --all" in done.err
    assert "\x1b" not in done.err


def test_logs_prints_what_the_notebook_printed_cell_by_cell(runs: Runs) -> None:
    log = runs.place.cli("logs", runs.good.run_id).out
    assert (
        log.index("── cell 3 of 6") < log.index("hello Ann, 0\nhello Ann, 1\n") < log.index("── cell 5 of 6")
    )
    assert "\x1b" not in runs.place.cli("logs", runs.bad.run_id).out


def test_logs_follow_goes_on_until_the_run_has_ended(place: Place) -> None:
    with (
        place.running("waits", says="waiting for a file") as run,
        place.started("logs", run.run_id, "-f") as following,
    ):
        (place.root / "go").touch()
        said, _ = following.communicate(timeout=30)
    assert following.returncode == 0
    assert said.decode().endswith("last\n")


def test_open_html_writes_a_page(runs: Runs) -> None:
    target = runs.place.root / "page.html"
    done = runs.place.cli("open", runs.good.run_id, "--html", str(target))
    assert done.out.strip() == str(target)
    page = target.read_text()
    assert "hello Ann, 1" in page
    assert "Content-Security-Policy" in page


def test_open_shows_a_page_that_only_the_user_can_read_in_the_browser(place: Place) -> None:
    run, _ = place.run("no_parameters")
    browser = place.root / "browser"
    browser.write_text('#!/bin/sh\necho "$1" > "$HOME/opened"\n')
    browser.chmod(0o755)
    done = place.cli("open", run.run_id, environ={"BROWSER": str(browser)})
    page = done.out.strip()
    opened = (place.root.parent / "home" / "opened").read_text().strip()
    assert opened == f"file://{page}"
    assert "nothing to set" in Path(page).read_text()
    assert Path(page).parent.stat().st_mode & 0o077 == 0


def test_fetch_copies_notebook_and_outputs_and_never_overwrites_in_silence(runs: Runs) -> None:
    target = runs.place.root / "fetched"
    runs.place.cli("fetch", runs.good.run_id, str(target))
    assert (target / "output.ipynb").read_bytes() == runs.good.output_bytes()
    assert (target / "outputs" / "greeting.txt").read_text() == "hello Ann\n"
    again = runs.place.cli("fetch", runs.good.run_id, str(target))
    assert (again.out, again.err) == ("", f"Everything is in {target} already.\n")
    done = runs.place.cli("fetch", runs.other.run_id, str(target), code=4)
    assert "files are in the way" in done.err
    assert (target / "outputs" / "greeting.txt").read_text() == "hello Ann\n"
    runs.place.cli("fetch", runs.other.run_id, str(target), "--force")
    assert (target / "outputs" / "greeting.txt").read_text() == "hello Bob\n"


def test_verify_finds_what_has_changed_since(place: Place) -> None:
    run, _ = place.run("hello")
    assert "matches its receipt" in place.cli("verify", run.run_id).err
    assert place.cli("verify", run.run_id, "--json").json()["matches"] is True
    directory = place.root / ".dayfly" / "runs" / run.run_id
    (directory / "outputs" / "greeting.txt").write_text("tampered\n")
    (directory / "outputs" / "extra.txt").write_text("new\n")
    (directory / "log" / "000000000000.txt").unlink()
    problems = place.cli("verify", run.run_id, "--json", code=1).json()["problems"]
    told = " ".join(problems)
    assert "outputs/greeting.txt has changed" in told
    assert "outputs/extra.txt is not in the receipt" in told
    assert "log has changed" in told or "log is missing" in told
    assert "outputs/greeting.txt has changed" in place.cli("verify", run.run_id, code=1).out


def test_diff_compares_two_executed_notebooks(runs: Runs) -> None:
    done = runs.place.cli("diff", runs.good.run_id, runs.other.run_id, code=1)
    assert f"--- {runs.good.run_id}" in done.out
    assert "Ann" in done.out
    assert "Bob" in done.out
    same = runs.place.cli("diff", runs.good.run_id, runs.good.run_id)
    assert same.out == ""
    assert "No differences" in same.err


def test_inspect_shows_parameters_types_defaults_and_kernel(runs: Runs) -> None:
    shown = runs.place.cli("inspect", "hello.ipynb").out
    assert "kernel      python3 (python)" in shown
    assert "cells       5, of which 4 are executed" in shown
    row = next(line for line in shown.splitlines() if line.strip().startswith("alpha"))
    assert row.split() == ["alpha", "float", "0.5", "how", "much"]
    told = runs.place.cli("inspect", "hello.ipynb", "--json").json()
    assert [parameter["name"] for parameter in told["parameters"]] == ["alpha", "name", "count", "tags"]
    runs.place.notebook("no_parameters")
    assert "none: no cell is tagged `parameters`" in runs.place.cli("inspect", "no_parameters.ipynb").out
    assert "nowhere.ipynb cannot be read" in runs.place.cli("inspect", "nowhere.ipynb", code=2).err


def test_config_shows_each_value_and_where_it_came_from(place: Place) -> None:
    (place.root / "dayfly.toml").write_text('timeout = "2h"\ngrace = "5s"\n')
    environ = {"DAYFLY_GRACE": "7s"}
    shown = place.cli("config", environ=environ).out
    table = shown.partition("\n\n")[0].splitlines()
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in table}
    assert rows["timeout"] == ["7200.0", "dayfly.toml, line 1"]
    assert rows["grace"] == ["7.0", "environment, DAYFLY_GRACE"]
    told = place.cli("config", "--json", environ=environ).json()
    assert told["settings"]["grace"] == {"value": 7.0, "source": "environment, DAYFLY_GRACE"}
    assert told["settings"]["kernel"] == {"value": None, "source": "default"}
    schema = place.cli("config", "--schema").json()
    assert "timeout" in schema["properties"]
    assert schema["additionalProperties"] is False


def test_help_and_version_are_there(place: Place) -> None:
    assert place.cli("--version").out.startswith("dayfly ")
    assert "Run a notebook" in place.cli("--help").out
    commands = "run rerun attach ps show logs stop rm prune open fetch verify diff inspect config"
    for command in commands.split():
        assert "Usage: dayfly " + command in place.cli(command, "--help").out


def test_output_that_nobody_reads_to_the_end_is_no_error(runs: Runs) -> None:
    with runs.place.started("ps", "--json") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=30) == 0


def test_json_is_one_value_or_one_a_line_and_nothing_else(runs: Runs) -> None:
    for arguments in (["show", "--json"], ["verify", "--json"], ["config", "--json"], ["config", "--schema"]):
        json.loads(runs.place.cli(*arguments).out)


def test_a_timeline_shows_where_the_time_went(runs: Runs) -> None:
    lines = runs.place.cli("timeline", runs.good.run_id, environ={"COLUMNS": "80"}).out.splitlines()
    assert lines[0].startswith(f"{runs.good.run_id}  ")
    names = [line.partition("  ")[0] for line in lines[2:-2]]
    cells = [name for name in names if name.startswith("cell ")]
    assert names == ["start the runner", "start the kernel", *cells, "save"]
    assert len(cells) == 5
    assert max(map(len, lines)) <= 80
    assert re.fullmatch(
        r"■ [\d.ms ]+ before the first cell  ■ [\d.ms ]+ in cells  ■ [\d.ms ]+ after the last",
        lines[-1].strip(),
    )


def test_a_timeline_is_json_and_a_picture_too(runs: Runs) -> None:
    phases = runs.place.cli("timeline", runs.bad.run_id, "--json").json()["phases"]
    assert [phase["name"] for phase in phases if phase["failed"]] == ["cell 2"]
    picture = runs.place.root / "timeline.svg"
    runs.place.cli("timeline", runs.good.run_id, "--svg", str(picture))
    assert picture.read_text("utf-8").startswith("<svg ")
    assert "cannot be written" in runs.place.cli("timeline", "--svg", "no/such/folder.svg", code=2).err


def test_a_run_without_a_machine_cannot_be_entered_nor_ended_at_once(runs: Runs) -> None:
    assert "has no machine" in runs.place.cli("ssh", runs.good.run_id, code=4).err
    assert "has no machine" in runs.place.cli("stop", "--now", runs.good.run_id, code=2).err

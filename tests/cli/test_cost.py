"""`dayfly cost`, on runs as a machine leaves them; moto answers for Cost Explorer with what it was given."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from dayfly.runs import layout
from dayfly.runs.batch_record import record_key
from dayfly.runs.ids import new_run_id
from dayfly.runs.machine import MachineRecord
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from tests.helpers import Place
from tests.unit.aws.batch_support import POINTS, last_word, submission
from tests.unit.machine_runs import source
from tests.unit.runs.sweep_stores import put_point, put_sweep
from tests.unit.support import NOW, make_request

SETTINGS = '[aws]\nproject = "it"\nregion = "eu-central-1"\n'


@pytest.fixture
def place(place: Place) -> Place:
    """A project in AWS."""
    (place.root / "dayfly.toml").write_text(SETTINGS)
    return place


def _leave_a_run(place: Place, notebook: str, *, ago: timedelta, on_machine: bool = True) -> str:
    """A run that was on a machine for an hour, or on this one."""
    begun = datetime.now(UTC) - ago
    run_id = new_run_id(notebook, begun)
    machine = source(
        project="it",
        deadline=begun + timedelta(hours=4),
        price_per_hour=Decimal("0.50"),
        price_at=begun,
        owner="",
    )
    record = MachineRecord(
        machine_id=run_id, stack_name="s", stack_id="s", schedule="s", subnet="subnet-1", created=begun
    )
    request = make_request(run_id, machine=machine if on_machine else None)
    goodbye = {"at": (begun + timedelta(hours=1)).isoformat(), "type": "step", "step": "goodbye"}
    cell = {"type": "cell_finished", "cell": 1, "state": "executed", "duration_s": 1800.0}
    store = place.store
    store.put(layout.run_key(run_id, layout.REQUEST), request.to_bytes())
    store.put(layout.run_key(run_id, "events/000000000000.jsonl"), json.dumps(cell).encode() + b"\n")
    if on_machine:
        store.put(layout.run_key(run_id, layout.MACHINE_RECORD), record.to_bytes())
        store.put(layout.run_key(run_id, "machine/000000000000.jsonl"), json.dumps(goodbye).encode() + b"\n")
    put_status(store, run_id, State.SUCCEEDED, begun + timedelta(hours=1))
    return run_id


def test_cost_lists_what_runs_on_machines_have_cost(place: Place) -> None:
    recent = _leave_a_run(place, "recent", ago=timedelta(days=2))
    _leave_a_run(place, "here", ago=timedelta(days=1), on_machine=False)
    _leave_a_run(place, "old", ago=timedelta(days=40))
    done = place.cli("cost")
    assert [line.split() for line in done.out.splitlines()] == [
        ["RUN", "MACHINE", "LIVED", "COST"],
        [recent, "m7i.2xlarge", "1h", "00m", "$0.50"],
        ["total", "$0.50"],
    ]
    assert "1 run on this machine cost nothing." in done.err
    everything = json.loads(place.cli("cost", "--since", "90d", "--json").out)
    assert (len(everything["runs"]), everything["total"], everything["billed"]) == (2, "1.00", None)


def test_cost_of_one_run_is_shared_by_its_cells(place: Place) -> None:
    run_id = _leave_a_run(place, "recent", ago=timedelta(days=2))
    lines = place.cli("cost", run_id).out.splitlines()
    assert lines[0] == run_id
    assert lines[-2].split()[:4] == ["1", "30m", "00s", "$0.25"]
    assert lines[-1].split() == ["30m", "00s", "$0.25", "boot,", "image,", "saving,", "end"]
    [cell] = json.loads(place.cli("cost", run_id, "--json").out)["cells"]
    assert (cell["cell"], cell["dollars"]) == (1, "0.25")


def test_cost_of_a_run_on_this_machine_is_nothing(place: Place) -> None:
    run_id = _leave_a_run(place, "here", ago=timedelta(days=1), on_machine=False)
    assert place.cli("cost", run_id).err == f"{run_id} had no machine in AWS: it cost nothing.\n"


def test_a_run_whose_request_is_damaged_does_not_hide_the_others(place: Place) -> None:
    damaged = _leave_a_run(place, "damaged", ago=timedelta(days=1))
    place.store.put(layout.run_key(damaged, layout.REQUEST), b"{")
    good = _leave_a_run(place, "good", ago=timedelta(days=2))
    done = place.cli("cost")
    assert good in done.out
    assert "is damaged" in done.err


def test_a_duration_that_is_none_is_told(place: Place) -> None:
    assert "--since 'soon' should be a duration" in place.cli("cost", "--since", "soon", code=2).err


def test_actual_without_credentials_says_what_to_do(place: Place) -> None:
    done = place.cli("cost", "--actual", code=9, environ={"AWS_EC2_METADATA_DISABLED": "true"})
    assert "There are no AWS credentials." in done.err


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Where moto answers, on loopback."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield "{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


def _bill(endpoint: str, *groups: tuple[str, str]) -> None:
    """Let the next request to Cost Explorer be answered with this."""
    said: list[dict[str, Any]] = [
        {"Keys": [f"dayfly:run${run_id}"], "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": "USD"}}}
        for run_id, amount in groups
    ]
    results = {"results": [{"ResultsByTime": [{"Groups": said}], "DimensionValueAttributes": []}]}
    connection = http.client.HTTPConnection(endpoint)
    connection.request(
        "POST",
        "/moto-api/static/ce/cost-and-usage-results",
        json.dumps(results),
        {"Content-Type": "application/json"},
    )
    assert connection.getresponse().status == http.HTTPStatus.CREATED
    connection.close()


def test_actual_shows_what_aws_has_billed_and_says_first_what_asking_costs(
    place: Place, endpoint: str
) -> None:
    run_id = _leave_a_run(place, "recent", ago=timedelta(days=2))
    reach = {
        "AWS_ENDPOINT_URL": f"http://{endpoint}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    _bill(endpoint, (run_id, "0.61"), ("", "0.05"))
    done = place.cli("cost", "--actual", environ=reach)
    assert [line.split()[-2:] for line in done.out.splitlines()] == [
        ["COST", "BILLED"],
        ["$0.50", "$0.61"],
        ["$0.50", "$0.61"],
    ]
    assert (
        done.err.splitlines()[0] == "Asking Cost Explorer, which charges $0.01 for each request; this is one."
    )
    _bill(endpoint, (run_id, "0.61"))
    one = json.loads(place.cli("cost", run_id, "--actual", "--json", environ=reach).out)
    assert (one["dollars"], one["billed"]) == ("0.50", "0.61")
    _bill(endpoint)
    nothing = place.cli("cost", "--since", "9d", "--actual", environ=reach)  # moto repeats what it has said
    assert "cost allocation tags" in nothing.err


def test_a_sweep_on_batch_is_one_line_with_all_its_points(place: Place) -> None:
    sweep_id = new_run_id("sweep.ipynb", datetime.now(UTC))
    sweep = put_sweep(place.store, POINTS, sweep_id, backend="batch")
    place.store.put(record_key(sweep_id, 1), submission(place.store, sweep).to_bytes())
    for index in range(4):
        last_word(place.store, put_point(place.store, sweep, index, duration_s=40.0), NOW)
    here = put_sweep(place.store, POINTS, new_run_id("here.ipynb", datetime.now(UTC)))
    put_point(place.store, here, 0)
    put_point(place.store, here, 1)
    said = json.loads(place.cli("cost", "--json", "--local").out)
    assert [(one["run_id"], one["batch"]["attempts"]) for one in said["runs"]] == [(sweep_id, 4)]
    assert said["runs_without_machine"] == 2
    assert float(said["total"]) == pytest.approx(4.0)
    asked = make_request(f"{sweep_id}.2", backend="batch")
    place.store.put(layout.run_key(asked.run_id, layout.REQUEST), asked.to_bytes())
    one = json.loads(place.cli("cost", asked.run_id, "--json", "--local").out)
    assert float(one["dollars"]) == pytest.approx(1.0)
    whole = json.loads(place.cli("cost", sweep_id, "--json", "--local").out)
    assert float(whole["dollars"]) == pytest.approx(4.0)

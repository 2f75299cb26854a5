from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.aws.billed import Billed, load_billed, read_group
from dayfly.aws.cost import (
    RunCost,
    cost_of_cells,
    cost_of_run,
    cost_of_task,
    end_of_machine,
    find_tasks,
    rest_of,
    total_of,
)
from dayfly.aws.tasks import TaskRequest
from dayfly.cli.cost_text import print_cost, print_costs, run_to_json, runs_to_json
from dayfly.errors import AwsError
from dayfly.runs import layout
from dayfly.runs.machine import MachineRecord, MachineSource
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.store import Store
from tests.unit.aws.stubbed import stubbed_aws
from tests.unit.machine_runs import source
from tests.unit.support import NOW, RUN_ID, make_request, make_result

CREATED = NOW + timedelta(seconds=20)
DEADLINE = NOW + timedelta(hours=3)
LATER = NOW + timedelta(days=1)
MACHINE = source(
    project="it",
    deadline=DEADLINE,
    price_per_hour=Decimal("0.60"),
    price_at=NOW - timedelta(days=3),
    owner="",
)
RECORD = MachineRecord(
    machine_id=RUN_ID,
    stack_name=f"dayfly-it--{RUN_ID}",
    stack_id="arn:aws:cloudformation:eu-central-1:123456789012:stack/x/y",
    schedule=RUN_ID,
    subnet="subnet-1",
    created=CREATED,
)


def _put(store: Store, name: str, lines: Sequence[dict[str, Any]]) -> None:
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    store.put(layout.run_key(RUN_ID, f"{name}/000000000000.jsonl"), content)


def _run(
    store: Store, *, machine: MachineSource | None = MACHINE, record: MachineRecord | None = RECORD
) -> Run:
    store.put(layout.run_key(RUN_ID, layout.REQUEST), make_request(machine=machine).to_bytes())
    if record is not None:
        store.put(layout.run_key(RUN_ID, layout.MACHINE_RECORD), record.to_bytes())
    return Run(RUN_ID, store)


def _goodbye(at: datetime, *more: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"at": CREATED.isoformat(), "type": "step", "step": "armed", "took_s": 0.1, "detail": ""},
        {"at": at.isoformat(), "type": "step", "step": "goodbye", "took_s": 0.1, "detail": "succeeded"},
        *more,
    ]


def test_a_run_costs_its_price_for_as_long_as_its_machine_lived(store: Store) -> None:
    run = _run(store)
    _put(store, layout.MACHINE, _goodbye(CREATED + timedelta(minutes=90)))
    cost = cost_of_run(run, State.SUCCEEDED, now=LATER)
    assert (cost.dollars, cost.lived, cost.certainty) == (Decimal("0.90"), timedelta(minutes=90), "ended")


def test_a_run_on_this_machine_costs_nothing(store: Store) -> None:
    cost = cost_of_run(_run(store, machine=None), State.SUCCEEDED, now=LATER)
    assert cost == RunCost(run_id=RUN_ID, state=State.SUCCEEDED, machine=None)
    assert (cost.dollars, cost.lived) == (Decimal(0), timedelta())


def test_a_machine_that_was_never_made_costs_nothing(store: Store) -> None:
    cost = cost_of_run(_run(store, record=None), State.NEVER_STARTED, now=LATER)
    assert cost.begun is None
    assert cost.dollars == 0


def test_a_run_that_goes_on_costs_so_far(store: Store) -> None:
    cost = cost_of_run(_run(store), State.RUNNING, now=CREATED + timedelta(minutes=10))
    assert (cost.dollars, cost.certainty) == (Decimal("0.10"), "so far")


def test_without_a_goodbye_the_result_tells_the_end(store: Store) -> None:
    run = _run(store)
    result = make_result(ended=CREATED + timedelta(minutes=30))
    store.put(layout.run_key(RUN_ID, layout.RESULT), result.to_bytes())
    cost = cost_of_run(run, State.SUCCEEDED, now=LATER)
    assert (cost.dollars, cost.certainty) == (Decimal("0.30"), "ended")


@pytest.mark.parametrize("state", [State.LOST, None])
def test_a_machine_of_whose_end_nothing_tells_is_taken_to_have_lived_until_its_deadline(
    store: Store, state: State | None
) -> None:
    cost = cost_of_run(_run(store), state, now=LATER)
    assert (cost.lived, cost.certainty) == (DEADLINE - CREATED, "at most")


def test_a_machine_that_is_kept_for_a_look_is_paid_for_until_then(store: Store) -> None:
    kept = {"at": NOW.isoformat(), "type": "warning", "message": "The machine is kept for 1800 s."}
    run = _run(store)
    _put(store, layout.MACHINE, _goodbye(CREATED + timedelta(hours=1), kept))
    assert cost_of_run(run, State.FAILED, now=LATER).lived == timedelta(hours=1.5)
    now = CREATED + timedelta(minutes=75)
    assert cost_of_run(run, State.FAILED, now=now).certainty == "so far"
    assert cost_of_run(run, State.FAILED, now=now).lived == timedelta(minutes=75)


def test_the_boot_script_says_that_a_machine_is_kept_in_these_words() -> None:
    script = (Path(__file__).parents[3] / "src/dayfly/aws/boot/boot.sh").read_text()
    assert "The machine is kept for $DAYFLY_HOLD_SECONDS s." in script


def test_an_unknown_price_is_an_unknown_cost(store: Store) -> None:
    machine = MACHINE.model_copy(update={"price_per_hour": None})
    cost = cost_of_run(_run(store, machine=machine), State.RUNNING, now=LATER)
    assert cost.dollars is None
    assert rest_of(cost, [])[1] is None
    assert total_of([cost]) == 0


def _put_task(store: Store, prefix: str) -> None:
    store.put(f"{prefix}/{layout.REQUEST}", TaskRequest(created=NOW, machine=MACHINE).to_bytes())
    store.put(f"{prefix}/{layout.MACHINE_RECORD}", RECORD.to_bytes())


def test_builds_and_labs_cost_as_runs_do(store: Store) -> None:
    lab = "20261123-101502-lab-7f3a"
    _put_task(store, f"labs/{lab}")
    going = cost_of_task(store, "labs", lab, now=CREATED + timedelta(minutes=10))
    assert (going.run_id, going.dollars, going.certainty) == (lab, Decimal("0.10"), "so far")
    store.put(f"labs/{lab}/{layout.RESULT}", b"{}")
    assert cost_of_task(store, "labs", lab, now=LATER).certainty == "at most"
    lines = _goodbye(CREATED + timedelta(minutes=5))
    told = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    store.put(f"labs/{lab}/machine/000000000000.jsonl", b"damaged\n" + told)
    ended = cost_of_task(store, "labs", lab, now=LATER)
    assert (ended.dollars, ended.certainty) == (Decimal("0.05"), "ended")


def test_builds_and_labs_are_found_by_the_time_in_their_ids(store: Store) -> None:
    for name in (
        "builds/20261123-101502-build-7f3a",
        "labs/20261124-101502-lab-7f3a",
        "labs/20261001-000000-lab-7f3a",
    ):
        _put_task(store, name)
    store.put("labs/20261124-101502-lab-7f3a/work/deep/request.json", b"{}")
    store.put("labs/no-id/request.json", b"{}")
    assert find_tasks(store, NOW - timedelta(days=1)) == [
        ("builds", "20261123-101502-build-7f3a"),
        ("labs", "20261124-101502-lab-7f3a"),
    ]


@given(
    events=st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["machine_step", "machine_warning"])},
            optional={
                "at": st.text() | st.datetimes().map(str),
                "step": st.just("goodbye"),
                "message": st.text(),
            },
        )
    )
)
def test_what_a_machine_tells_is_read_whatever_it_is(events: list[dict[str, Any]]) -> None:
    end = end_of_machine(events)
    assert end is None or end.tzinfo is not None


EVENTS: list[dict[str, Any]] = [
    {"type": "cell_started", "cell": 2, "source": "import torch", "at": ""},
    {"type": "cell_finished", "cell": 2, "duration_s": 60.0, "state": "executed"},
    {"type": "cell_started", "cell": 4, "source": "model.fit(\tx)", "at": ""},
    {"type": "cell_finished", "cell": 4, "duration_s": 3000.0, "state": "executed"},
    {"type": "ended"},
]


def test_each_cell_has_its_share_by_time_and_the_rest_is_told(store: Store) -> None:
    run = _run(store)
    _put(store, layout.MACHINE, _goodbye(CREATED + timedelta(hours=1)))
    cost = cost_of_run(run, State.SUCCEEDED, now=LATER)
    cells = cost_of_cells(cost, EVENTS)
    assert [(cell.number, cell.source, cell.dollars) for cell in cells] == [
        (2, "import torch", Decimal("0.01")),
        (4, "model.fit(\tx)", Decimal("0.5")),
    ]
    assert rest_of(cost, cells) == (timedelta(minutes=9), Decimal("0.09"))


def _cost(number: int, **changes: Any) -> RunCost:
    fields: dict[str, Any] = {
        "run_id": f"20261123-10150{number}-analysis-7f3a",
        "state": State.SUCCEEDED,
        "machine": MACHINE,
        "begun": CREATED,
        "lived": timedelta(minutes=62, seconds=5),
        "dollars": Decimal("0.62083"),
        **changes,
    }
    return RunCost(**fields)


SPOT = MACHINE.model_copy(update={"spot": True, "price_at": NOW})
COSTS = [
    _cost(3, machine=SPOT, lived=timedelta(seconds=70), dollars=Decimal("0.0117"), certainty="so far"),
    _cost(2, dollars=None),
    _cost(1, lived=timedelta(hours=20), dollars=Decimal(12), certainty="at most"),
]


def test_runs_are_a_table_of_eighty_columns_with_a_total(capsys: pytest.CaptureFixture[str]) -> None:
    print_costs(COSTS, 3, None, since="30d")
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "RUN                            MACHINE           LIVED               COST",
        "20261123-101503-analysis-7f3a  m7i.2xlarge spot  1m 10s so far    $0.0117",
        "20261123-101502-analysis-7f3a  m7i.2xlarge       1h 02m           unknown",
        "20261123-101501-analysis-7f3a  m7i.2xlarge       20h 00m at most   $12.00",
        "total                                            and 1 unknown     $12.01",
    ]
    assert printed.err.splitlines() == [
        "3 runs on this machine cost nothing.",
        "Estimated from prices of 2026-11-20 to 2026-11-23; without data transfer and requests to S3.",
        "What AWS has billed, for $0.01: dayfly cost --since 30d --actual",
    ]


def test_where_no_run_had_a_machine_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_costs([], 1, None, since="7d")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "Nothing of the last 7d had a machine in AWS.",
        "1 run on this machine cost nothing.",
    ]


BILLED = Billed(
    by_run={COSTS[0].run_id: Decimal("0.01"), "20261101-000000-lab-0000": Decimal(2)},
    shared=Decimal("0.35"),
    requests=1,
)


def test_what_was_billed_stands_beside_the_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    print_costs(COSTS, 0, BILLED, since="30d")
    printed = capsys.readouterr()
    assert [line.split()[-2:] for line in printed.out.splitlines()] == [
        ["COST", "BILLED"],
        ["$0.0117", "$0.01"],
        ["unknown", "-"],
        ["$12.00", "-"],
        ["$12.01", "$0.01"],
    ]
    assert "Billed for machines that are not listed: $2.00" in printed.err
    assert "Billed for what all share (storage, images): $0.35" in printed.err


def test_where_nothing_was_billed_it_is_said_how_the_tags_are_activated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_costs(COSTS, 0, Billed(by_run={}, shared=Decimal(0), requests=1), since="30d")
    error = capsys.readouterr().err
    assert "AWS has billed nothing that bears this project's tag." in error
    assert "Billing, Cost allocation tags" in error


def test_one_run_is_told_with_its_cells(capsys: pytest.CaptureFixture[str]) -> None:
    cost = _cost(1, lived=timedelta(hours=1), dollars=Decimal("0.60"))
    print_cost(cost, cost_of_cells(cost, EVENTS), None)
    assert capsys.readouterr().out.splitlines() == [
        "20261123-101501-analysis-7f3a",
        "machine    m7i.2xlarge in eu-central-1, $0.6000/h (price of 2026-11-20)",
        "lived      1h 00m",
        "cost       $0.60",
        "",
        "CELL     TOOK   COST  SOURCE",
        "   2   1m 00s  $0.01  import torch",
        "   4  50m 00s  $0.50  model.fit( x)",
        "       9m 00s  $0.09  boot, image, saving, end",
    ]


def test_one_run_on_this_machine_cost_nothing_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_cost(RunCost(run_id=RUN_ID, state=State.SUCCEEDED, machine=None), (), None)
    assert capsys.readouterr().err == f"{RUN_ID} had no machine in AWS: it cost nothing.\n"


def test_programs_read_dollars_as_text() -> None:
    everything = runs_to_json(COSTS, 3, BILLED, since=NOW)
    json.dumps(everything)
    assert (everything["total"], everything["unknown"], everything["runs_without_machine"]) == (
        "12.0117",
        1,
        3,
    )
    assert [run["dollars"] for run in everything["runs"]] == ["0.0117", None, "12"]
    assert everything["runs"][0]["billed"] == "0.01"
    one = run_to_json(COSTS[2], cost_of_cells(COSTS[2], EVENTS), None)
    json.dumps(one)
    assert one["cells"][1] == {"cell": 4, "source": "model.fit(\tx)", "duration_s": 3000.0, "dollars": "0.50"}


def _group(key: str, amount: str) -> dict[str, Any]:
    return {"Keys": [key], "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": "USD"}}}


def test_what_aws_has_charged_is_summed_over_months_and_pages() -> None:
    request = {
        "TimePeriod": {"Start": "2026-10-24", "End": "2026-11-24"},
        "Granularity": "MONTHLY",
        "Metrics": ["UnblendedCost"],
        "Filter": {"Tags": {"Key": "dayfly:project", "Values": ["it"], "MatchOptions": ["EQUALS"]}},
        "GroupBy": [{"Type": "TAG", "Key": "dayfly:run"}],
    }
    october = {"Groups": [_group(f"dayfly:run${RUN_ID}", "0.5"), _group("dayfly:run$", "0.1")]}
    november = {"Groups": [_group(f"dayfly:run${RUN_ID}", "0.25")]}
    with stubbed_aws() as stubbed:
        stubbed.answer(
            "cost_explorer",
            "get_cost_and_usage",
            {"ResultsByTime": [october], "NextPageToken": "next"},
            request,
        )
        stubbed.answer(
            "cost_explorer",
            "get_cost_and_usage",
            {"ResultsByTime": [november]},
            {**request, "NextPageToken": "next"},
        )
        billed = load_billed(stubbed.aws, "it", since=NOW - timedelta(days=30))
    assert billed == Billed(by_run={RUN_ID: Decimal("0.75")}, shared=Decimal("0.1"), requests=2)
    assert not billed.nothing


def test_cost_explorer_that_was_never_opened_is_told_in_words() -> None:
    with stubbed_aws() as stubbed:
        stubbed.refuse("cost_explorer", "get_cost_and_usage", "DataUnavailableException")
        stubbed.refuse("cost_explorer", "get_cost_and_usage", "AccessDeniedException")
        with pytest.raises(AwsError, match="no data for this account yet"):
            load_billed(stubbed.aws, "it", since=NOW)
        with pytest.raises(AwsError, match="ce:GetCostAndUsage"):
            load_billed(stubbed.aws, "it", since=NOW)


@given(keys=st.lists(st.text(), max_size=1), amount=st.text() | st.floats().map(str))
def test_groups_of_any_form_are_a_name_and_dollars(keys: list[str], amount: str) -> None:
    _, dollars = read_group({"Keys": keys, "Metrics": {"UnblendedCost": {"Amount": amount}}})
    assert dollars.is_finite()

"""What a notebook records: what `record` accepts, and what the runner takes of a message."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import dayfly
from dayfly.runner.for_kernels import dayfly as for_kernels
from dayfly.runner.records import SCRAPS, Records

SCRAP = SCRAPS[0]


class Publisher:
    """A shell, as far as `record` needs one."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.display_pub = self

    def publish(self, *, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        assert metadata == {}
        # Jupyter refuses NaN, so whatever is published must be without it.
        self.sent.append(json.loads(json.dumps(data, allow_nan=False)))


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """A kernel in which a run is going on."""
    made = Publisher()
    monkeypatch.setenv("DAYFLY_RUN_ID", "20261123-101502-analysis-7f3a")
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: made)
    return made


def collect(*outputs: dict[str, Any], limit: int = 1 << 20) -> tuple[dict[str, Any], list[str]]:
    warnings: list[str] = []
    records = Records(warn=warnings.append, limit_bytes=limit)
    for data in outputs:
        records.take(data)
    return records.values, warnings


def of_dayfly(name: Any, value: Any) -> dict[str, Any]:
    return {for_kernels.MIME: {"version": 1, "name": name, "value": value}}


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        (0.12, 0.12),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array(3), 3),
        (np.str_("text"), "text"),
        (None, None),
        ([1, (2.5, "x")], [1, [2.5, "x"]]),
        ({"a": {"b": [True]}}, {"a": {"b": [True]}}),
        (float("inf"), float("inf")),
        ([-math.inf], [-math.inf]),
        (10**30, 10**30),
        ("", ""),
    ],
)
def test_a_value_arrives_as_what_it_is(shell: Publisher, value: object, recorded: object) -> None:
    dayfly.record("x", value)
    values, _ = collect(*shell.sent)
    assert values == {"x": recorded}
    assert type(values["x"]) is type(recorded)


def test_nan_stays_nan(shell: Publisher) -> None:
    dayfly.record("x", {"deep": [np.float64("nan")]})
    values, _ = collect(*shell.sent)
    assert math.isnan(values["x"]["deep"][0])


def test_people_can_read_it_in_the_notebook(shell: Publisher) -> None:
    dayfly.record("rmse", 0.12)
    dayfly.record("long", list(range(1000)))
    assert shell.sent[0]["text/plain"] == "rmse = 0.12"
    assert len(shell.sent[1]["text/plain"]) < 300


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (object(), "builtins.object"),
        (np.arange(3), "try .tolist()"),
        ({1: 2}, "keys are text, not int"),
        (np.datetime64("2026-11-23"), "datetime.date"),
        ([{"a": b"bytes"}], "builtins.bytes"),
    ],
)
def test_anything_else_is_refused_with_words(shell: Publisher, value: object, says: str) -> None:
    with pytest.raises(TypeError, match=r"record\('x', …\)") as caught:
        dayfly.record("x", value)
    assert says in str(caught.value)
    assert shell.sent == []


def test_a_value_that_holds_itself_is_refused(shell: Publisher) -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(TypeError, match="too deeply"):
        dayfly.record("x", circle)
    assert shell.sent == []


def test_a_name_is_text_of_some_length() -> None:
    with pytest.raises(TypeError, match="a name is text"):
        dayfly.record(3, 1)  # type: ignore[arg-type]
    for name in ("", "  ", "n" * 201):
        with pytest.raises(ValueError, match="1 to 200"):
            dayfly.record(name, 1)


def test_outside_of_a_run_nothing_is_recorded(shell: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAYFLY_RUN_ID")
    dayfly.record("x", 1)
    assert shell.sent == []


def test_in_a_process_without_a_kernel_nothing_is_recorded(
    shell: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: None)
    dayfly.record("x", 1)
    assert shell.sent == []


def test_the_last_value_of_a_name_counts() -> None:
    values, _ = collect(of_dayfly("a", 1), of_dayfly("b", 2), of_dayfly("a", 3))
    assert values == {"a": 3, "b": 2}


def test_what_scrapbook_glues_is_recorded() -> None:
    scrap = {"name": "glued", "data": [1, "x"], "encoder": "json", "version": 1}
    text = {"name": "words", "data": "x", "encoder": "text", "version": 1}
    values, _ = collect({SCRAP: scrap}, {SCRAPS[1]: text})
    assert values == {"glued": [1, "x"], "words": "x"}


@pytest.mark.parametrize(
    "data",
    [
        {for_kernels.MIME: "text"},
        {for_kernels.MIME: {"name": "x"}},
        {SCRAP: {"data": 1}},
        {SCRAP: None},
        of_dayfly(3, 1),
        of_dayfly("", 1),
        of_dayfly("n" * 201, 1),
        {"text/plain": "x = 1"},
        {},
    ],
)
def test_what_has_another_form_records_nothing(data: dict[str, Any]) -> None:
    assert collect(data) == ({}, [])


def test_there_is_a_limit_and_one_warning_tells_of_it() -> None:
    big = "x" * 600
    values, warnings = collect(
        of_dayfly("a", big), of_dayfly("b", big), of_dayfly("c", big), of_dayfly("small", 1), limit=1000
    )
    assert values == {"a": big, "small": 1}
    assert len(warnings) == 1
    assert "'b' was not recorded" in warnings[0]


def test_a_name_whose_new_value_is_too_large_has_none() -> None:
    """The old value is not what was recorded last."""
    values, warnings = collect(of_dayfly("a", 1), of_dayfly("a", "x" * 2000), limit=1000)
    assert values == {}
    assert warnings


def test_a_name_gives_its_room_back() -> None:
    values, warnings = collect(*(of_dayfly("a", "x" * 900) for _ in range(5)), limit=1000)
    assert list(values) == ["a"]
    assert warnings == []


def test_what_is_nested_too_deeply_records_nothing() -> None:
    """A message that `record` did not make: writing it would be the end of the whole run."""
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    values, _ = collect(of_dayfly("deep", deep), of_dayfly("x", [[[1]]]))
    assert values == {"x": [[[1]]]}

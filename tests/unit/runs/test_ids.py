import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.runs import ids

MOMENT = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
moments = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 -- Hypothesis adds the time zone
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def test_an_id_says_when_and_which_notebook() -> None:
    assert (
        ids.new_run_id("/home/ada/Analysis 2.ipynb", MOMENT, token="7f3a")  # noqa: S106 -- no secret
        == "20261123-101502-analysis-2-7f3a"
    )


def test_the_time_in_an_id_is_utc() -> None:
    paris = MOMENT.astimezone(timezone(timedelta(hours=1)))
    assert ids.new_run_id("a.ipynb", paris).startswith("20261123-101502-")


@given(notebook=st.text(), moment=moments)
def test_any_name_makes_an_id_that_can_be_read_back(notebook: str, moment: datetime) -> None:
    run_id = ids.new_run_id(notebook, moment)
    assert ids.is_run_id(run_id)
    assert ids.started_at(run_id) == moment.replace(microsecond=0)
    assert ids.notebook_slug(run_id) == ids.slug(notebook)


@given(notebook=st.text())
def test_a_slug_is_safe_in_paths_keys_and_shells(notebook: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", ids.slug(notebook))


@given(st.lists(moments, min_size=2, max_size=2), st.text(max_size=40), st.text(max_size=40))
def test_ids_sort_by_time(pair: list[datetime], one: str, other: str) -> None:
    early, late = sorted(pair)
    if early.replace(microsecond=0) < late.replace(microsecond=0):
        assert ids.new_run_id(one, early) < ids.new_run_id(other, late)


@given(moments, st.text(max_size=40), st.text(max_size=40))
def test_age_orders_ids_of_one_second_whatever_the_notebooks_are_called(
    moment: datetime, one: str, other: str
) -> None:
    later = moment + timedelta(milliseconds=8)
    assert ids.age(ids.new_run_id(one, moment)) < ids.age(ids.new_run_id(other, later))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "last",
        "20261123-101502",
        "20261123-101502-analysis",
        "20261123-101502-analysis-7f3a\n",
        "20261123-101502-analysis-7F3A",
        "20261123-101502--7f3a",
        "20261123-101502-a/b-7f3a",
        "٢٠٢٦١١٢٣-101502-analysis-7f3a",
        ".DS_Store",
    ],
)
def test_what_is_no_run_id_has_no_time(text: str) -> None:
    assert not ids.is_run_id(text)
    assert ids.started_at(text) is None


def test_a_moment_that_does_not_exist_is_none() -> None:
    assert ids.started_at("20261399-101502-analysis-7f3a") is None


def test_the_slug_of_what_is_no_run_id_is_the_text_itself() -> None:
    assert ids.notebook_slug("something") == "something"


def test_two_ids_of_one_second_differ() -> None:
    assert len({ids.new_run_id("a.ipynb", MOMENT) for _ in range(20)}) > 1

"""What `dayfly rehearse` refuses before it asks any engine, and what it lists."""

from __future__ import annotations

import pytest

from tests.helpers import Place


@pytest.mark.parametrize(
    "arguments", [(), ("hello.ipynb", "--build"), ("hello.ipynb", "--lab"), ("--lab", "--build")]
)
def test_one_task_is_rehearsed_at_a_time(place: Place, arguments: tuple[str, ...]) -> None:
    place.notebook("hello")
    said = place.cli("rehearse", *arguments, code=2).err
    assert said.startswith("error: Name a notebook, or say --build or --lab.")


@pytest.mark.parametrize("flag", ["--keep", "--shell"])
def test_all_faults_stand_alone(place: Place, flag: str) -> None:
    place.notebook("hello")
    assert (
        "--all-faults stands alone" in place.cli("rehearse", "hello.ipynb", "--all-faults", flag, code=2).err
    )


def test_the_faults_are_listed_with_their_moments(place: Place) -> None:
    heading, *rows = place.cli("rehearse", "--fault", "list").out.splitlines()
    assert heading.split() == ["FAULT", "AT", "WHAT", "HAPPENS"]
    spot = next(row for row in rows if row.startswith("spot-notice "))
    assert "cell:N" in spot


def test_a_moment_without_a_fault_is_refused(place: Place) -> None:
    place.notebook("hello")
    assert "--fault NAME" in place.cli("rehearse", "hello.ipynb", "--at", "cell:1", code=2).err


def test_a_fault_that_is_not_known_is_answered_with_how_to_see_those_that_are(place: Place) -> None:
    place.notebook("hello")
    said = place.cli("rehearse", "hello.ipynb", "--fault", "earthquake", code=2).err
    assert "earthquake" in said
    assert "dayfly rehearse --fault list" in said

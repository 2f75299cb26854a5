"""What the doctor makes of what it sees."""

from datetime import timedelta
from email.utils import format_datetime

import pytest

from dayfly.aws.doctor import Finding, Verdict, examine, judge_clock, ok
from dayfly.aws.doctor_tools import tool_checks
from dayfly.errors import AwsError, EngineError
from tests.unit.aws.stubbed import NOW


@pytest.mark.parametrize(
    ("skew", "verdict", "words"),
    [
        (timedelta(seconds=3), Verdict.OK, "agrees"),
        (timedelta(minutes=-4), Verdict.OK, "240 s"),
        (timedelta(minutes=7), Verdict.WRONG, "7 minutes fast"),
        (timedelta(hours=-1), Verdict.WRONG, "60 minutes slow"),
    ],
)
def test_a_clock_that_aws_would_refuse_is_wrong(skew: timedelta, verdict: Verdict, words: str) -> None:
    (found,) = judge_clock(format_datetime(NOW, usegmt=True), NOW + skew)
    assert found.verdict is verdict
    assert words in found.found


def test_without_a_date_nothing_is_said_of_the_clock() -> None:
    assert judge_clock(None, NOW) == []
    assert judge_clock("yesterday", NOW) == []


def _fails(error: Exception) -> list[Finding]:
    raise error


def test_a_check_that_fails_is_a_finding_and_the_others_go_on() -> None:
    denied = AwsError("No.", hint="a line", code="AccessDenied")
    broken = AwsError("It broke.", why="So.", hint="Mend it.", code="InternalError")
    found = examine(
        [
            ("one", lambda: _fails(denied)),
            ("two", lambda: _fails(broken)),
            ("three", lambda: _fails(EngineError("Off."))),
            ("four", lambda: [ok("four", "well")]),
        ]
    )
    assert [(one.check, one.verdict) for one in found] == [
        ("one", Verdict.NOTE),
        ("two", Verdict.WRONG),
        ("three", Verdict.WRONG),
        ("four", Verdict.OK),
    ]
    assert (found[1].found, found[1].mend) == ("It broke. So.", "Mend it.")


def test_a_program_that_is_missing_is_no_fault_but_says_what_cannot_be_done() -> None:
    found = examine(tool_checks({"PATH": "/nowhere"}))
    assert {one.verdict for one in found} == {Verdict.NOTE}
    assert "dayfly ssh" in found[0].found
    assert all(one.mend for one in found)

"""Where the time of a run went, from what its store and CloudFormation tell."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.report.timeline import Part, Phase, Timeline, shorten, summarize, to_json
from dayfly.report.timeline_phases import Told, make_timeline
from dayfly.runs.follow import Event
from tests.unit.machine_runs import STEPS, after, cell, event, stack_event, step
from tests.unit.support import NOW, RUN_ID

LATER = after(100_000)
RUNNER = [
    event("state", 95, state="preparing"),
    event("notebook", 95, cells=3, executions=2),
    event("state", 97, state="running"),
    *cell(1, 98, 100, "import pandas"),
    *cell(2, 100, 250, "fit(x)"),
    event("state", 250, state="saving"),
    event("ended", 252, state="succeeded", reason="completed", message="Every cell was executed."),
]
STACK = [
    stack_event("CREATE_IN_PROGRESS", 3),
    stack_event("CREATE_IN_PROGRESS", 6, of="Instance"),
    stack_event("CREATE_COMPLETE", 22, of="Instance"),
    stack_event("CREATE_COMPLETE", 23),
    stack_event("DELETE_IN_PROGRESS", 258),
    stack_event("DELETE_COMPLETE", 300),
]


def machine(*lines: dict[str, Any]) -> list[Event]:
    """Lines of a machine's stream, as a reader hands them out."""
    return [{**line, "type": f"machine_{line['type']}"} for line in lines]


BOOT = machine(*(step(name, seconds) for name, seconds in STEPS), step("saved", 254), step("goodbye", 256))


def made(**told: Any) -> Timeline:
    fields: dict[str, Any] = {"run_id": RUN_ID, "requested": NOW, "ended": True, **told}
    return make_timeline(Told(**fields), LATER)


def seconds(phases: Timeline) -> list[tuple[str, float, float | None]]:
    """Each phase's name, and its start and end in seconds after the request."""
    return [
        (one.name, (one.start - NOW).total_seconds(), (one.end - NOW).total_seconds() if one.end else None)
        for one in phases.phases
    ]


def test_a_run_on_a_machine_has_no_gap_from_submission_to_the_end_of_the_stack() -> None:
    assert seconds(made(events=RUNNER, machine=BOOT, stack=STACK)) == [
        ("submit", 0, 3),
        ("create the stack", 3, 22),
        ("boot", 22, 34),
        ("check the store", 34, 36.5),
        ("Docker", 36.5, 48),
        ("fetch the run", 48, 49.5),
        ("pull the image", 49.5, 91),
        ("start containers", 91, 92.5),
        ("start the runner", 92.5, 95),
        ("start the kernel", 95, 98),
        ("cell 1", 98, 100),
        ("cell 2", 100, 250),
        ("save", 250, 252),
        ("last upload", 252, 256),
        ("end the machine", 256, 258),
        ("delete the stack", 258, 300),
    ]


def test_each_part_is_told_in_all() -> None:
    parts = summarize(made(events=RUNNER, machine=BOOT, stack=STACK))
    assert {part: took.total_seconds() for part, took in parts.items()} == {
        Part.BEFORE: 98,
        Part.NOTEBOOK: 152,
        Part.AFTER: 50,
    }


def test_a_run_on_this_machine_has_a_runner_a_kernel_cells_and_a_save() -> None:
    assert [name for name, _, _ in seconds(made(events=RUNNER))] == [
        "start the runner",
        "start the kernel",
        "cell 1",
        "cell 2",
        "save",
    ]


def test_a_machine_that_speaks_before_cloudformation_does_ends_the_stacks_creation() -> None:
    """CloudFormation notices a running instance some seconds late."""
    late = [*STACK[:2], stack_event("CREATE_COMPLETE", 40, of="Instance")]
    found = {name: (start, end) for name, start, end in seconds(made(machine=BOOT, stack=late))}
    assert found["create the stack"] == (3, 34)
    assert found["boot"] == (34, 34)


def test_without_an_answer_of_aws_the_way_to_the_first_step_is_one_phase() -> None:
    assert seconds(made(events=RUNNER, machine=BOOT))[0] == ("submit, create, boot", 0, 34)


def test_a_run_in_its_stacks_creation_goes_on() -> None:
    found = made(stack=STACK[:2], ended=False)
    assert seconds(found) == [("submit", 0, 3), ("waiting", 3, None)]
    assert found.end == LATER


def test_a_cell_that_runs_goes_on() -> None:
    found = made(events=RUNNER[:4], ended=False)
    assert seconds(found)[-1] == ("cell 1", 98, None)
    assert found.phases[-1].duration(after(110)) == timedelta(seconds=12)


def test_between_cells_it_goes_on_too() -> None:
    assert seconds(made(events=RUNNER[:5], ended=False))[-1] == ("between cells", 100, None)


def test_a_run_that_was_lost_does_not_go_on() -> None:
    """Its runner told no end, so the cell that it was in has none either."""
    found = made(events=RUNNER[:4])
    assert found.phases[-1].failed
    assert found.end == after(98)


@pytest.mark.parametrize(
    ("stack", "last"),
    [
        (STACK[:4], "end the machine"),
        (STACK[:5], "delete the stack"),
    ],
)
def test_the_machine_of_a_run_that_has_ended_goes_on_until_its_stack_is_gone(
    stack: list[Any], last: str
) -> None:
    found = made(events=RUNNER, machine=BOOT, stack=stack)
    assert (found.phases[-1].name, found.phases[-1].end) == (last, None)


def test_a_stack_that_cannot_be_deleted_says_why() -> None:
    stuck = [*STACK[:5], stack_event("DELETE_FAILED", 290, reason="[SecurityGroup] is in use.")]
    last = made(events=RUNNER, machine=BOOT, stack=stuck).phases[-1]
    assert (last.name, last.failed, last.detail) == ("delete the stack", True, "[SecurityGroup] is in use.")


def test_a_boot_that_failed_is_a_failed_phase_with_its_reason() -> None:
    failed = machine(
        step("armed", 34),
        {
            "at": after(50).isoformat(),
            "type": "failed",
            "step": "docker",
            "line": 97,
            "command": "dnf install docker",
            "reason": "boot_failed",
            "message": "No match for argument: docker",
        },
    )
    last = made(machine=failed, stack=STACK[:4]).phases
    named = next(phase for phase in last if phase.name == "Docker")
    assert (named.failed, named.detail) == (True, "No match for argument: docker")


def test_a_stack_that_was_refused_is_a_failed_phase_with_its_reason() -> None:
    refused = [
        STACK[0],
        stack_event("CREATE_FAILED", 9, of="Instance", reason="Insufficient capacity."),
        stack_event("DELETE_IN_PROGRESS", 10),
        stack_event("DELETE_COMPLETE", 20),
    ]
    found = made(stack=refused).phases
    assert [phase.name for phase in found if phase.failed] == ["create the stack"]
    assert found[1].detail == "Instance: Insufficient capacity."


def test_clocks_that_differ_make_no_phase_end_before_it_begins() -> None:
    early = machine(*(step(name, number - 20) for name, number in STEPS))
    found = made(events=RUNNER, machine=early, stack=STACK)
    assert all(phase.end is None or phase.end >= phase.start for phase in found.phases)


@given(st.lists(st.tuples(st.sampled_from([name for name, _ in STEPS]), st.floats(-1e6, 1e6)), max_size=20))
def test_whatever_a_machine_tells_phases_follow_one_another(told: list[tuple[str, float]]) -> None:
    found = made(machine=machine(*(step(*one) for one in told)))
    for one, following in zip(found.phases, found.phases[1:], strict=False):
        assert one.end is not None
        assert one.start <= one.end <= following.start


@pytest.mark.parametrize("line", [{}, {"at": "yesterday"}, {"at": None, "step": "armed"}, {"step": "dance"}])
def test_a_line_that_says_nothing_is_passed_over(line: dict[str, Any]) -> None:
    assert seconds(made(machine=[{"type": "machine_step", **line}], events=RUNNER)) == seconds(
        made(events=RUNNER)
    )


def test_of_many_cells_the_slowest_are_kept_in_their_order() -> None:
    cells = [one for number in range(50) for one in cell(number, 100 + number, 100.5 + number + number % 7)]
    found = made(events=cells)
    shown, left_out = shorten(found, cells=5)
    kept = [phase for phase in shown if phase.part is Part.NOTEBOOK]
    assert left_out == 45
    assert [phase.name for phase in kept] == ["cell 6", "cell 13", "cell 20", "cell 27", "cell 34"]
    assert [phase.part for phase in shown] == sorted((phase.part for phase in shown), key=list(Part).index)


def test_json_has_every_phase_in_seconds() -> None:
    found = to_json(made(events=RUNNER, machine=BOOT, stack=STACK))
    assert found["total_s"] == 300
    assert found["phases"][11] == {
        "name": "cell 2",
        "part": "notebook",
        "start": after(100).isoformat(),
        "end": after(250).isoformat(),
        "duration_s": 150,
        "detail": "fit(x)",
        "failed": False,
    }


def test_a_run_of_which_nothing_is_known_waits() -> None:
    found = made(ended=False)
    assert found.phases == (Phase(name="waiting", part=Part.BEFORE, start=NOW, end=None),)


def test_a_run_that_never_started_and_told_nothing_has_an_empty_timeline() -> None:
    found = made()
    assert found.phases == ()
    assert found.total == timedelta()

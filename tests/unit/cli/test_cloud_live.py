"""Following a stack on a terminal: what is worked on, and what waits for it."""

from datetime import UTC, datetime

from rich.console import Console

from dayfly.aws.stacks import StackEvent
from dayfly.cli.cloud_live import StackView

NEEDS: dict[str, set[str]] = {"Role": set(), "Profile": {"Role"}, "Bucket": set(), "Policy": {"Bucket"}}


def event(resource: str, status: str) -> StackEvent:
    return StackEvent(
        event_id="1",
        at=datetime.now(UTC),
        stack_id="stack",
        logical_id=resource,
        physical_id="stack" if resource == "demo" else resource,
        type="T",
        status=status,
    )


def shown(view: StackView) -> list[str]:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(view.draw())
    return [line.rstrip() for line in captured.get().splitlines()]


def test_what_waits_is_told_beside_what_it_waits_for() -> None:
    view = StackView(NEEDS)
    for resource, status in (
        ("demo", "CREATE_IN_PROGRESS"),
        ("Role", "CREATE_IN_PROGRESS"),
        ("Bucket", "CREATE_IN_PROGRESS"),
        ("Bucket", "CREATE_COMPLETE"),
        ("Policy", "CREATE_IN_PROGRESS"),
    ):
        view.event(event(resource, status))
    head, *lines = shown(view)
    assert "1/4" in head
    assert "CREATE_IN_PROGRESS" in head
    assert [line.split()[0] for line in lines] == ["Role", "Policy"]
    assert lines[0].endswith("(Profile waits for it)")
    assert "waits" not in lines[1]


def test_a_picture_of_a_large_stack_stays_small() -> None:
    view = StackView({f"R{number}": set() for number in range(30)})
    for number in range(30):
        view.event(event(f"R{number}", "CREATE_IN_PROGRESS"))
    assert len(shown(view)) <= 9

"""Bringing the base stack to what was asked, whatever stands there and whoever else is at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dayfly.aws.base_apply import (
    INTERFERED,
    ChangeSet,
    OnEvent,
    discard_change,
    execute_change,
    follow_other,
    prepare_change,
    remove_remains,
)
from dayfly.aws.base_plan import BasePlan
from dayfly.errors import AwsError

if TYPE_CHECKING:
    from dayfly.aws.client import Aws

_TRIES = 5


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """How whoever sets up is asked and told. The questions return whether to go on."""

    agree_to_plan: Callable[[BasePlan], bool]
    """Asked once, before anything is made."""
    agree_to_changes: Callable[[BasePlan, ChangeSet], bool]
    """Asked before a stack that stands is changed."""
    tell: Callable[[str], None]
    on_event: OnEvent


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How it ended. `agreed` is False when somebody said no; nothing was changed then."""

    agreed: bool = True
    changed: bool = False


def bring_up(aws: Aws, make_plan: Callable[[], BasePlan], dialogue: Dialogue) -> Outcome:
    """Plan, ask, and carry out; again when somebody else was faster.

    Raises AwsError: a stack that could not be made is gone again, one that could not be changed is as it was.
    """
    asked = False
    for _ in range(_TRIES):
        plan = make_plan()
        if plan.action == "follow":
            dialogue.tell(f"Somebody is changing {plan.stack_name} just now: waiting for its end.")
            follow_other(aws, plan.stack_name, dialogue.on_event)
            continue
        if plan.action in {"create", "replace"} and not asked:
            if not dialogue.agree_to_plan(plan):
                return Outcome(agreed=False)
            asked = True
        try:
            return _carry_out(aws, plan, dialogue, asked=asked)
        except AwsError as error:
            if error.code != INTERFERED:
                raise
            dialogue.tell(error.what)
            follow_other(aws, plan.stack_name, dialogue.on_event)
    raise AwsError(
        "Somebody else keeps changing the base stack.",
        hint="See what it does with: dayfly cloud status; and repeat the command later.",
        code=INTERFERED,
    )


def _carry_out(aws: Aws, plan: BasePlan, dialogue: Dialogue, *, asked: bool) -> Outcome:
    if plan.action == "replace" and plan.stack is not None:
        dialogue.tell(f"{plan.stack_name} is {plan.stack.status}: what is left of it is deleted first.")
        remove_remains(aws, plan, dialogue.on_event)
    change = prepare_change(aws, plan)
    if change is None:
        return Outcome()
    try:
        # Whoever agreed to the making of all of it agrees to the rest of it.
        agreed = asked or change.creates or dialogue.agree_to_changes(plan, change)
    except BaseException:
        discard_change(aws, change)
        raise
    if not agreed:
        discard_change(aws, change)
        return Outcome(agreed=False)
    execute_change(aws, change, dialogue.on_event)
    return Outcome(changed=True)

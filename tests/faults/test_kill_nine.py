"""Fault 8 at random moments: a few kills; `python -m tests.kill_nine` does hundreds."""

from __future__ import annotations

import random

import pytest

from tests.kill_nine import kill_many


@pytest.mark.fault(8)
def test_fault_08_a_runner_killed_at_a_random_moment_leaves_a_valid_notebook_and_a_true_state() -> None:
    seed = random.SystemRandom().randrange(10**6)
    kills = kill_many(6, seed)
    assert len(kills) == 6, f"python -m tests.kill_nine --times 6 --at-once 1 --seed {seed}"

from __future__ import annotations

from pathlib import Path

import pytest

from dayfly.runner.memory import memory_kills, why_killed


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("memory.events", "low 0\nhigh 0\nmax 31\noom 2\noom_kill 2\n"),
        ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
    ],
    ids=["cgroup v2", "cgroup v1"],
)
def test_the_kernel_counts_what_it_killed(tmp_path: Path, file: str, content: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(content)
    assert memory_kills(tmp_path) == 2


def test_without_control_groups_it_is_unknown(tmp_path: Path) -> None:
    assert memory_kills(tmp_path) is None


def test_a_kernel_killed_at_the_limit_is_told_so() -> None:
    assert why_killed(64_000_000, kills=1) == (
        "It reached the memory limit of 64 MB: give it more with --memory."
    )


@pytest.mark.parametrize(("limit", "kills"), [(None, 3), (64_000_000, 0)])
def test_any_other_kill_is_explained_with_care(limit: int | None, kills: int) -> None:
    assert why_killed(limit, kills=kills) == "That is what happens when memory runs out."

"""Which tests are one worker's, one after the other: those that share what is dear to make.

pytest-xdist has marks for this (`xdist_group`), which do nothing under pytest 9.2: they are carried in a
test's id, which has another form there. So the scheduler is told by where a test is. The largest group comes
first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler.protocol import Scheduling


def group_of(nodeid: str) -> str:
    """The group of a test; itself where it has none."""
    if nodeid.startswith("tests/rehearsal/"):
        return "rehearsal"
    batch = nodeid.startswith("tests/contract/") and nodeid.endswith("[batch]")
    return "batch" if batch or nodeid.startswith("tests/cloud/test_batch_containers.py") else nodeid


class _ByGroup(LoadScopeScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """With more than one worker, tests are handed out by group."""
    return _ByGroup(config, log)

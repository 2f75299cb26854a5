"""Which test proves which row of docs/faults.md, and what it found: `pytest --fault-records FILE` writes it.

A test bears `@pytest.mark.fault(row, ...)`; one that has measured something says so by the fixture `record`.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_ROWS = "fault rows"
_FOUND = "fault found"
_KEY = pytest.StashKey[dict[str, dict[str, Any]]]()


@dataclass
class Record:
    """What one test found. Each call is a row's line in the table; `row` None: the test's only row."""

    item: pytest.Item
    found: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, *, left: str, gone: float | str, told: str, row: int | None = None) -> None:
        """`gone`: seconds from the fault to the machine's end, or words; `told`: what the user is told."""
        words = gone if isinstance(gone, str) else f"{gone:.1f} s"
        self.item.user_properties.append((_FOUND, {"row": row, "left": left, "gone": words, "told": told}))


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Say what was found."""
    return Record(request.node)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-records", metavar="FILE", help="write what the tests of faults have found")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(*rows): proves these rows of docs/faults.md")
    config.stash[_KEY] = {}
    config.pluginmanager.register(_Collector(config), "fault-collector")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        rows = [row for mark in item.iter_markers("fault") for row in mark.args]
        if rows:
            item.user_properties.append((_ROWS, rows))


class _Collector:
    """Hears of each test's end; with xdist, in the process that has the workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = report.user_properties
        rows = [row for name, value in properties if name == _ROWS for row in value]  # type: ignore[attr-defined]
        if not rows or (report.when != "call" and report.passed):
            return
        test = report.nodeid.partition("@")[0]
        found = [value for name, value in properties if name == _FOUND]
        self._config.stash[_KEY][test] = {
            "test": test,
            "rows": rows,
            "outcome": report.outcome,
            "took_s": round(report.duration, 1),
            "found": found,
        }

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self) -> Generator[None]:
        path = self._config.getoption("--fault-records")
        if path and not hasattr(self._config, "workerinput"):
            records = sorted(self._config.stash[_KEY].values(), key=lambda one: str(one["test"]))
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
        return (yield)

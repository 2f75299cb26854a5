"""docs/faults.md is complete: each row with a test that is there."""

from __future__ import annotations

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from dayfly.rehearsal.faults import list_faults

ROOT = Path(__file__).parents[2]
ROWS = 44
_LINE = re.compile(r"^\| (\d+) \|.*\| ([^|]*) \|$", re.MULTILINE)
_TEST = re.compile(r"`([^`:]+\.py)::([^`]+)`")


@pytest.fixture(scope="module")
def report() -> ModuleType:
    """The script that writes the page."""
    spec = spec_from_file_location("faults_report", ROOT / "scripts" / "faults_report.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)  # its dataclasses look there
    spec.loader.exec_module(module)
    return module


def lines() -> dict[int, str]:
    """The page's rows: number to the cell with the tests."""
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    return {int(number): tests for number, tests in _LINE.findall(text)}


def test_every_row_is_on_the_page() -> None:
    assert sorted(lines()) == list(range(1, ROWS + 1))


def test_every_row_has_a_test(report: ModuleType) -> None:
    assert sorted(report.find_marked()) == list(range(1, ROWS + 1))


def test_the_page_names_the_tests_that_there_are(report: ModuleType) -> None:
    by_row = report.find_marked()
    for number, cell in lines().items():
        named = [f"{file}::{test}" for file, test in _TEST.findall(cell)]
        assert named == by_row.get(number, []), f"row {number}: run `make faults`"


def test_the_page_names_no_place_on_the_machine_that_wrote_it() -> None:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    assert not re.search(r"(?:^|[\s`(])/(?:root|home|tmp|work|Users)\b", text)


def test_every_fault_that_can_be_injected_belongs_to_a_row_of_the_table() -> None:
    for fault in list_faults():
        assert fault.row is None or 1 <= fault.row <= ROWS, fault.name
        assert fault.when, fault.name
        assert fault.says == fault.says.strip().rstrip("."), fault.name

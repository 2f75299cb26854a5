"""Each proof that docs/security.md names is a test that exists, and each point has one."""

from __future__ import annotations

import re

import pytest

from tests.docs.conftest import ROOT

TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
_POINT = re.compile(r"^\*\*(\d+)\. (.*?)(?=^\*\*\d+\. |^## |\Z)", re.MULTILINE | re.DOTALL)
POINTS = {int(number): text for number, text in _POINT.findall(TEXT)}


@pytest.mark.parametrize("proof", sorted(set(re.findall(r"`(tests/[\w/]+\.py::test_\w+)`", TEXT))))
def test_a_proof_exists(proof: str) -> None:
    file, _, name = proof.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_every_point_about_the_cloud_has_a_proof() -> None:
    assert set(POINTS) == {*range(1, 18), 21}
    without = [
        number for number, text in POINTS.items() if "tests/" not in text and "the same tests" not in text
    ]
    assert without == []

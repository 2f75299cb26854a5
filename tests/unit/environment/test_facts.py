from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dayfly.environment.facts import ImageUser, image_facts
from dayfly.environment.image import Image
from dayfly.errors import ImageError
from tests.unit.environment.fakes import FakeDocker

IMAGE = Image(
    tag="me/it:1",
    id="sha256:1",
    key="k",
    platform="linux/amd64",
    size_bytes=1,
    created=datetime(2026, 1, 1, tzinfo=UTC),
    project="me/it",
)
KERNEL = {
    "name": "python3",
    "argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    "display_name": "Python 3",
    "language": "python",
    "interrupt_mode": "signal",
    "env": {},
    "directory": "/opt/venv/share/jupyter/kernels/python3",
}
ANSWER = {
    "user": {"name": "me", "uid": 1, "gid": 2, "home": "/home/me"},
    "python": {"executable": "/opt/venv/bin/python", "prefix": "/opt/venv", "version": "3.12.1"},
    "kernels": [KERNEL],
    "packages": {"pandas": "3.0"},
}


def engine(**changes: Any) -> FakeDocker:
    return FakeDocker(answers={"run": (0, json.dumps({**ANSWER, **changes}), "")})


def test_an_image_tells_its_user_python_kernels_and_packages(tmp_path: Path) -> None:
    facts = image_facts(engine(), IMAGE, cache=tmp_path / "cache")
    assert facts.user == ImageUser(name="me", uid=1, gid=2, home="/home/me")
    assert facts.python.executable == "/opt/venv/bin/python"
    assert facts.kernels["python3"].is_ipython
    assert facts.kernels["python3"].directory == Path("/opt/venv/share/jupyter/kernels/python3")
    assert facts.packages == {"pandas": "3.0"}


def test_it_is_asked_once(tmp_path: Path) -> None:
    docker = engine()
    assert image_facts(docker, IMAGE, cache=tmp_path) == image_facts(docker, IMAGE, cache=tmp_path)
    assert len(docker.asked) == 1


def test_a_damaged_cache_is_asked_anew(tmp_path: Path) -> None:
    (tmp_path / "sha256-1.json").write_text("{")
    assert image_facts(engine(), IMAGE, cache=tmp_path).user.name == "me"


def test_a_cache_that_cannot_be_written_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert image_facts(engine(), IMAGE, cache=tmp_path / "file").user.name == "me"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"python": None}, "There is no Python"),
        ({"python": {**ANSWER["python"], "version": "3.9.2"}}, "too old"),  # type: ignore[dict-item]
        ({"kernels": []}, "no Jupyter kernel"),
    ],
)
def test_an_image_that_is_of_no_use_is_told(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ImageError, match=words):
        image_facts(engine(**changes), IMAGE, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_does_not_answer_is_told(tmp_path: Path) -> None:
    docker = FakeDocker(answers={"run": (127, "", "exec: /opt/dayfly/bin/python: not found")})
    with pytest.raises(ImageError, match="does not say") as told:
        image_facts(docker, IMAGE, cache=tmp_path)
    assert "not found" in told.value.why

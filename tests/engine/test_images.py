"""Images as an engine builds them."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dayfly.environment.builder import engine_platform, find_builder
from dayfly.environment.docker import Docker
from dayfly.environment.facts import image_facts
from dayfly.environment.image import (
    Image,
    build_image,
    find_image,
    list_images,
    push_image,
    registry_reference,
    remove_image,
)
from dayfly.environment.layer import PYTHON
from dayfly.environment.plan import ImagePlan, plan_image
from dayfly.errors import ImageError
from dayfly.project.settings import ImageSettings

BUILD_S = 600.0
LAYER_LIMIT = 80_000_000


def make_plan(docker: Docker, root: Path, **settings: Any) -> ImagePlan:
    chosen = ImageSettings(**{"network": "host", "name": "dayfly-test/images", **settings})
    return plan_image(root, chosen, platform=engine_platform(docker))


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def run_in(docker: Docker, image: Image, *command: str) -> str:
    entrypoint, *arguments = command
    return docker.run(["run", "--rm", "--entrypoint", entrypoint, image.tag, *arguments]).strip()


def quiet(_: str) -> None:
    """Nobody listens."""


class TestDayflysLayer:
    @pytest.fixture
    def image(self, docker: Docker, kernel_image: str, tmp_path: Path) -> Image:
        text = f"FROM {kernel_image}\nRUN /usr/sbin/useradd -m me\nUSER me\n"
        text += 'ENTRYPOINT ["echo", "hello"]\nCMD ["you"]\n'
        root = write(tmp_path, {"Dockerfile": text})
        return build_image(docker, make_plan(docker, root), echo=quiet)

    def test_leaves_the_image_the_users(self, docker: Docker, image: Image) -> None:
        assert docker.run(["run", "--rm", image.tag]).strip() == "hello you"
        assert run_in(docker, image, "id", "-un") == "me"

    def test_has_what_runs_a_notebook(self, docker: Docker, image: Image) -> None:
        code = (
            "import dayfly.runner.session, dayfly.keeper.keep, dayfly.snapshot.unpack as u; print(u.__name__)"
        )
        assert run_in(docker, image, PYTHON, "-I", "-c", code) == "dayfly.snapshot.unpack"
        code = "import dayfly.runner.parameters as p; print(p.load_translators().__name__)"
        assert run_in(docker, image, PYTHON, "-I", "-c", code).endswith("translators")

    def test_is_invisible_to_the_users_python(self, docker: Docker, image: Image) -> None:
        code = "import importlib.util as u; print(u.find_spec('dayfly'))"
        # In a folder of its own: a Python that starts in / sees /dayfly, the folder of runs.
        assert run_in(docker, image, "sh", "-c", f'cd /tmp && python3 -c "{code}"') == "None"

    def test_is_small(self, docker: Docker, image: Image) -> None:
        form = "{{.Size}}|{{.CreatedBy}}"
        history = docker.run(["history", "--format", form, "--human=false", "--no-trunc", image.tag])
        sizes = [line.partition("|")[0] for line in history.splitlines() if "/opt/dayfly" in line]
        assert 0 < sum(map(int, sizes)) <= LAYER_LIMIT

    def test_tells_what_is_in_the_image(self, docker: Docker, image: Image, tmp_path: Path) -> None:
        facts = image_facts(docker, image, cache=tmp_path / "cache")
        assert (facts.user.name, facts.user.home) == ("me", "/home/me")
        assert facts.python.prefix == "/opt/venv"
        assert facts.kernels["python3"].is_ipython
        assert "ipykernel" in facts.packages


def test_an_image_is_built_of_requirements_alone(docker: Docker, base_image: str, tmp_path: Path) -> None:
    root = write(tmp_path, {"requirements.txt": "six\n"})
    image = build_image(docker, make_plan(docker, root, base=base_image), echo=quiet)
    facts = image_facts(docker, image, cache=tmp_path / "cache")
    assert "six" in facts.packages
    assert facts.user.uid != 0
    assert facts.kernels["python3"].language == "python"


def test_both_builders_make_the_same_of_the_same_key(
    docker: Docker, base_image: str, kernel_image: str, tmp_path: Path
) -> None:
    root = write(tmp_path, {"Dockerfile": f"FROM {kernel_image}\nCOPY a /a\n", "a": "1"})
    old = replace(docker, environ={**docker.environ, "DOCKER_BUILDKIT": "0"})
    if not find_builder(docker).buildkit:
        old = docker
    facts = []
    for number, engine in enumerate((docker, old)):
        plan = make_plan(engine, root, name=f"dayfly-test/builder-{number}")
        image = build_image(engine, plan, echo=quiet)
        facts.append((image.key, image_facts(engine, image, cache=tmp_path / "cache")))
        remove_image(engine, image.tag)
    assert facts[0] == facts[1]


def test_two_builds_at_once_end_with_one_image(docker: Docker, kernel_image: str, tmp_path: Path) -> None:
    root = write(tmp_path, {"Dockerfile": f"FROM {kernel_image}\nCOPY a /a\n", "a": str(tmp_path)})
    plan = make_plan(docker, root)
    threads = [
        threading.Thread(target=build_image, args=(docker, plan), kwargs={"echo": quiet}) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BUILD_S)
    found = find_image(docker, plan)
    assert found is not None
    assert run_in(docker, found, "cat", "/a") == str(tmp_path)


def test_an_image_is_listed_and_removed_with_what_it_was_made_on(
    docker: Docker, kernel_image: str, tmp_path: Path
) -> None:
    root = write(tmp_path, {"Dockerfile": f"FROM {kernel_image}\nCOPY a /a\n", "a": str(tmp_path)})
    plan = make_plan(docker, root, name="dayfly-test/removed")
    image = build_image(docker, plan, echo=quiet)
    assert image.tag in {one.tag for one in list_images(docker)}
    remove_image(docker, image.tag)
    assert image.tag not in {one.tag for one in list_images(docker)}
    assert docker.inspect("image", plan.base_tag) is None


def test_an_image_is_pushed_to_a_registry(
    docker: Docker, registry: str, kernel_image: str, tmp_path: Path
) -> None:
    root = write(tmp_path, {"Dockerfile": f"FROM {kernel_image}\n"})
    plan = make_plan(docker, root)
    image = build_image(docker, plan, echo=quiet)
    reference = registry_reference(plan, registry)
    assert push_image(docker, image, reference).startswith("sha256:")
    assert docker.inspect("image", reference) is not None


def test_a_build_that_fails_tells_what_the_builder_said(
    docker: Docker, kernel_image: str, tmp_path: Path
) -> None:
    root = write(tmp_path, {"Dockerfile": f"FROM {kernel_image}\nRUN echo so not; exit 3\n"})
    with pytest.raises(ImageError, match="cannot be built") as told:
        build_image(docker, make_plan(docker, root), echo=quiet)
    assert "so not" in told.value.why


def test_an_image_without_python_is_told(docker: Docker, kernel_image: str, tmp_path: Path) -> None:
    root = write(tmp_path, {"Dockerfile": f"FROM {kernel_image}\nENV PATH=/sbin\n"})
    with pytest.raises(ImageError, match="dayfly's layer cannot be built") as told:
        build_image(docker, make_plan(docker, root), echo=quiet)
    assert "no Python 3.10 or newer" in told.value.why


@pytest.mark.parametrize(
    "patterns",
    [
        "",
        "a\n**/*.log\n",
        "*\n!sub/keep\n!a\n",
        "sub/*\n!sub/k*\n",
        "**/deep\n",
        "[a-b]\n/sub/deep/\n",
        "# a\n  b  \n?\n",
        "**\n!*.log\n",
    ],
)
def test_the_engine_takes_no_file_that_the_key_misses(docker: Docker, tmp_path: Path, patterns: str) -> None:
    names = ("a", "b", "x.log", "sub/keep", "sub/kill", "sub/x.log", "sub/deep/a", "sub/deep/x.log")
    root = write(tmp_path, dict.fromkeys(names, "1"))
    write(root, {".dockerignore": patterns, "Dockerfile": "FROM scratch\nLABEL a=b\nCOPY . /o/\n"})
    plan = make_plan(docker, root)
    tag = f"dayfly-test/ignored:{hashlib.sha256(patterns.encode()).hexdigest()[:16]}"
    if not any((root / name).is_file() for name in plan.files):
        shutil.rmtree(root / "sub")
    docker.run(["build", "--tag", tag, str(root)], timeout_s=BUILD_S)
    container = docker.run(["create", tag, "none"]).strip()
    try:
        archive = tmp_path.parent / f"{tmp_path.name}.tar"
        docker.run(["export", "--output", str(archive), container])
    finally:
        docker.run(["rm", container])
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as files:
        taken = {
            entry.name.removeprefix("o/") for entry in files if entry.isfile() and entry.name.startswith("o/")
        }
    assert taken == {name for name in plan.files if (root / name).is_file()}

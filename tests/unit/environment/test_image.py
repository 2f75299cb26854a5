from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dayfly.environment.builder import Builder, find_builder, normal_platform
from dayfly.environment.image import (
    build_image,
    find_image,
    list_images,
    push_image,
    registry_reference,
    remove_image,
)
from dayfly.environment.plan import ImagePlan, plan_image
from dayfly.errors import EngineError, ImageError
from dayfly.project.settings import ImageSettings
from tests.unit.environment.fakes import FakeDocker


@pytest.fixture
def plan(tmp_path: Path) -> ImagePlan:
    (tmp_path / "Dockerfile").write_text("FROM x\n")
    settings = ImageSettings(name="me/it", build_args={"A": "1"}, target="end", network="host")
    return plan_image(tmp_path, settings, platform="linux/amd64")


def quiet(_: str) -> None:
    """Nobody listens."""


def builds(docker: FakeDocker) -> list[Sequence[str]]:
    return [asked for asked in docker.asked if asked[0] == "build"]


class TestBuilding:
    def test_makes_the_users_image_and_then_dayflys_layer(self, plan: ImagePlan) -> None:
        docker, heard = FakeDocker(), list[str]()
        image = build_image(docker, plan, echo=heard.append)
        assert (image.tag, image.key, image.platform) == (plan.tag, plan.key, "linux/amd64")
        assert image.created == datetime(2026, 11, 23, 10, 0, 0, 123456, UTC)
        first, second = builds(docker)
        assert first[-3:] == ["--file", str(plan.dockerfile_path), str(plan.context)]
        assert {"--build-arg", "A=1", "--target", "end", "--network", "host"} <= set(first)
        assert f"dev.dayfly.key={plan.key}" in second
        assert "end" not in second
        assert heard == ["built", "built"]

    def test_is_found_afterwards(self, plan: ImagePlan) -> None:
        docker = FakeDocker()
        assert find_image(docker, plan) is None
        assert build_image(docker, plan, echo=quiet) == find_image(docker, plan)

    def test_leaves_a_users_image_that_is_there(self, plan: ImagePlan) -> None:
        docker = FakeDocker()
        docker.add(plan.base_tag)
        build_image(docker, plan, echo=quiet)
        assert len(builds(docker)) == 1

    def test_with_no_cache_makes_everything_anew(self, plan: ImagePlan) -> None:
        docker = FakeDocker()
        docker.add(plan.base_tag)
        build_image(docker, plan, no_cache=True, echo=quiet)
        assert ["--no-cache" in asked for asked in builds(docker)] == [True, True]

    def test_that_fails_tells_the_last_lines(self, plan: ImagePlan) -> None:
        docker = FakeDocker(code=1, says=("Step 1", "", "no such thing"))
        with pytest.raises(ImageError, match="The image of Dockerfile cannot be built") as told:
            build_image(docker, plan, echo=quiet)
        assert told.value.why == "Step 1\nno such thing"

    def test_for_another_platform_ends_before_it_begins(self, plan: ImagePlan) -> None:
        docker = FakeDocker()
        with pytest.raises(ImageError, match="cannot build an image for linux/arm64"):
            build_image(docker, replace(plan, platform="linux/arm64"), echo=quiet)
        assert builds(docker) == []

    def test_an_image_of_another_key_under_the_tag_is_another_image(self, plan: ImagePlan) -> None:
        docker = FakeDocker()
        docker.add(plan.tag, **{"dev.dayfly.key": "other"})
        assert find_image(docker, plan) is None


class TestTheOldBuilder:
    def test_gets_no_mounts(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.txt").touch()
        plan = plan_image(tmp_path, ImageSettings(), platform="linux/amd64")
        docker = FakeDocker(environ={"DOCKER_BUILDKIT": "0"})
        build_image(docker, plan, echo=quiet)
        assert [environ["DOCKER_BUILDKIT"] for environ in docker.environs] == ["0", "0"]

    def test_is_not_trusted_with_what_it_does_not_read(self, plan: ImagePlan) -> None:
        Path(f"{plan.dockerfile_path}.dockerignore").touch()
        with pytest.raises(ImageError, match=r"does not read Dockerfile\.dockerignore"):
            build_image(FakeDocker(environ={"DOCKER_BUILDKIT": "0"}), plan, echo=quiet)

    def test_that_lacks_what_the_dockerfile_needs_is_named(self, plan: ImagePlan) -> None:
        says = ("the --mount option requires BuildKit.",)
        with pytest.raises(ImageError) as told:
            build_image(FakeDocker(environ={"DOCKER_BUILDKIT": "0"}, code=1, says=says), plan, echo=quiet)
        assert "buildx" in told.value.hint


class TestFindingTheBuilder:
    def test_a_docker_of_old_has_buildkit_itself(self) -> None:
        assert find_builder(FakeDocker()) == Builder(buildkit=True, platform="linux/amd64")

    def test_a_new_one_needs_its_plugin(self) -> None:
        version = '{"Client": {"Version": "28.2.2"}, "Server": {"Os": "linux", "Arch": "arm64"}}'
        without = FakeDocker(answers={"version": (0, version, "")})
        assert find_builder(without) == Builder(buildkit=False, platform="linux/arm64")
        answers = {
            "version": (0, version, ""),
            "buildx version": (0, "", ""),
            "context show": (0, "far\n", ""),
        }
        found = find_builder(FakeDocker(answers=answers))
        assert found == Builder(buildkit=True, platform="linux/arm64", name="far")

    def test_an_engine_that_is_not_there_is_told(self) -> None:
        with pytest.raises(EngineError, match="cannot be reached"):
            find_builder(FakeDocker(answers={"version": (0, '{"Client": {}, "Server": null}', "")}))

    @pytest.mark.parametrize(
        ("text", "normal"),
        [
            ("linux/x86_64", "linux/amd64"),
            ("amd64", "linux/amd64"),
            ("Linux/AArch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
        ],
    )
    def test_a_platform_has_one_spelling(self, text: str, normal: str) -> None:
        assert normal_platform(text) == normal


class TestListingAndRemoving:
    def test_only_dayflys_images_are_listed(self, plan: ImagePlan) -> None:
        docker = FakeDocker()
        docker.add("python:3.12")
        image = build_image(docker, plan, echo=quiet)
        assert list_images(docker) == [image]
        assert image.project == "me/it"

    def test_no_images_are_an_empty_list(self) -> None:
        assert list_images(FakeDocker()) == []

    def test_an_image_goes_alone_when_another_is_made_on_the_same(self, plan: ImagePlan) -> None:
        docker = FakeDocker()
        docker.add(plan.base_tag, **{"dev.dayfly.base": "b"})
        docker.add("me/it:1", **{"dev.dayfly.base": "b", "dev.dayfly.key": "k"})
        docker.add("me/it:2", **{"dev.dayfly.base": "b", "dev.dayfly.key": "l"})
        remove_image(docker, "me/it:1")
        assert plan.base_tag in docker.images

    def test_what_is_not_dayflys_is_not_removed(self) -> None:
        docker = FakeDocker()
        docker.add("python:3.12")
        with pytest.raises(ImageError, match=r"no image python:3\.12 of"):
            remove_image(docker, "python:3.12")
        assert "python:3.12" in docker.images

    def test_one_that_a_container_uses_is_told(self, plan: ImagePlan) -> None:
        docker = FakeDocker(answers={"image rm": (1, "", "conflict: container 1 is using it")})
        docker.add(plan.tag, **{"dev.dayfly.key": "k"})
        with pytest.raises(ImageError, match=r"cannot be removed") as told:
            remove_image(docker, plan.tag)
        assert "container 1" in told.value.why


class TestPushing:
    def test_tags_pushes_and_tells_the_digest(self, plan: ImagePlan) -> None:
        digest = f"sha256:{'0' * 64}"
        docker = FakeDocker(
            answers={"image tag": (0, "", ""), "push": (0, f"1: digest: {digest} size: 1\n", "")}
        )
        image = build_image(docker, plan, echo=quiet)
        assert push_image(docker, image, f"host:5000/{plan.tag}") == digest
        assert ["image", "tag", plan.tag, f"host:5000/{plan.tag}"] in docker.asked

    def test_a_registry_that_refuses_is_told(self, plan: ImagePlan) -> None:
        docker = FakeDocker(answers={"image tag": (0, "", ""), "push": (1, "", "denied")})
        image = build_image(docker, plan, echo=quiet)
        with pytest.raises(ImageError, match="cannot be pushed to host:5000") as told:
            push_image(docker, image, "host:5000/x:1")
        assert told.value.why == "denied"

    def test_the_registry_comes_before_the_name_once(self, plan: ImagePlan) -> None:
        assert registry_reference(plan, "ghcr.io/me/") == f"ghcr.io/me/{plan.tag}"
        named = replace(plan, name="ghcr.io/me/it")
        assert registry_reference(named, None) == named.tag
        assert registry_reference(named, "ghcr.io/me") == named.tag

    def test_without_any_registry_nothing_is_pushed(self, plan: ImagePlan) -> None:
        with pytest.raises(ImageError, match="not known where"):
            registry_reference(plan, None)

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from dayfly.aws.ecr import find_repository_image, list_repository_images, logged_in, repository_of
from dayfly.aws.publish import find_published, publish_image, repository_tag
from dayfly.environment.image import Image
from dayfly.environment.plan import ImagePlan, plan_image
from dayfly.errors import AwsError, ImageError
from dayfly.project.settings import ImageSettings
from dayfly.runs.store import Store
from tests.unit.aws.ecr_fakes import BASE, HOST, NOW, TOKEN, FakeEcr, aws_with
from tests.unit.aws.test_image_records import FACTS
from tests.unit.environment.fakes import FakeDocker

DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32


def image_of(plan: ImagePlan) -> Image:
    return Image(
        tag=plan.tag,
        id="sha256:1",
        key=plan.key,
        platform=plan.platform,
        size_bytes=9,
        created=NOW,
        project=plan.name,
    )


@dataclass(frozen=True, kw_only=True)
class Pusher(FakeDocker):
    """A docker whose push ends as it is told to, and looks at its configuration as docker would."""

    seen: list[dict[str, object]] = field(default_factory=list)
    ecr: FakeEcr | None = None
    """Where somebody else's push arrives first."""

    def try_run(
        self, arguments: Sequence[str], *, timeout_s: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        if arguments[0] == "push":
            file = Path(self.environ["DOCKER_CONFIG"], "config.json")
            self.seen.append(json.loads(file.read_text()))
            if self.ecr is not None:
                self.ecr.images[arguments[1].rpartition(":")[2]] = (OTHER, NOW)
        return super().try_run(arguments, timeout_s=timeout_s)


def pusher(code: int = 0, **fields: object) -> Pusher:
    said = f"x: digest: {DIGEST} size: 1\n"
    answers = {
        "push": (code, said if code == 0 else "", "" if code == 0 else "denied"),
        "image tag": (0, "", ""),
    }
    return Pusher(answers=answers, **fields)  # type: ignore[arg-type]


def test_an_image_is_found_by_tag_and_by_digest() -> None:
    aws = aws_with(FakeEcr(images={"t": (DIGEST, NOW)}))
    found = find_repository_image(aws, BASE, tag="t")
    assert found is not None
    assert (found.digest, found.tags, found.size_bytes) == (DIGEST, ("t",), 7)
    assert find_repository_image(aws, BASE, digest=DIGEST) == found
    assert find_repository_image(aws, BASE, tag="x") is None


def test_other_refusals_are_not_taken_for_a_missing_image() -> None:
    class Refuses(FakeEcr):
        def describe_images(self, **_: object) -> dict[str, object]:  # type: ignore[override]
            raise AwsError("no", code="AccessDeniedException")

    with pytest.raises(AwsError):
        find_repository_image(aws_with(Refuses()), BASE, tag="t")


def test_images_are_listed_newest_first() -> None:
    images = {"old": (DIGEST, NOW), "new": (OTHER, NOW + timedelta(hours=1))}
    listed = list_repository_images(aws_with(FakeEcr(images=images)), BASE)
    assert [one.tags[0] for one in listed] == ["new", "old"]


def test_host_and_name_of_the_repository() -> None:
    assert repository_of(BASE) == (HOST, "dayfly/it")


class TestLoggingIn:
    def test_the_token_is_in_a_private_file_that_does_not_stay(self, tmp_path: Path) -> None:
        docker = FakeDocker(environ={"HOME": str(tmp_path)})
        with logged_in(aws_with(FakeEcr()), BASE, docker) as allowed:
            folder = Path(allowed.environ["DOCKER_CONFIG"])
            file = folder / "config.json"
            assert json.loads(file.read_text()) == {"auths": {HOST: {"auth": TOKEN}}}
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert TOKEN not in repr(allowed)
        assert not folder.exists()
        assert docker.asked == []

    def test_it_leads_to_the_engine_that_the_user_has_chosen(self, tmp_path: Path) -> None:
        """Docker's contexts lie in the configuration that is replaced; other logins there are not taken."""
        own = tmp_path / "own"
        (own / "contexts" / "meta").mkdir(parents=True)
        (own / "config.json").write_text(
            json.dumps(
                {"currentContext": "far", "auths": {"ghcr.io": {"auth": "x"}}, "credsStore": "desktop"}
            )
        )
        docker = FakeDocker(environ={"DOCKER_CONFIG": str(own)})
        with logged_in(aws_with(FakeEcr()), BASE, docker) as allowed:
            folder = Path(allowed.environ["DOCKER_CONFIG"])
            written = json.loads((folder / "config.json").read_text())
            assert written == {"auths": {HOST: {"auth": TOKEN}}, "currentContext": "far"}
            assert (folder / "contexts" / "meta").is_dir()
        assert (own / "contexts" / "meta").is_dir()

    def test_a_damaged_configuration_of_the_users_does_not_matter(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("[")
        docker = FakeDocker(environ={"DOCKER_CONFIG": str(tmp_path)})
        with logged_in(aws_with(FakeEcr()), BASE, docker) as allowed:
            assert Path(allowed.environ["DOCKER_CONFIG"], "config.json").exists()


class TestPublishing:
    def test_a_new_image_is_pushed_and_its_record_kept(self, plan: ImagePlan, store: Store) -> None:
        ecr, docker = FakeEcr(), pusher()
        done = publish_image(
            aws_with(ecr),
            BASE,
            store,
            docker=docker,
            plan=plan,
            image=image_of(plan),
            facts=lambda: FACTS,
        )
        assert done.pushed
        assert done.reference == f"{HOST}/dayfly/it@{DIGEST}"
        assert ["push", f"{HOST}/dayfly/it:{plan.key[:16]}"] in docker.asked
        assert docker.seen == [{"auths": {HOST: {"auth": TOKEN}}}]
        assert TOKEN not in str(docker.asked)
        ecr.images[repository_tag(plan)] = (DIGEST, NOW)
        found = find_published(aws_with(ecr), BASE, store, plan.key)
        assert found == done.record
        assert found is not None
        assert found.facts() == FACTS

    def test_an_image_that_is_there_is_not_pushed_again(self, plan: ImagePlan, store: Store) -> None:
        """Its tag could not be moved anyway."""
        ecr, docker = FakeEcr(images={plan.key[:16]: (OTHER, NOW)}), pusher(code=1)
        done = publish_image(
            aws_with(ecr),
            BASE,
            store,
            docker=docker,
            plan=plan,
            image=image_of(plan),
            facts=lambda: FACTS,
        )
        assert (done.pushed, done.record.digest) == (False, OTHER)
        assert docker.seen == []
        assert "token" not in ecr.asked
        assert find_published(aws_with(ecr), BASE, store, plan.key) == done.record

    def test_whoever_pushes_at_the_same_moment_may_win(self, plan: ImagePlan, store: Store) -> None:
        ecr = FakeEcr()
        done = publish_image(
            aws_with(ecr),
            BASE,
            store,
            docker=pusher(code=1, ecr=ecr),
            plan=plan,
            image=image_of(plan),
            facts=lambda: FACTS,
        )
        assert (done.pushed, done.record.digest) == (False, OTHER)

    def test_a_push_that_fails_is_told_and_leaves_no_record(self, plan: ImagePlan, store: Store) -> None:
        aws = aws_with(FakeEcr())
        with pytest.raises(ImageError, match="cannot be pushed") as caught:
            publish_image(
                aws,
                BASE,
                store,
                docker=pusher(code=1),
                plan=plan,
                image=image_of(plan),
                facts=lambda: FACTS,
            )
        assert "docker login" not in caught.value.hint
        assert find_published(aws, BASE, store, plan.key) is None

    def test_a_record_of_an_image_that_the_repository_has_lost_counts_for_nothing(
        self, plan: ImagePlan, store: Store
    ) -> None:
        """The life-cycle rules of the repository remove old images; their records stay."""
        aws = aws_with(FakeEcr())
        publish_image(
            aws,
            BASE,
            store,
            docker=pusher(),
            plan=plan,
            image=image_of(plan),
            facts=lambda: FACTS,
        )
        assert find_published(aws, BASE, store, plan.key) is None

    def test_images_of_two_architectures_have_two_tags(self, tmp_path: Path, plan: ImagePlan) -> None:
        other = plan_image(tmp_path, ImageSettings(name="dayfly/it"), platform="linux/arm64")
        assert repository_tag(plan) != repository_tag(other)
        assert repository_tag(replace(plan, name="localhost:5000/a/b")) == plan.key[:16]

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from dayfly.aws.ami import Ami
from dayfly.aws.build_context import BuildContext
from dayfly.aws.builds import BuildPlan, build_settings, find_build, finish_build, plan_build
from dayfly.aws.fit import Wanted
from dayfly.aws.hardware import Hardware
from dayfly.aws.image_records import ImageRecord, put_image_record
from dayfly.aws.instance_types import InstanceType
from dayfly.aws.offers import Choice, Offer
from dayfly.aws.prices import Price
from dayfly.aws.tasks import TaskResult
from dayfly.environment.plan import ImagePlan
from dayfly.errors import ImageError, UsageError
from dayfly.project.settings import Settings
from dayfly.runs.ids import is_run_id
from dayfly.runs.store import Store
from tests.unit.aws.ecr_fakes import BASE, NOW, FakeEcr, aws_with
from tests.unit.aws.test_image_records import BY_THE_IMAGE, DIGEST

CONTEXT = BuildContext(sha256="ab" * 32, size_bytes=10, files=1, files_bytes=5)
TYPE = InstanceType(
    name="m7i.large",
    vcpus=2,
    memory_bytes=8 << 30,
    archs=("x86_64",),
)
HARDWARE = Hardware(
    wanted=Wanted(),
    choice=Choice(offer=Offer(type=TYPE, price=None)),
    arch="x86_64",
    ami=Ami(id="ami-12345678", root_device="/dev/xvda"),
    spot=False,
    disk_gib=30,
    subnet_ids=("subnet-2", "subnet-1"),
    price=Price(per_hour=Decimal("0.1"), at=NOW),
)


def planned(plan: ImagePlan) -> BuildPlan:
    return plan_build(
        aws_with(FakeEcr()),
        BASE,
        plan,
        CONTEXT,
        HARDWARE,
        owner="ada",
        boot_budget_s=900,
        timeout_s=1800,
    )


def test_a_build_is_a_machine_that_may_push_and_ends_at_its_deadline(plan: ImagePlan) -> None:
    build = planned(plan)
    assert is_run_id(build.request.build_id)
    assert build.machine.task == "build"
    assert build.machine.prefix == f"builds/{build.request.build_id}"
    assert build.machine.deadline == NOW + timedelta(seconds=900 + 1800 + 300)
    parameters = build.machine.parameters(1)
    assert parameters["InstanceProfile"] == BASE.build_profile
    assert parameters["ContextSha256"] == CONTEXT.sha256
    assert parameters["SubnetId"] == "subnet-2"
    assert parameters["SshCidr"] == ""
    assert (build.request.key, build.request.tag) == (plan.key, plan.key[:16])


def test_what_notebooks_need_is_not_asked_of_a_machine_that_builds() -> None:
    settings = Settings(gpus="all", memory=10**12, cpus=96, spot=True, instance="p5.48xlarge")
    chosen = build_settings(settings, instance=None)
    assert (chosen.gpus, chosen.memory, chosen.cpus, chosen.spot, chosen.instance) == (
        None,
        None,
        None,
        False,
        None,
    )
    assert build_settings(settings, instance="m7i.large").instance == "m7i.large"


class TestTheEnd:
    def begun(self, store: Store, plan: ImagePlan) -> str:
        build = planned(plan)
        store.put(f"{build.machine.prefix}/request.json", build.request.to_bytes())
        return build.request.build_id

    def ended(self, store: Store, build_id: str, **fields: str) -> None:
        store.put(f"builds/{build_id}/result.json", TaskResult(**fields).to_bytes())

    def test_a_build_that_succeeded_has_left_the_images_record(self, store: Store, plan: ImagePlan) -> None:
        build_id = self.begun(store, plan)
        self.ended(store, build_id, state="succeeded", digest=DIGEST)
        record = ImageRecord.model_validate({**BY_THE_IMAGE, "key": plan.key})
        put_image_record(store, record)
        assert finish_build(*find_build(store, build_id)) == record

    def test_a_build_that_failed_says_why(self, store: Store, plan: ImagePlan) -> None:
        build_id = self.begun(store, plan)
        self.ended(store, build_id, state="failed", message="pip found no such package")
        with pytest.raises(ImageError, match="was not built") as caught:
            finish_build(*find_build(store, build_id))
        assert "no such package" in caught.value.why

    def test_a_build_that_says_it_succeeded_and_left_no_record_is_no_success(
        self, store: Store, plan: ImagePlan
    ) -> None:
        build_id = self.begun(store, plan)
        self.ended(store, build_id, state="succeeded", digest=DIGEST)
        with pytest.raises(ImageError, match="not in its image repository"):
            finish_build(*find_build(store, build_id))

    def test_a_build_that_nobody_has_begun_is_told(self, store: Store) -> None:
        for name in ("20261123-101502-build-7f3a", "../runs/x"):
            with pytest.raises(UsageError, match="There is no build"):
                find_build(store, name)

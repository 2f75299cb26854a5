from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dayfly.aws.quotas import TOO_LOW, check_quota, count_running_vcpus, load_quota, quota_for
from dayfly.errors import AwsError
from tests.unit.aws.instance_types import real_types
from tests.unit.aws.stubbed import StubbedAws, cache_in, stubbed_aws

ACCOUNT = "123456789012"
LARGE = real_types()["m7i.2xlarge"]


@pytest.mark.parametrize(
    ("name", "on_demand", "spot"),
    [
        ("m7i.2xlarge", "L-1216C47A", "L-34B43A08"),
        ("im4gn.large", "L-1216C47A", "L-34B43A08"),
        ("g5.xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("gr6.4xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("p4d.24xlarge", "L-417A185B", "L-7212CCBC"),
        ("p5.48xlarge", "L-417A185B", "L-C4BD4855"),
        ("p6-b200.48xlarge", "L-417A185B", "L-C4BD4855"),
        ("x2gd.large", "L-7295265B", "L-E3A00192"),
        ("trn1.2xlarge", "L-2C3B7624", "L-6B0D517C"),
        ("u7i-12tb.224xlarge", "L-43DA4232", None),
        ("hpc7a.96xlarge", "L-F7808C92", None),
        ("mac2.metal", None, None),
        ("nonsense", None, None),
    ],
)
def test_each_family_has_the_quota_of_the_documentation(
    name: str, on_demand: str | None, spot: str | None
) -> None:
    found = [quota_for(name, spot=False), quota_for(name, spot=True)]
    assert [quota.code if quota else None for quota in found] == [on_demand, spot]


def test_every_family_that_ec2_has_is_counted_by_some_quota_but_macs() -> None:
    uncounted = {one.family for one in real_types().values() if quota_for(one.name, spot=False) is None}
    assert all(family.startswith("mac") for family in uncounted)


def _answer(stubbed: StubbedAws, value: float, code: str = "L-1216C47A") -> None:
    stubbed.answer(
        "quotas",
        "get_service_quota",
        {"Quota": {"QuotaCode": code, "Value": value}},
        {"ServiceCode": "ec2", "QuotaCode": code},
    )


def test_a_quota_that_allows_the_machine_is_asked_for_once_a_day(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        cache = cache_in(tmp_path, stubbed.clock)
        _answer(stubbed, 8.0)
        for _ in range(3):
            check_quota(stubbed.aws, cache, LARGE, spot=False, account=ACCOUNT)
        stubbed.clock.pass_by(timedelta(days=1, seconds=1))
        _answer(stubbed, 16.0)
        check_quota(stubbed.aws, cache, LARGE, spot=False, account=ACCOUNT)


@pytest.mark.fault(31)
def test_a_quota_that_is_too_low_is_told_with_the_link_to_ask_for_more(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        _answer(stubbed, 5.0)
        with pytest.raises(AwsError) as error:
            check_quota(stubbed.aws, cache_in(tmp_path, stubbed.clock), LARGE, spot=False, account=ACCOUNT)
    assert error.value.code == TOO_LOW
    assert str(error.value) == (
        "This account may run 5 vCPUs of the kind of m7i.2xlarge in eu-central-1; one machine needs 8.\n"
        "The quota is called: Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances.\n"
        "Ask AWS for 8 or more, in the console's region eu-central-1:\n"
        "https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-1216C47A"
    )


def test_a_quota_that_was_too_low_may_have_been_raised_since(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        cache = cache_in(tmp_path, stubbed.clock)
        _answer(stubbed, 0.0)
        with pytest.raises(AwsError):
            check_quota(stubbed.aws, cache, LARGE, spot=False, account=ACCOUNT)
        _answer(stubbed, 32.0)
        check_quota(stubbed.aws, cache, LARGE, spot=False, account=ACCOUNT)


def test_a_quota_that_cannot_be_read_stops_nobody(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        stubbed.refuse("quotas", "get_service_quota", "AccessDeniedException")
        cache = cache_in(tmp_path, stubbed.clock)
        check_quota(stubbed.aws, cache, LARGE, spot=True, account=ACCOUNT)


def test_a_type_that_no_quota_counts_takes_no_call(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        cache = cache_in(tmp_path, stubbed.clock)
        check_quota(stubbed.aws, cache, real_types()["mac2.metal"], spot=False, account=ACCOUNT)


def test_another_account_has_other_quotas_and_no_account_is_written_down(tmp_path: Path) -> None:
    quota = quota_for("m7i.large", spot=False)
    assert quota is not None
    with stubbed_aws() as stubbed:
        cache = cache_in(tmp_path, stubbed.clock)
        _answer(stubbed, 8.0)
        _answer(stubbed, 64.0)
        assert load_quota(stubbed.aws, cache, quota, account=ACCOUNT) == 8
        assert load_quota(stubbed.aws, cache, quota, account="210987654321") == 64
        assert load_quota(stubbed.aws, cache, quota, account=ACCOUNT) == 8
    files = list(tmp_path.iterdir())
    assert len(files) == 2
    assert not any(ACCOUNT in file.name + file.read_text() for file in files)


def test_doctor_is_told_what_cannot_be_read(tmp_path: Path) -> None:
    quota = quota_for("m7i.large", spot=False)
    assert quota is not None
    with stubbed_aws() as stubbed:
        cache = cache_in(tmp_path, stubbed.clock)
        stubbed.refuse("quotas", "get_service_quota", "AccessDeniedException")
        stubbed.answer("quotas", "get_service_quota", {"Quota": {}})
        with pytest.raises(AwsError, match="servicequotas:GetServiceQuota"):
            load_quota(stubbed.aws, cache, quota, account=ACCOUNT)
        with pytest.raises(AwsError, match="does not say"):
            load_quota(stubbed.aws, cache, quota, account=ACCOUNT)


def _instance(name: str, cores: int, threads: int = 2, **more: str) -> dict[str, Any]:
    return {"InstanceType": name, "CpuOptions": {"CoreCount": cores, "ThreadsPerCore": threads}, **more}


def test_counts_what_runs_of_the_same_families_and_kind() -> None:
    quota = quota_for("m7i.large", spot=False)
    assert quota is not None
    instances = [
        _instance("m7i.2xlarge", 4),
        _instance("c7g.large", 2, 1),
        _instance("c7g.large", 2, 1, InstanceLifecycle="spot"),
        _instance("g5.xlarge", 2),
    ]
    with stubbed_aws() as stubbed:
        stubbed.answer(
            "ec2",
            "describe_instances",
            {"Reservations": [{"Instances": instances[:1]}, {"Instances": instances[1:]}]},
            {"Filters": [{"Name": "instance-state-name", "Values": ["pending", "running"]}]},
        )
        assert count_running_vcpus(stubbed.aws, quota) == 10

from __future__ import annotations

from pathlib import Path

import pytest

from dayfly.aws.ami import Ami, find_ami, parameter_for
from dayfly.errors import AwsError
from tests.unit.aws.stubbed import StubbedAws, cache_in, stubbed_aws

ID = "ami-0123456789abcdef0"
PLAIN = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"


def _parameter(stubbed: StubbedAws, name: str, value: str = ID) -> None:
    stubbed.answer("ssm", "get_parameter", {"Parameter": {"Name": name, "Value": value}}, {"Name": name})


def _image(stubbed: StubbedAws, *, arch: str = "x86_64", root: str = "/dev/xvda", size: int = 8) -> None:
    image = {
        "ImageId": ID,
        "Architecture": arch,
        "RootDeviceName": root,
        "BlockDeviceMappings": [
            {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
            {"DeviceName": root, "Ebs": {"VolumeSize": size}},
        ],
    }
    stubbed.answer("ec2", "describe_images", {"Images": [image]}, {"ImageIds": [ID]})


@pytest.mark.parametrize(
    ("gpus", "parameter"),
    [
        (False, "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"),
        (
            True,
            "/aws/service/deeplearning/ami/arm64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id",
        ),
    ],
)
def test_aws_own_parameters_name_the_newest_image(gpus: bool, parameter: str, tmp_path: Path) -> None:
    assert parameter_for(arch="arm64", gpus=gpus) == parameter
    with stubbed_aws() as stubbed:
        _parameter(stubbed, parameter)
        _image(stubbed, arch="arm64", size=75)
        ami = find_ami(stubbed.aws, cache_in(tmp_path, stubbed.clock), arch="arm64", gpus=gpus)
    assert ami == Ami(id=ID, arch="arm64", root_device="/dev/xvda", smallest_disk_gib=75)


def test_an_image_is_described_once_and_its_parameter_read_each_time(tmp_path: Path) -> None:
    """What an image holds never changes; which is the newest does."""
    with stubbed_aws() as stubbed:
        cache = cache_in(tmp_path, stubbed.clock)
        _image(stubbed)
        for _ in range(2):
            _parameter(stubbed, PLAIN)
            assert find_ami(stubbed.aws, cache, arch="x86_64").smallest_disk_gib == 8


def test_a_project_may_name_an_image(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        _image(stubbed, root="/dev/sda1")
        ami = find_ami(stubbed.aws, cache_in(tmp_path, stubbed.clock), arch="x86_64", gpus=True, setting=ID)
    assert (ami.id, ami.root_device) == (ID, "/dev/sda1")


@pytest.mark.parametrize("prefix", ["", "resolve:ssm:"])
def test_a_project_may_name_a_parameter(prefix: str, tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        _parameter(stubbed, "/our/golden-image")
        _image(stubbed)
        cache = cache_in(tmp_path, stubbed.clock)
        ami = find_ami(stubbed.aws, cache, arch="x86_64", setting=f"{prefix}/our/golden-image")
    assert ami.id == ID


def test_an_image_for_other_processors_is_told(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        _image(stubbed, arch="arm64")
        with pytest.raises(AwsError) as error:
            find_ami(stubbed.aws, cache_in(tmp_path, stubbed.clock), arch="x86_64", setting=ID)
    assert error.value.what == f"The machine image {ID} is for arm64, and the machine has x86_64 processors."
    assert error.value.why == f"It is what [aws] ami names: {ID}."


@pytest.mark.parametrize("code", ["ParameterNotFound", "ValidationException"])
def test_a_parameter_that_is_not_there_is_told(code: str, tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        stubbed.refuse("ssm", "get_parameter", code)
        with pytest.raises(AwsError) as error:
            find_ami(stubbed.aws, cache_in(tmp_path, stubbed.clock), arch="x86_64", setting="/ours")
    assert error.value.what == "eu-central-1 has no machine image under the SSM parameter /ours."
    assert "[aws] ami" in error.value.hint


def test_a_parameter_that_holds_something_else_is_told(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        _parameter(stubbed, "/ours", "hello")
        with pytest.raises(AwsError, match="names no machine image"):
            find_ami(stubbed.aws, cache_in(tmp_path, stubbed.clock), arch="x86_64", setting="/ours")


@pytest.mark.parametrize("code", ["InvalidAMIID.NotFound", "InvalidAMIID.Malformed"])
def test_an_image_that_is_not_there_is_told(code: str, tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        stubbed.refuse("ec2", "describe_images", code)
        with pytest.raises(AwsError, match=f"has no machine image {ID}, or it is not shared"):
            find_ami(stubbed.aws, cache_in(tmp_path, stubbed.clock), arch="x86_64", setting=ID)


@pytest.mark.parametrize(("service", "method"), [("ssm", "get_parameter"), ("ec2", "describe_images")])
def test_a_missing_permission_is_told_as_one(service: str, method: str, tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        if service == "ec2":
            _parameter(stubbed, PLAIN)
        stubbed.refuse(service, method, "AccessDeniedException")
        with pytest.raises(AwsError, match="AWS does not allow"):
            find_ami(stubbed.aws, cache_in(tmp_path, stubbed.clock), arch="x86_64")


def test_an_image_that_is_named_and_not_described_is_taken_by_its_id(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        _parameter(stubbed, PLAIN)
        stubbed.answer("ec2", "describe_images", {"Images": []})
        assert find_ami(stubbed.aws, cache_in(tmp_path, stubbed.clock), arch="x86_64") == Ami(id=ID)

"""The two templates: what AWS would refuse, what a reviewer would ask, and what the code counts on."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import dayfly
from dayfly.aws.base import _OPTIONAL, _OUTPUTS, TEMPLATE_VERSION
from dayfly.aws.names import Role, base_stack_name, repository_name, role_name
from dayfly.aws.template import Scope, _Loader, load_template
from scripts.policy_documents import PARAMETERS, PROJECT, REGION, resolve

BASE, MACHINE = load_template("base").document, load_template("machine").document
TEMPLATES = {"base": BASE, "machine": MACHINE}
FOLDER = Path(dayfly.__file__).parent / "aws"
TAKES_NO_TAGS = {
    "AWS::EC2::EIPAssociation",
    "AWS::EC2::Route",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::ManagedPolicy",
    "AWS::Logs::ResourcePolicy",
    "AWS::S3::BucketPolicy",
}
HOLDS_DATA = {"Bucket", "BucketPolicy", "Repository", "Mirror"}


def properties(template: str, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = TEMPLATES[template]["Resources"][name]["Properties"]
    return found


def made(**parameters: str) -> dict[str, Any]:
    """The resources of base.yaml that these parameters make, with values in place."""
    scope = Scope(template=load_template("base"), values={**PARAMETERS, **parameters})
    return {name: resolve(scope, one.get("Properties", {})) for name, one in scope.resources()}


def texts(value: Any) -> Iterator[str]:
    """Every string in a part of a template."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield str(key)
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    else:
        yield str(value)


def test_cfn_lint_finds_nothing_and_is_told_to_ignore_nothing() -> None:
    files = [str(FOLDER / "templates" / f"{name}.yaml") for name in TEMPLATES]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("cfn-lint")), *files], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "cfn-lint" not in {key for template in TEMPLATES.values() for key in template.get("Metadata", {})}
    resources = [one for template in TEMPLATES.values() for one in template["Resources"].values()]
    assert not any("cfn-lint" in one.get("Metadata", {}) for one in resources)


def test_every_exception_from_checkov_has_its_reason() -> None:
    """`make check` runs checkov; these are all that it is told to skip."""
    skipped = {
        one["id"]: one["comment"]
        for template in TEMPLATES.values()
        for resource in template["Resources"].values()
        for one in resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
    }
    assert set(skipped) == {"CKV_AWS_18", "CKV_AWS_136", "CKV_AWS_158"}
    assert all(len(comment) > 30 for comment in skipped.values())


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_fits_a_call_as_it_is(name: str) -> None:
    sent = load_template(name).body if name == "base" else load_template(name).text
    assert len(sent.encode()) <= 51_200
    assert resolvable(sent) == resolvable(load_template(name).text)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_parameter_has_its_bounds_and_its_description(name: str) -> None:
    for parameter, one in TEMPLATES[name]["Parameters"].items():
        assert one["Description"].endswith("."), parameter
        bounded = {"AllowedPattern", "AllowedValues", "MinValue"} & set(one)
        assert bounded or parameter == "NotebookPolicyArns", parameter
        if "AllowedPattern" in one:
            assert one["AllowedPattern"].startswith("^"), parameter
            assert one["AllowedPattern"].endswith("$"), parameter


def resolvable(text: str) -> Any:
    """What a template says, whatever its comments."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 -- a SafeLoader


def launch_template(template: str, name: str) -> dict[str, Any]:
    return dict(properties(template, name)["LaunchTemplateData"])


@pytest.mark.parametrize(("name", "hops"), [("LaunchTemplate", 1), ("AccessLaunchTemplate", 2)])
def test_every_instance_begins_with_imdsv2_and_ends_with_power_off(name: str, hops: int) -> None:
    """SECURITY 1, 2. A container is one hop further away than its machine."""
    assert launch_template("base", name) == {
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": hops,
            "InstanceMetadataTags": "disabled",
        },
        "InstanceInitiatedShutdownBehavior": "terminate",
    }
    assert "MetadataOptions" not in properties("machine", "Instance")


def test_spot_machines_begin_like_all_others() -> None:
    spot = launch_template("machine", "SpotLaunchTemplate")
    market = spot.pop("InstanceMarketOptions")
    assert market["SpotOptions"] == {
        "SpotInstanceType": "one-time",
        "InstanceInterruptionBehavior": "terminate",
    }
    hops = spot["MetadataOptions"].pop("HttpPutResponseHopLimit")
    assert hops == {"Fn::If": ["HasAccess", 2, 1]}
    for name in ("LaunchTemplate", "AccessLaunchTemplate"):
        usual = launch_template("base", name)
        usual["MetadataOptions"] = {**usual["MetadataOptions"]}
        del usual["MetadataOptions"]["HttpPutResponseHopLimit"]
        assert spot == usual


def test_no_notebook_reaches_the_metadata_service_of_batchs_machines() -> None:
    """SECURITY 2. Batch's containers have the machine's network, so a hop limit holds none of them back."""
    data = launch_template("base", "BatchLaunchTemplate")
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    script = data["UserData"]["Fn::Base64"]
    rule = "--destination 169.254.169.254 --match owner ! --uid-owner 0 --jump REJECT"
    assert f"iptables --wait --insert OUTPUT {rule}\n" in script
    # As soon as the agent has its settings, it may take containers.
    assert script.index(rule) < script.index("ecs.config")


def test_nothing_comes_in_but_ssh_from_one_address_where_asked_for() -> None:
    """SECURITY 3."""
    group = properties("machine", "SecurityGroup")
    assert group["SecurityGroupIngress"]["Fn::If"] == [
        "HasSsh",
        [
            {
                "Description": "SSH from the address of who asked for it",
                "IpProtocol": "tcp",
                "FromPort": 22,
                "ToPort": 22,
                "CidrIp": {"Ref": "SshCidr"},
            }
        ],
        {"Ref": "AWS::NoValue"},
    ]
    assert MACHINE["Parameters"]["SshCidr"]["Default"] == ""
    types = [one["Type"] for template in TEMPLATES.values() for one in template["Resources"].values()]
    assert types.count("AWS::EC2::SecurityGroup") == 2
    assert "SecurityGroupIngress" not in properties("base", "BatchSecurityGroup")
    assert "AWS::EC2::SecurityGroupIngress" not in types


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "203.0.113.0/24", "::/0", "203.0.113.7", "203.0.113.7/320"])
def test_ssh_is_opened_to_no_range(cidr: str) -> None:
    """SECURITY 3."""
    assert not re.fullmatch(MACHINE["Parameters"]["SshCidr"]["AllowedPattern"], cidr)
    assert re.fullmatch(MACHINE["Parameters"]["SshCidr"]["AllowedPattern"], "203.0.113.7/32")


def test_the_disk_is_encrypted_and_goes_with_its_instance() -> None:
    """SECURITY 4."""
    [disk] = properties("machine", "Instance")["BlockDeviceMappings"]
    assert disk["Ebs"]["Encrypted"] is True
    assert disk["Ebs"]["DeleteOnTermination"] is True


def test_the_bucket_is_private_encrypted_versioned_and_by_tls_only() -> None:
    """SECURITY 5."""
    bucket = properties("base", "Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    [tls] = properties("base", "BucketPolicy")["PolicyDocument"]["Statement"]
    assert (tls["Effect"], tls["Principal"], tls["Action"]) == ("Deny", "*", "s3:*")
    assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert len(tls["Resource"]) == 2


def test_what_is_old_leaves_the_bucket() -> None:
    rules = {
        one["Id"]: one for one in made(RunRetentionDays="90")["Bucket"]["LifecycleConfiguration"]["Rules"]
    }
    expiring = {one["Prefix"]: one["ExpirationInDays"] for one in rules.values() if "Prefix" in one}
    assert expiring == {
        **dict.fromkeys(
            ("runs/", "status/", "sweeps/", "sweep-bases/", "sweep-claims/", "builds/", "labs/"), "90"
        ),
        "tokens/": 30,
    }
    assert rules["replaced-versions"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert rules["broken-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


def test_image_tags_are_immutable_and_images_are_scanned() -> None:
    """SECURITY 6."""
    repository = properties("base", "Repository")
    assert repository["ImageTagMutability"] == "IMMUTABLE"
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert "@sha256" in MACHINE["Parameters"]["Image"]["AllowedPattern"]


def test_what_holds_data_is_kept_when_the_base_stack_goes_and_can_be_used_again() -> None:
    kept = {name for name, one in BASE["Resources"].items() if one.get("DeletionPolicy") == "Retain"}
    assert kept == HOLDS_DATA
    assert all(BASE["Resources"][name]["UpdateReplacePolicy"] == "Retain" for name in kept)
    assert not any(one.get("EmptyOnDelete") for one in made().values())
    again = made(CreateBucket="false", CreateRepository="false", CreateMirror="false", KeepMirror="true")
    assert not HOLDS_DATA & set(again)


def test_nothing_in_a_machines_stack_holds_data_or_outlives_it() -> None:
    assert {one["Type"] for one in MACHINE["Resources"].values()} == {
        "AWS::EC2::EIPAssociation",
        "AWS::EC2::Instance",
        "AWS::EC2::LaunchTemplate",
        "AWS::EC2::SecurityGroup",
    }
    for one in MACHINE["Resources"].values():
        assert not {"DeletionPolicy", "UpdateReplacePolicy", "CreationPolicy"} & set(one)
    assert "DisableApiTermination" not in set(texts(MACHINE))


def test_the_instance_goes_before_what_it_stands_on() -> None:
    """CloudFormation deletes what refers before what is referred to: a group in use cannot be deleted."""
    refers = {
        name: set(texts(one)) & (set(MACHINE["Resources"]) - {name})
        for name, one in MACHINE["Resources"].items()
    }
    assert refers == {
        "SecurityGroup": set(),
        "SpotLaunchTemplate": set(),
        "Instance": {"SecurityGroup", "SpotLaunchTemplate"},
        "AddressAssociation": {"Instance"},
    }


def test_a_machines_stack_needs_no_capability_and_the_base_stack_says_which() -> None:
    """Machines are made without CAPABILITY_IAM: CloudFormation itself then refuses a template with roles."""
    assert not any(one["Type"].startswith("AWS::IAM::") for one in MACHINE["Resources"].values())
    named = [one for one in BASE["Resources"].values() if one["Type"].startswith("AWS::IAM::")]
    assert all(
        {"RoleName", "InstanceProfileName", "ManagedPolicyName"} & set(one["Properties"]) for one in named
    )


def test_a_boundary_is_put_on_every_role() -> None:
    """SECURITY 10."""
    boundary = "arn:aws:iam::123456789012:policy/bound"
    roles = {name: one for name, one in made(PermissionsBoundary=boundary).items() if "RoleName" in one}
    assert len(roles) == 8
    assert {one["PermissionsBoundary"] for one in roles.values()} == {boundary}
    assert all(
        one["Properties"]["PermissionsBoundary"]["Fn::If"][2] == {"Ref": "AWS::NoValue"}
        for one in BASE["Resources"].values()
        if one["Type"] == "AWS::IAM::Role"
    )


def test_no_user_no_key_and_no_secret_is_made_by_a_template() -> None:
    """SECURITY 11, 12."""
    types = {one["Type"] for template in TEMPLATES.values() for one in template["Resources"].values()}
    assert not types & {"AWS::IAM::User", "AWS::IAM::AccessKey", "AWS::SecretsManager::Secret"}
    assert set(MACHINE["Outputs"]) == {"InstanceId"}
    words = re.compile("secret|password|token(?!s)|credential", re.IGNORECASE)
    assert not [name for name in (*BASE["Parameters"], *MACHINE["Parameters"]) if words.search(name)]


@pytest.mark.parametrize("template", TEMPLATES)
def test_whatever_takes_tags_bears_the_projects(template: str) -> None:
    for name, one in TEMPLATES[template]["Resources"].items():
        if one["Type"] in TAKES_NO_TAGS:
            continue
        found = one["Properties"].get("Tags") or one["Properties"]["TagSpecifications"][0]["Tags"]
        if one["Type"].startswith("AWS::Batch::"):
            assert found["dayfly:project"] == {"Ref": "Project"}, name
            continue
        assert {"Key": "dayfly:project", "Value": {"Ref": "Project"}} in found, name


def test_cost_tags_reach_instance_and_volume() -> None:
    instance = properties("machine", "Instance")
    keys = {one["Key"] for one in instance["Tags"]}
    assert keys == {
        *("Name", "dayfly:project", "dayfly:run", "dayfly:owner", "dayfly:deadline", "dayfly:task"),
    }
    assert instance["PropagateTagsToVolumeOnCreation"] is True


def test_the_base_stack_puts_out_what_is_read_of_it() -> None:
    outputs = BASE["Outputs"]
    assert {*_OUTPUTS.values(), "Version", "SubnetIds", *_OPTIONAL.values()} == set(outputs)
    assert {name for name, one in outputs.items() if "Condition" in one} == set(_OPTIONAL.values())
    assert outputs["Version"]["Value"] == str(TEMPLATE_VERSION)


def test_names_are_those_of_the_code() -> None:
    found = made(CreateMirror="true", KeepMirror="false")
    roles: dict[str, Role] = {
        "RunRole": "run",
        "AccessRole": "access",
        "BuildRole": "build",
        "LabRole": "lab",
        "CloudFormationRole": "cloudformation",
        "SchedulerRole": "scheduler",
        "BatchJobRole": "batch-job",
        "BatchInstanceRole": "batch-instance",
    }
    for logical_id, role in roles.items():
        assert found[logical_id]["RoleName"] == role_name(PROJECT, REGION, role)
    assert found["Repository"]["RepositoryName"] == repository_name(PROJECT)
    assert found["Mirror"]["RepositoryName"] == base_stack_name(PROJECT)
    assert found["ScheduleGroup"]["Name"] == base_stack_name(PROJECT)
    assert found["StackLog"]["LogGroupName"] == f"/dayfly/{PROJECT}"
    profile = re.compile(MACHINE["Parameters"]["InstanceProfile"]["AllowedPattern"])
    assert all(
        profile.fullmatch(role_name(PROJECT, REGION, role)) for role in ("run", "access", "build", "lab")
    )


def test_a_network_is_made_only_where_asked_for() -> None:
    network = {"Vpc", "FirstSubnet", "SecondSubnet", "ThirdSubnet", "Gateway", "S3Endpoint"}
    assert not network & set(made())
    assert network - set(made(Network="create", Zones="2")) == {"ThirdSubnet"}
    assert network <= set(made(Network="create", Zones="3"))
    assert {"Rules", "Conditions"} <= set(BASE)


def test_key_pair_and_address_are_made_only_where_asked_for() -> None:
    """SECURITY 3: sessions need neither."""
    plain = made(ElasticIp="false")
    assert not {"KeyPair", "Address", "Mirror"} & set(plain)
    public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0 jo@laptop"
    assert made(SshPublicKey=public)["KeyPair"]["PublicKeyMaterial"] == public


def test_the_log_hears_of_this_projects_machine_stacks_only() -> None:
    [form] = made()["StackEvents"]["EventPattern"]["detail"]["stack-id"]
    assert form["prefix"].endswith(f":stack/dayfly-{PROJECT}--")
    [target] = made()["StackEvents"]["Targets"]
    assert ":log-group:" in target["Arn"]

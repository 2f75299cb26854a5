"""What CloudFormation's handlers need, by AWS's public schemas, is allowed to who makes and ends stacks.

A schema proves that the actions are allowed on something; whether AWS fills in the keys of a condition as its
documentation says, only AWS can prove.
"""

from __future__ import annotations

import pytest

from dayfly.aws.template import load_template
from tests.unit.aws.iam import document, handlers, mentions

NOT_FOR_MACHINES = {
    "AWS::EC2::Instance": {
        "ec2:AssociateIamInstanceProfile": "the profile is given as the instance is made",
        "ec2:DisassociateIamInstanceProfile": "profiles are not exchanged",
        "ec2:ReplaceIamInstanceProfileAssociation": "profiles are not exchanged",
        "ec2:AttachVolume": "the template has no Volumes, only a disk of the instance's own",
        "ec2:DetachVolume": "the template has no Volumes",
        "ec2:ModifyInstanceCreditSpecification": "the template has no CreditSpecification",
        "ec2:ModifyInstancePlacement": "the template has no Tenancy, Affinity and host",
        "ec2:ModifyPrivateDnsNameOptions": "the template has no PrivateDnsNameOptions",
        "ec2:StartInstances": "an instance runs until it is terminated",
        "ssm:CreateAssociation": "the template has no SsmAssociations",
    },
}
"""Actions that the handlers of all possible properties need, and those of machine.yaml do not."""

NOT_FOR_BASE = {
    "AWS::Batch::ComputeEnvironment": dict.fromkeys(
        (
            "Eks:AssociateAccessPolicy",
            "Eks:CreateAccessEntry",
            "Eks:DeleteAccessEntry",
            "Eks:DescribeAccessEntry",
            "Eks:DescribeCluster",
            "Eks:ListAssociatedAccessPolicies",
        ),
        "the environments are of EC2, not of EKS",
    ),
    "AWS::EC2::SecurityGroup": dict.fromkeys(
        (
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:RevokeSecurityGroupIngress",
            "ec2:UpdateSecurityGroupRuleDescriptionsIngress",
        ),
        "nothing comes in to Batch's machines",
    ),
    "AWS::EC2::EIP": {
        "ec2:AcceptAddressTransfer": "no address is transferred",
        "ec2:AssociateAddress": "a machine's own stack does it",
    },
    "AWS::EC2::KeyPair": {
        "ec2:CreateKeyPair": "the public key is imported: AWS never has the private one",
        "ssm:PutParameter": "there is no private key to keep",
        "ssm:DeleteParameter": "there is no private key to keep",
    },
    "AWS::EC2::Subnet": {
        "ec2:AssociateSubnetCidrBlock": "subnets have no IPv6 blocks",
        "ec2:DisassociateSubnetCidrBlock": "subnets have no IPv6 blocks",
    },
    "AWS::EC2::VPC": {
        "ec2:CreateVpcEncryptionControl": "the template has no VpcEncryptionControl",
        "ec2:ModifyVpcTenancy": "the template has no InstanceTenancy",
    },
    "AWS::EC2::VPCGatewayAttachment": {
        "ec2:AttachVpnGateway": "an internet gateway is attached",
        "ec2:DetachVpnGateway": "an internet gateway is attached",
    },
    "AWS::EC2::VPCEndpoint": {
        "vpc-lattice:CreateServiceNetworkVpcEndpointAssociation": "a gateway endpoint has none",
        "vpc-lattice:DescribeServiceNetworkVpcEndpointAssociation": "a gateway endpoint has none",
        "vpce:AllowMultiRegion": "the endpoint is for S3 of this region",
    },
    "AWS::ECR::Repository": {
        "kms:CreateGrant": "the repository has no key of its own",
        "kms:DescribeKey": "the repository has no key of its own",
        "kms:RetireGrant": "the repository has no key of its own",
    },
    "AWS::IAM::ManagedPolicy": {
        "iam:AttachGroupPolicy": "roles name their policies",
        "iam:DetachGroupPolicy": "roles name their policies",
    },
    "AWS::Logs::LogGroup": {
        "firehose:TagDeliveryStream": "the group delivers to nobody",
    },
    "AWS::S3::Bucket": dict.fromkeys(
        (
            "s3tables:CreateNamespace",
            "s3tables:CreateTable",
            "s3tables:CreateTableBucket",
            "s3tables:GetTable",
            "s3tables:GetTableMetadataLocation",
            "s3tables:PutTableBucketPolicy",
            "s3tables:PutTableEncryption",
            "s3tables:PutTablePolicy",
            "s3tables:UpdateTableMetadataLocation",
        ),
        "the template has no MetadataTableConfiguration",
    ),
}


def resource_types(template: str) -> set[str]:
    return {one["Type"] for one in load_template(template).document["Resources"].values()}


def missing(policy: str, resource_type: str, operations: set[str]) -> set[str]:
    needed = {action for name in operations for action in handlers(resource_type).get(name, ())}
    documents = [document(policy), *([document("batch_admin_policy")] if policy == "admin_policy" else [])]
    plain = {action.replace("Batch:", "batch:") for action in needed}  # the schema's own spelling
    return {action for action in plain if not any(mentions(one, action) for one in documents)}


@pytest.mark.parametrize("resource_type", sorted(resource_types("machine")))
def test_the_service_role_may_do_what_a_machines_resources_need(resource_type: str) -> None:
    """CreateStack, rollback and DeleteStack; a machine's stack is never updated."""
    lacking = missing("CloudFormationRole", resource_type, {"create", "read", "delete"})
    assert lacking == set(NOT_FOR_MACHINES.get(resource_type, {}))


@pytest.mark.parametrize("resource_type", sorted(resource_types("base")))
def test_who_sets_up_may_do_what_the_base_stacks_resources_need(resource_type: str) -> None:
    """CreateStack, later updates, and DeleteStack, with the rights of who calls."""
    lacking = missing("admin_policy", resource_type, {"create", "read", "update", "delete"})
    assert lacking == set(NOT_FOR_BASE.get(resource_type, {}))


@pytest.mark.parametrize("resource_type", sorted(resource_types("machine")))
def test_who_submits_runs_cannot_make_a_machines_resources_alone(resource_type: str) -> None:
    """Only CloudFormation's role can: so an instance has a stack, and a stack has a deadline."""
    assert missing("user_policy", resource_type, {"create"}) & {
        "ec2:RunInstances",
        "ec2:CreateSecurityGroup",
        "ec2:CreateLaunchTemplate",
        "ec2:AssociateAddress",
    }

"""What the policy of who sets up a base stack is made of.

Of a resource that bears the project's own name an administrator may do everything: it is theirs alone. For
roles, and where a name cannot tell whose a thing is, each action is named. (A managed policy has but 6,144
characters.)
"""

from __future__ import annotations

from dayfly.aws.names import PROJECT_TAG, Role, base_stack_name
from dayfly.aws.policy_statements import Arns, Document, allow, equals

_ROLES = """
AttachRolePolicy CreateRole DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy DetachRolePolicy
GetRole GetRolePolicy ListAttachedRolePolicies ListRolePolicies PutRolePermissionsBoundary PutRolePolicy
TagRole UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription
"""
_PROFILES = """
AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile
RemoveRoleFromInstanceProfile
"""
_POLICIES = """
CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion
ListEntitiesForPolicy ListPolicyVersions TagPolicy
"""
_USERS = "CreateAccessKey CreateUser DeleteAccessKey DeleteUser DetachUserPolicy ListAccessKeys TagUser"
_CREATED = """
AllocateAddress CreateInternetGateway CreateLaunchTemplate CreateRouteTable CreateSubnet CreateVpc
CreateVpcEndpoint ImportKeyPair
"""
_CHANGED = """
AssociateRouteTable AttachInternetGateway CreateLaunchTemplateVersion CreateRoute CreateRouteTable
CreateSubnet CreateTags CreateVpcEndpoint DeleteInternetGateway DeleteKeyPair DeleteLaunchTemplate
DeleteRoute DeleteRouteTable DeleteSubnet DeleteTags DeleteVpc DeleteVpcEndpoints DetachInternetGateway
DisassociateAddress DisassociateRouteTable ModifySubnetAttribute ModifyVpcAttribute ModifyVpcEndpoint
ReleaseAddress ReplaceRoute ReplaceRouteTableAssociation
"""


def keep_own(arns: Arns) -> list[Document]:
    """What the base stack is made of, by name: each service, and this project's one resource of it."""
    base = base_stack_name(arns.project)
    log = arns.here("logs", f"log-group:/dayfly/{arns.project}")
    schedules = [arns.here("scheduler", f"{kind}/{base}") for kind in ("schedule-group", "schedule")]
    return [
        allow("DeployTheBaseStack", "cloudformation", "*", arns.base_stack),
        allow("KeepTheBucket", "s3", "*", [arns.bucket, f"{arns.bucket}/*"]),
        allow("KeepTheImages", "ecr", "*", arns.repository),
        allow("KeepTheMirror", "codecommit", "*", arns.mirror),
        allow("KeepTheDeadlines", "scheduler", "*", [schedules[0], f"{schedules[1]}/*"]),
        allow("KeepTheStackLog", "logs", "*", [log, f"{log}:*"]),
        allow("WatchStacks", "events", "*", arns.here("events", f"rule/{base}")),
    ]


def use_nameless() -> list[Document]:
    """Actions that AWS knows no resource for."""
    return [
        allow(
            "CheckTemplates",
            "cloudformation",
            "DescribeStackDriftDetectionStatus DescribeStacks GetTemplateSummary ValidateTemplate",
            "*",
        ),
        allow("FindTheMirror", "codecommit", "ListRepositories", "*"),
        allow(
            "LetEventsBeLogged",
            "logs",
            "DeleteResourcePolicy DescribeLogGroups DescribeResourcePolicies PutResourcePolicy",
            "*",
        ),
        allow("LogInToTheRegistry", "ecr", "GetAuthorizationToken", "*"),
        allow("LookAtEc2", "ec2", "Describe*", "*"),
        allow("KnowPrices", "pricing", "GetProducts", "*"),
        allow("KnowQuotas", "servicequotas", "GetServiceQuota", "*"),
    ]


def make_network(arns: Arns) -> list[Document]:
    """EC2: only what bears the project's tag, or is given it as it is made."""
    everything = arns.here("ec2", "*")
    return [
        allow(
            "MakeTagged", "ec2", _CREATED, everything, equals(f"aws:RequestTag/{PROJECT_TAG}", arns.project)
        ),
        allow(
            # In the call that makes a thing: nobody can claim another's by tagging it.
            "TagWhatIsBeingMade",
            "ec2",
            "CreateTags",
            everything,
            equals("ec2:CreateAction", _CREATED.split()),
        ),
        allow(
            "ChangeOwn", "ec2", _CHANGED, everything, equals(f"aws:ResourceTag/{PROJECT_TAG}", arns.project)
        ),
    ]


def make_roles(arns: Arns) -> list[Document]:
    """By name: `dayfly-<project>-<region>-…`; users, where asked for, under a path of the project's own."""
    ours = f"{base_stack_name(arns.project)}-{arns.region}-*"
    users = arns.iam(f"user/dayfly/{arns.project}/*")
    machines: tuple[Role, ...] = ("run", "access", "build", "lab")
    return [
        allow("MakeRoles", "iam", _ROLES, arns.iam(f"role/{ours}")),
        allow("MakeProfiles", "iam", _PROFILES, arns.iam(f"instance-profile/{ours}")),
        allow("MakePolicies", "iam", _POLICIES, arns.iam(f"policy/{ours}")),
        allow(
            "PutRolesInProfiles",
            "iam",
            "PassRole",
            [arns.role(role) for role in machines],
            equals("iam:PassedToService", arns.ec2),
        ),
        # A user that is not there has no path yet.
        allow("FindUsers", "iam", "GetUser ListUserTags", arns.iam("user/*")),
        allow("MakeUsersOnRequest", "iam", _USERS, users),
        allow(
            "LetUsersSubmitRuns",
            "iam",
            "AttachUserPolicy",
            users,
            {"ArnLike": {"iam:PolicyARN": arns.iam(f"policy/{ours}")}},
        ),
    ]

# ruff: noqa: INP001 -- a script, in no package
"""Print every IAM policy document of dayfly as JSON, by name: those of base.yaml, and those of people.

`scripts/check_policies.py` reads them. Values stand in for what only AWS knows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dayfly.aws.policies import admin_policy, user_policy
from dayfly.aws.policy_batch import batch_admin_policy, batch_user_policy
from dayfly.aws.template import Scope, load_template

PROJECT, ACCOUNT, REGION = "sales", "123456789012", "eu-central-1"
PARAMETERS = {
    **load_template("base").defaults(),
    "Project": PROJECT,
    "BucketName": f"dayfly-{PROJECT}-{ACCOUNT}-{REGION}",
    "VpcId": "vpc-0a1b2c3d",
    "SubnetIds": "subnet-0a1b2c3d",
    "KeepMirror": "true",
    "ElasticIp": "true",
    "Batch": "true",
    "NotifyTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:ends",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": f"dayfly-{PROJECT}",
    "Bucket": f"dayfly-{PROJECT}-{ACCOUNT}-{REGION}",
    "Bucket.Arn": f"arn:aws:s3:::dayfly-{PROJECT}-{ACCOUNT}-{REGION}",
    "StackEvents.Arn": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/dayfly-{PROJECT}",
    **{
        f"{name}Role.Arn": f"arn:aws:iam::{ACCOUNT}:role/dayfly-{PROJECT}-{REGION}-{name.lower()}"
        for name in ("Run", "Access", "Build", "Lab", "CloudFormation", "Scheduler")
    },
    **{
        f"{name}Role.Arn": f"arn:aws:iam::{ACCOUNT}:role/dayfly-{PROJECT}-{REGION}-{role}"
        for name, role in (("BatchJob", "batch-job"), ("BatchInstance", "batch-instance"))
    },
}
"""With every option that adds a statement."""


def resolve(scope: Scope, value: Any) -> Any:
    """A value of the template as CloudFormation would make it."""
    if isinstance(value, Mapping):
        if len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref")):
            return scope.text(value)
        return {key: resolve(scope, one) for key, one in value.items()}
    if isinstance(value, list):
        return [resolve(scope, one) for one in scope.items(value)]
    return value


def base_documents(parameters: Mapping[str, str] = PARAMETERS) -> Iterator[tuple[str, dict[str, Any]]]:
    """The documents of base.yaml by the logical id of what has them; trust policies end in `/trust`."""
    scope = Scope(template=load_template("base"), values=parameters)
    for name, one in scope.resources():
        properties = one.get("Properties", {})
        if "AssumeRolePolicyDocument" in properties:
            yield f"{name}/trust", resolve(scope, properties["AssumeRolePolicyDocument"])
        for policy in properties.get("Policies", []):
            yield name, resolve(scope, policy["PolicyDocument"])
        if "PolicyDocument" in properties:
            found = resolve(scope, properties["PolicyDocument"])
            yield name, json.loads(found) if isinstance(found, str) else found


def all_documents() -> dict[str, dict[str, Any]]:
    """Every document that AWS would see."""
    return {
        **dict(base_documents()),
        "admin_policy": admin_policy(PROJECT, ACCOUNT, REGION),
        "user_policy": user_policy(PROJECT, ACCOUNT, REGION),
        "batch_admin_policy": batch_admin_policy(PROJECT, ACCOUNT, REGION),
        "batch_user_policy": batch_user_policy(PROJECT, ACCOUNT, REGION),
    }


if __name__ == "__main__":
    print(json.dumps(all_documents()))  # noqa: T201 -- its output is what it is for

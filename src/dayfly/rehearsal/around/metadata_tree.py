"""What the metadata service has under each path, for one instance.

After, on https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/, the pages ec2-instance-metadata.html
(categories), instancedata-data-retrieval.html (a listing has one name a line, a folder's ends in a slash,
public keys are listed as `0=name`), spot-instance-termination-notices.html and
instance-identity-documents.html. The signatures of such a document are AWS's to give: there are none here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .metadata import Served

Tree = Mapping[str, Callable[[], str]]
"""Each leaf's text by its path. A path that ends in a slash is a folder whose listing is not its names."""

VERSIONS = ("1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2021-01-03", "2021-03-23", "latest")


def read(served: Served, path: str) -> str | None:
    """What one path (`/latest/…`) answers; None where there is nothing. Raises OSError."""
    version, _, rest = path.strip("/").partition("/")
    if not version:
        return "\n".join(VERSIONS)
    if version not in VERSIONS:
        return None
    return find(_tree(served), rest)


def find(tree: Tree, path: str) -> str | None:
    """A leaf's text, or the listing of a folder; None where there is neither."""
    name = path.strip("/")
    if name in tree:
        return tree[name]()
    folder = f"{name}/" if name else ""
    if folder in tree:
        return tree[folder]()
    inside = (leaf.removeprefix(folder).partition("/") for leaf in tree if leaf.startswith(folder))
    return "\n".join(sorted({first + slash for first, slash, _ in inside})) or None


def _tree(served: Served) -> Tree:
    one = served.describe()
    texts = {f"meta-data/{name}": str(text) for name, text in _meta_data(served, one).items()}
    texts["dynamic/instance-identity/document"] = json.dumps(_identity(one), indent=2)
    if one.get("UserData"):
        texts["user-data"] = str(one["UserData"])
    profile = one.get("IamInstanceProfile") or {}
    tree: dict[str, Callable[[], str]] = {path: partial(str, text) for path, text in texts.items()}
    if profile:
        # A profile has one role, which our templates name like it.
        role = str(profile["Arn"]).rpartition("/")[2]
        tree["meta-data/iam/info"] = partial(_profile, served, profile)
        tree[f"meta-data/iam/security-credentials/{role}"] = partial(_credentials, served)
    return tree


def _meta_data(served: Served, one: dict[str, Any]) -> dict[str, Any]:
    zone = str(one["Placement"]["AvailabilityZone"])
    leaves = {
        "ami-id": one["ImageId"],
        "ami-launch-index": "0",
        "hostname": one["PrivateDnsName"],
        "instance-action": "none",
        "instance-id": one["InstanceId"],
        "instance-life-cycle": "spot" if one.get("InstanceLifecycle") else "on-demand",
        "instance-type": one["InstanceType"],
        "local-hostname": one["PrivateDnsName"],
        "local-ipv4": one["PrivateIpAddress"],
        "placement/availability-zone": zone,
        "placement/region": zone[:-1],
        "services/domain": "amazonaws.com",
        "services/partition": "aws",
    }
    if one.get("PublicKey"):
        leaves |= {
            "public-keys/": f"0={one.get('KeyName') or 'key'}",
            "public-keys/0/openssh-key": one["PublicKey"],
        }
    if one.get("MetadataOptions", {}).get("InstanceMetadataTags") == "enabled":
        leaves |= {f"tags/instance/{key}": value for key, value in one.get("Tags", {}).items()}
    if served.spot_at:
        action = json.dumps({"action": "terminate", "time": served.spot_at})
        leaves |= {"spot/instance-action": action, "spot/termination-time": served.spot_at}
    return leaves


def _profile(served: Served, profile: dict[str, Any]) -> str:
    said = {
        "Code": "Success",
        "LastUpdated": served.role_credentials()["updated"],
        "InstanceProfileArn": profile["Arn"],
        "InstanceProfileId": profile.get("Id", ""),
    }
    return json.dumps(said, indent=2)


def _credentials(served: Served) -> str:
    given = served.role_credentials()
    said = {
        "Code": "Success",
        "LastUpdated": given["updated"],
        "Type": "AWS-HMAC",
        "AccessKeyId": given["access_key_id"],
        "SecretAccessKey": given["secret_access_key"],
        "Token": given["session_token"],
        "Expiration": given["expiration"],
    }
    return json.dumps(said, indent=2)


def _identity(one: dict[str, Any]) -> dict[str, str | None]:
    zone = str(one["Placement"]["AvailabilityZone"])
    return {
        "accountId": str(one.get("OwnerId", "123456789012")),
        "architecture": str(one["Architecture"]),
        "availabilityZone": zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "marketplaceProductCodes": None,
        "imageId": one["ImageId"],
        "instanceId": one["InstanceId"],
        "instanceType": one["InstanceType"],
        "kernelId": None,
        "pendingTime": one.get("LaunchTime"),
        "privateIp": one["PrivateIpAddress"],
        "ramdiskId": None,
        "region": zone[:-1],
        "version": "2017-09-30",
    }

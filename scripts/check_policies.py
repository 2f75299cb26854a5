# ruff: noqa: INP001 -- a script, in no package
"""Have parliament judge the documents that scripts/policy_documents.py prints; fail with what it finds.

Runs in the environment of the dependency group `security`. Each exception has its reason here.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports pkg_resources, which warns of its end
    import parliament

_TRUST = "/trust"


def find_mistakes(name: str, document: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a document, a sentence each."""
    seen: list[tuple[list[str], set[tuple[str, str]]]] = []
    for statement in document["Statement"]:
        found = _judge(name, statement)
        if not _is_whole_service(statement):
            seen.append((_actions(statement), _mismatches(found)))
        for finding in found:
            if finding.issue != "RESOURCE_MISMATCH" and not _has_reason(name, statement, finding):
                yield f"{name}, {statement['Sid']}: {finding.issue}: {finding.detail}"
    # An action on several kinds of resources may be allowed on each by a statement of its own.
    for action, kind in sorted(set().union(*(mismatches for _, mismatches in seen))):
        if all((action, kind) in mismatches for actions, mismatches in seen if action in actions):
            yield f"{name}: {action} is allowed on no resource {kind}"


def _judge(name: str, statement: dict[str, Any]) -> list[Any]:
    if name.endswith(_TRUST):  # has none: the role is the resource
        statement = {**statement, "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return list(parliament.analyze_policy_string(json.dumps(document)).findings)


def _mismatches(found: list[Any]) -> set[tuple[str, str]]:
    """Actions with the kind of resource that their statement lacks."""
    return {
        (one["action"], one["required_format"])
        for finding in found
        if finding.issue == "RESOURCE_MISMATCH"
        for one in finding.detail
    }


def _actions(statement: dict[str, Any]) -> list[str]:
    action = statement["Action"]
    return [action] if isinstance(action, str) else action


def _is_whole_service(statement: dict[str, Any]) -> bool:
    """All of a service, on one resource by name: most of its actions are for other kinds."""
    return all(action.endswith(":*") for action in _actions(statement)) and statement["Resource"] != "*"


def _has_reason(name: str, statement: dict[str, Any], finding: Any) -> bool:
    if finding.issue != "RESOURCE_STAR":
        return False
    # A trust policy has no resource. An administrator may look at all of EC2, to see what stands in the way.
    return name.endswith(_TRUST) or (name == "admin_policy" and _actions(statement) == ["ec2:Describe*"])


def main() -> None:
    """Read the documents, and say what is wrong."""
    documents = json.load(sys.stdin)
    mistakes = [line for name, document in documents.items() for line in find_mistakes(name, document)]
    if mistakes or not documents:
        raise SystemExit("\n".join(mistakes) or "There are no policies.")


if __name__ == "__main__":
    main()

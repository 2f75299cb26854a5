"""CodeCommit: repositories that are bare Git repositories in the emulator's own directory.

After https://docs.aws.amazon.com/codecommit/latest/APIReference/Welcome.html and
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-codecommit-repository.html:
`Ref` is the repository's id; deleting it deletes what is in it. Git reaches it by `git_http`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from ministack.core.responses import get_account_id, get_region, new_uuid
from ministack.services.cloudformation import provisioners

from . import dispatch, git_http
from .world import Answer

_REPOSITORIES: dict[tuple[str, str], dict[str, Any]] = {}
"""By region and name."""
_TAGS: dict[str, dict[str, str]] = {}


def install() -> None:
    """Add the service and its resource type."""
    reset()  # an earlier emulator's, which knew them in its memory alone
    dispatch.add_service("codecommit", "CodeCommit_20150413", _handle)
    git_http.install(_folder())
    provisioners._RESOURCE_HANDLERS["AWS::CodeCommit::Repository"] = {
        "create": _create_resource,
        "delete": _delete_resource,
    }
    provisioners._STACK_TAG_PROPERTY["AWS::CodeCommit::Repository"] = ("Tags", "list")


def reset() -> None:
    """Forget all repositories."""
    _REPOSITORIES.clear()
    _TAGS.clear()
    shutil.rmtree(_folder(), ignore_errors=True)


def repository_path(name: str) -> Path:
    """Where its Git repository is."""
    return _folder() / str(get_region()) / f"{name}.git"


def _folder() -> Path:
    return Path(os.environ["DAYFLY_STATE"]) / "codecommit"


def _make(name: str, description: str, tags: dict[str, str]) -> dict[str, Any]:
    region, account = get_region(), get_account_id()
    path = repository_path(name)
    path.mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", "--bare", str(path)], check=True, capture_output=True)
    subprocess.run(["git", "-C", str(path), "config", "http.receivepack", "true"], check=True)
    arn = f"arn:aws:codecommit:{region}:{account}:{name}"
    _TAGS[arn] = tags
    _REPOSITORIES[region, name] = {
        "accountId": account,
        "repositoryId": new_uuid(),
        "repositoryName": name,
        "repositoryDescription": description,
        "lastModifiedDate": time.time(),
        "creationDate": time.time(),
        "cloneUrlHttp": git_http.clone_url(name, region, dispatch.ASKED_AT.get()),
        "cloneUrlSsh": f"ssh://git-codecommit.{region}.amazonaws.com/v1/repos/{name}",
        "Arn": arn,
    }
    return _REPOSITORIES[region, name]


def _remove(name: str) -> str | None:
    found = _REPOSITORIES.pop((get_region(), name), None)
    if found is None:
        return None
    _TAGS.pop(found["Arn"], None)
    shutil.rmtree(repository_path(name), ignore_errors=True)
    return str(found["repositoryId"])


def _handle(operation: str, asked: dict[str, Any]) -> Answer:  # noqa: PLR0911 -- one an operation
    region, name = get_region(), str(asked.get("repositoryName", ""))
    found = _REPOSITORIES.get((region, name))
    match operation:
        case "CreateRepository" if found:
            return dispatch.json_error(
                "RepositoryNameExistsException", f"Repository named {name} already exists"
            )
        case "CreateRepository":
            made = _make(name, asked.get("repositoryDescription", ""), asked.get("tags", {}))
            return dispatch.json_answer({"repositoryMetadata": made})
        case "DeleteRepository":
            return dispatch.json_answer({"repositoryId": _remove(name)} if found else {})
        case "ListRepositories":
            known = [one for (where, _), one in _REPOSITORIES.items() if where == region]
            shown = [{key: one[key] for key in ("repositoryName", "repositoryId")} for one in known]
            return dispatch.json_answer({"repositories": shown})
        case "ListTagsForResource":
            return dispatch.json_answer({"tags": _TAGS.get(asked["resourceArn"], {})})
    if found is None:
        return dispatch.json_error("RepositoryDoesNotExistException", f"{name} does not exist")
    match operation:
        case "GetRepository":
            url = git_http.clone_url(name, region, dispatch.ASKED_AT.get())
            return dispatch.json_answer({"repositoryMetadata": found | {"cloneUrlHttp": url}})
        case "GetBranch":
            return _branch(name, asked["branchName"])
        case "GetCommit":
            return _commit(name, asked["commitId"])
    return dispatch.json_error("InvalidActionException", f"The emulator does not know codecommit:{operation}")


def _branch(name: str, branch: str) -> Answer:
    argv = ["git", "-C", str(repository_path(name)), "rev-parse", "--verify", f"refs/heads/{branch}"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        return dispatch.json_error("BranchDoesNotExistException", f"Branch named {branch} does not exist")
    return dispatch.json_answer({"branch": {"branchName": branch, "commitId": said.stdout.strip()}})


def _commit(name: str, commit: str) -> Answer:
    """https://docs.aws.amazon.com/codecommit/latest/APIReference/API_GetCommit.html, without who and when."""
    git = ["git", "-C", str(repository_path(name)), "show", "--no-patch", "--format=%H%n%T%n%P%n%B"]
    said = subprocess.run([*git, f"{commit}^{{commit}}"], capture_output=True, text=True, check=False)
    if said.returncode != 0:
        return dispatch.json_error("CommitIdDoesNotExistException", f"Commit {commit} does not exist")
    full, tree, parents, message = said.stdout.split("\n", 3)
    found = {"commitId": full, "treeId": tree, "parents": parents.split(), "message": message}
    return dispatch.json_answer({"commit": found})


def _create_resource(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
    name = str(properties["RepositoryName"])
    if (get_region(), name) in _REPOSITORIES:
        raise ValueError(f"Repository named {name} already exists")
    tags = {one["Key"]: one["Value"] for one in properties.get("Tags") or []}
    made = _make(name, properties.get("RepositoryDescription", ""), tags)
    attributes = {
        "Arn": "Arn",
        "CloneUrlHttp": "cloneUrlHttp",
        "CloneUrlSsh": "cloneUrlSsh",
        "Name": "repositoryName",
    }
    return made["repositoryId"], {key: made[value] for key, value in attributes.items()}


def _delete_resource(repository_id: str, _properties: dict[str, Any]) -> None:
    for (region, name), one in list(_REPOSITORIES.items()):
        if one["repositoryId"] == repository_id and region == get_region():
            _remove(name)

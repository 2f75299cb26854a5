"""AWS Batch: jobs that run as containers of a real Docker engine. ministack's own succeed without running.

After https://docs.aws.amazon.com/batch/latest/userguide/: array jobs (array_jobs.html), their variables
(job_env_vars.html), retries by `evaluateOnExit` (job_retries.html), time-outs of an attempt
(job_timeouts.html) and a queue's limit on RUNNABLE (API_JobStateTimeLimitAction.html). Compute environments,
queues and definitions are ministack's, and have no instances: the engine is the only machine, and
`POST /_dayfly/batch/lose` breaks it for one child. A job's role is given to it as keys in its environment,
where AWS has an endpoint for them.

What is not here: dependencies, several containers in a job, fair shares, EKS, Fargate.
"""

from __future__ import annotations

import fnmatch
import json
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ministack.core import iam_actions, responses
from ministack.services import batch

from .batch_engine import run_engine, start_working
from .batch_jobs import ENDED, JOBS, LOCK, Body, Job, arn_of, end_job, find_job, name_of
from .world import Answer

_MOST_CHILDREN = 10_000


def install() -> None:
    """Take jobs over from ministack."""
    batch._DISPATCH |= {
        "/v1/registerjobdefinition": _register,
        "/v1/describejobdefinitions": _definitions,
        "/v1/deregisterjobdefinition": _deregister,
        "/v1/createjobqueue": _create_queue,
        "/v1/updatejobqueue": _update(batch._job_queues, "jobQueue"),
        "/v1/deletejobqueue": _delete(batch._job_queues, "jobQueue"),
        "/v1/deletecomputeenvironment": _delete(batch._compute_envs, "computeEnvironment"),
        "/v1/submitjob": _submit,
        "/v1/describejobs": _describe,
        "/v1/listjobs": _list,
        "/v1/canceljob": _cancel,
        "/v1/terminatejob": _terminate,
    }
    original = iam_actions.extract_iam_action

    def action(service: str, method: str, path: str, *rest: Any, **more: Any) -> Any:
        if service == "batch" and path.lower().startswith("/v1/"):
            return f"batch:{_OPERATIONS.get(path.lower().removeprefix('/v1/'), path)}"
        return original(service, method, path, *rest, **more)

    iam_actions.extract_iam_action = action
    start_working()


_OPERATIONS = {
    name.lower(): name
    for name in (
        *("CancelJob", "DescribeJobs", "ListJobs", "SubmitJob", "TerminateJob"),
        *("DeregisterJobDefinition", "DescribeJobDefinitions", "RegisterJobDefinition"),
        *("CreateJobQueue", "DeleteJobQueue", "DescribeJobQueues", "UpdateJobQueue"),
        *("CreateComputeEnvironment", "DeleteComputeEnvironment", "DescribeComputeEnvironments"),
        "UpdateComputeEnvironment",
    )
}


def resource(path: str, body: Body, here: str) -> str | None:
    """The ARN that a policy is asked about; None where Batch has none for the action."""
    match path.lower().removeprefix("/v1/"):
        case "submitjob":
            return f"arn:aws:batch:{here}:job-queue/{name_of(body.get('jobQueue', ''))}"
        case "terminatejob" | "canceljob":
            return f"arn:aws:batch:{here}:job/{body.get('jobId', '')}"
        case "registerjobdefinition":
            return f"arn:aws:batch:{here}:job-definition/{body.get('jobDefinitionName', '')}"
    return None


def tagged() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Each job with its tags, which conditions are asked about."""
    for job in list(JOBS.values()):
        yield arn_of(job), [{"Key": k, "Value": v} for k, v in (job.asked.get("tags") or {}).items()]


def _refused(message: str) -> Answer:
    return (
        400,
        {"Content-Type": "application/json", "x-amzn-errortype": "ClientException"},
        json.dumps({"message": message}).encode(),
    )


def _register(body: Body) -> Answer:
    answer: Answer = batch._register_job_definition(body)
    if answer[0] == 200:  # noqa: PLR2004
        made = batch._job_definitions[body["jobDefinitionName"]][-1]
        for name in ("retryStrategy", "timeout", "propagateTags", "platformCapabilities", "parameters"):
            if name in body:
                made[name] = body[name]
    return answer


def _definition(reference: str) -> Body | None:
    name, _, revision = name_of(reference).partition(":")
    found = [one for one in batch._job_definitions.get(name) or [] if one["status"] == "ACTIVE"]
    return next((one for one in reversed(found) if not revision or str(one["revision"]) == revision), None)


def _definitions(body: Body) -> Answer:
    if body.get("jobDefinitions"):
        named = [_definition(one) for one in body["jobDefinitions"]]
        found = [one for one in named if one is not None]
    elif body.get("jobDefinitionName"):
        found = list(batch._job_definitions.get(body["jobDefinitionName"]) or [])
    else:
        found = [one for revisions in batch._job_definitions.values() for one in revisions]
    wanted = body.get("status")
    return _answer({"jobDefinitions": [one for one in found if not wanted or one["status"] == wanted]})


def _deregister(body: Body) -> Answer:
    found = _definition(body["jobDefinition"])
    if found is not None:
        found["status"] = "INACTIVE"
    return _answer({})


def _create_queue(body: Body) -> Answer:
    answer: Answer = batch._create_job_queue(body)
    if answer[0] == 200:  # noqa: PLR2004
        batch._job_queues[body["jobQueueName"]]["jobStateTimeLimitActions"] = (
            body.get("jobStateTimeLimitActions") or []
        )
    return answer


def _update(store: Any, parameter: str) -> Any:
    def update(body: Body) -> Answer:
        found = store.get(name_of(body[parameter]))
        if found is None:
            return _refused(f"Object does not exist: {body[parameter]}")
        found.update({name: value for name, value in body.items() if name != parameter})
        return _answer({})

    return update


def _delete(store: Any, parameter: str) -> Any:
    def delete(body: Body) -> Answer:
        store.pop(name_of(body[parameter]), None)
        return _answer({})

    return delete


def _answer(body: Body) -> Answer:
    answer: Answer = batch._json(200, body)
    return answer


def _submit(body: Body) -> Answer:
    definition = _definition(str(body.get("jobDefinition", "")))
    queue = batch._job_queues.get(name_of(str(body.get("jobQueue", ""))))
    if definition is None:
        return _refused(f"JobDefinition {body.get('jobDefinition')} does not exist.")
    if queue is None:
        return _refused(f"JobQueue {body.get('jobQueue')} not found.")
    size = (body.get("arrayProperties") or {}).get("size")
    if size is not None and not 2 <= size <= _MOST_CHILDREN:  # noqa: PLR2004 -- the API's own
        return _refused(f"Array size {size} is not between 2 and {_MOST_CHILDREN}.")
    place = (responses.get_account_id(), responses.get_region())
    made = [Job(responses.new_uuid(), body, definition, queue, place)]
    made[0].children = [
        Job(f"{made[0].job_id}:{index}", body, definition, queue, place, index=index)
        for index in range(size or 0)
    ]
    with LOCK:
        JOBS[made[0].job_id] = made[0]
    return _answer({"jobArn": arn_of(made[0]), "jobId": made[0].job_id, "jobName": body["jobName"]})


def _said(job: Job) -> Body:
    said = {
        "jobId": job.job_id,
        "jobArn": arn_of(job),
        "jobName": job.asked["jobName"],
        "jobQueue": job.queue["jobQueueArn"],
        "jobDefinition": job.definition["jobDefinitionArn"],
        "status": job.state,
        "createdAt": int(job.created * 1000),
        "attempts": job.attempts,
        "tags": job.asked.get("tags") or {},
        "timeout": job.asked.get("timeout") or job.definition.get("timeout") or {},
        "retryStrategy": job.retry,
        "isTerminated": job.terminated,
    }
    if job.started:
        said["startedAt"] = int(job.started * 1000)
    if job.reason:
        said["statusReason"] = job.reason
    if job.index is not None:
        said["arrayProperties"] = {"index": job.index}
    if job.children:
        summary = Counter(one.status for one in job.children)
        states = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
        counts = {state: summary.get(state, 0) for state in states}
        said["arrayProperties"] = {"size": len(job.children), "statusSummary": counts}
    return said


def _describe(body: Body) -> Answer:
    with LOCK:
        found = [find_job(one.rpartition("job/")[2]) for one in body.get("jobs") or []]
        return _answer({"jobs": [_said(one) for one in found if one is not None]})


def _list(body: Body) -> Answer:
    with LOCK:
        parent = JOBS.get(body.get("arrayJobId", ""))
        found = parent.children if parent is not None else list(JOBS.values())
        queue = name_of(body.get("jobQueue", ""))
        if queue:
            found = [one for one in found if one.queue["jobQueueName"] == queue]
        filters = {one["name"]: one["values"] for one in body.get("filters") or []}
        if names := filters.get("JOB_NAME"):
            found = [one for one in found if any(fnmatch.fnmatchcase(one.asked["jobName"], n) for n in names)]
        else:
            wanted = body.get("jobStatus") or "RUNNING"
            found = [one for one in found if one.state == wanted]
        return _answer({"jobSummaryList": [_said(one) for one in found]})


def _cancel(body: Body) -> Answer:
    """Only what has not begun (API_CancelJob.html)."""
    with LOCK:
        job = find_job(body["jobId"])
        for one in (job.children or [job]) if job is not None else []:
            if one.status == "RUNNABLE":
                end_job(one, "FAILED", body["reason"])
    return _answer({})


def _terminate(body: Body) -> Answer:
    with LOCK:
        job = find_job(body["jobId"])
        if job is not None:
            job.terminated = True
            for one in job.children or [job]:
                if one.status == "RUNNABLE":
                    end_job(one, "FAILED", body["reason"])
                elif one.status not in ENDED and not one.ending:
                    one.ending, one.terminated = body["reason"], True
                    threading.Thread(target=run_engine, args=("stop", "--time", "30", one.container)).start()
    return _answer({})

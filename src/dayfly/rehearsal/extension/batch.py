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
import os
import subprocess
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ministack.core import iam_actions, responses
from ministack.services import batch

from .sessions import mint
from .world import WORLD, Answer

Body = dict[str, Any]
_STEP_S = 0.2
_ENDED = {"SUCCEEDED", "FAILED"}
_MOST_CHILDREN = 10_000
_CERTIFICATE = "/run/dayfly-rehearsal.crt"
_ENGINE_S = 120
_LOST = "Host EC2 (instance i-0dayfly0rehearsal) terminated."
_BLOCKED = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"


@dataclass
class Job:
    """A job, or a child of an array job: what is run, and how far it is."""

    job_id: str
    asked: Body
    definition: Body
    queue: Body
    place: tuple[str, str]
    """Account and region."""
    index: int | None = None
    status: str = "RUNNABLE"
    reason: str = ""
    created: float = field(default_factory=WORLD.now)
    attempts: list[Body] = field(default_factory=list)
    container: str = ""
    started: float = 0.0
    ending: str = ""
    """Why the container is being ended, when it does not end itself."""
    terminated: bool = False
    children: list[Job] = field(default_factory=list)

    @property
    def state(self) -> str:
        """An array job's is that of its children."""
        if not self.children:
            return self.status
        states = {one.status for one in self.children}
        if not states <= _ENDED:
            return "PENDING"
        return "FAILED" if "FAILED" in states else "SUCCEEDED"

    @property
    def properties(self) -> Body:
        """The definition's container, with what the submission has overridden."""
        said = self.asked.get("containerOverrides") or {}
        base = dict(self.definition["containerProperties"])
        for name in ("environment", "resourceRequirements"):
            key = "name" if name == "environment" else "type"
            merged = {one[key]: one for one in [*(base.get(name) or []), *(said.get(name) or [])]}
            base[name] = list(merged.values())
        return base | ({"command": said["command"]} if said.get("command") else {})

    @property
    def retry(self) -> Body:
        """The submission's retry strategy, or the definition's."""
        found: Body = self.asked.get("retryStrategy") or self.definition.get("retryStrategy") or {}
        return found

    def need(self, kind: str) -> int:
        """How many processors (VCPU) or MiB (MEMORY)."""
        return next(
            (
                int(float(one["value"]))
                for one in self.properties["resourceRequirements"]
                if one["type"] == kind
            ),
            1,
        )


_JOBS: dict[str, Job] = {}
_LOCK = threading.RLock()
LOSSES: list[Body] = []
"""Children whose machine breaks once they run: {"name": pattern, "index": n or None, "after": attempts}."""
IMAGES: dict[str, str] = {}
"""What the engine calls an image that a definition names by its place in ECR."""


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
    threading.Thread(target=_work, name="batch", daemon=True).start()


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


def reset() -> None:
    """Forget all jobs; their containers go."""
    with _LOCK:
        for job in _all():
            if job.container:
                _engine("rm", "--force", job.container)
        _JOBS.clear()
        LOSSES.clear()
        IMAGES.clear()


def resource(path: str, body: Body, here: str) -> str | None:
    """The ARN that a policy is asked about; None where Batch has none for the action."""
    match path.lower().removeprefix("/v1/"):
        case "submitjob":
            return f"arn:aws:batch:{here}:job-queue/{_name(body.get('jobQueue', ''))}"
        case "terminatejob" | "canceljob":
            return f"arn:aws:batch:{here}:job/{body.get('jobId', '')}"
        case "registerjobdefinition":
            return f"arn:aws:batch:{here}:job-definition/{body.get('jobDefinitionName', '')}"
    return None


def tagged() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Each job with its tags, which conditions are asked about."""
    for job in list(_JOBS.values()):
        yield _arn(job), [{"Key": k, "Value": v} for k, v in (job.asked.get("tags") or {}).items()]


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _refused(message: str) -> Answer:
    return (
        400,
        {"Content-Type": "application/json", "x-amzn-errortype": "ClientException"},
        json.dumps({"message": message}).encode(),
    )


# ---------------------------------------------------------------- what jobs stand on


def _register(body: Body) -> Answer:
    answer: Answer = batch._register_job_definition(body)
    if answer[0] == 200:  # noqa: PLR2004
        made = batch._job_definitions[body["jobDefinitionName"]][-1]
        for name in ("retryStrategy", "timeout", "propagateTags", "platformCapabilities", "parameters"):
            if name in body:
                made[name] = body[name]
    return answer


def _definition(reference: str) -> Body | None:
    name, _, revision = _name(reference).partition(":")
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
        found = store.get(_name(body[parameter]))
        if found is None:
            return _refused(f"Object does not exist: {body[parameter]}")
        found.update({name: value for name, value in body.items() if name != parameter})
        return _answer({})

    return update


def _delete(store: Any, parameter: str) -> Any:
    def delete(body: Body) -> Answer:
        store.pop(_name(body[parameter]), None)
        return _answer({})

    return delete


def _answer(body: Body) -> Answer:
    answer: Answer = batch._json(200, body)
    return answer


# ---------------------------------------------------------------- jobs


def _submit(body: Body) -> Answer:
    definition = _definition(str(body.get("jobDefinition", "")))
    queue = batch._job_queues.get(_name(str(body.get("jobQueue", ""))))
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
    with _LOCK:
        _JOBS[made[0].job_id] = made[0]
    return _answer({"jobArn": _arn(made[0]), "jobId": made[0].job_id, "jobName": body["jobName"]})


def _arn(job: Job) -> str:
    account, region = job.place
    return f"arn:aws:batch:{region}:{account}:job/{job.job_id}"


def _find(job_id: str) -> Job | None:
    parent = _JOBS.get(job_id.partition(":")[0])
    if parent is None or ":" not in job_id:
        return parent
    return parent.children[int(job_id.partition(":")[2])]


def _all() -> list[Job]:
    """All that run or wait: jobs without children, and children."""
    return [one for job in list(_JOBS.values()) for one in (job.children or [job])]


def _said(job: Job) -> Body:
    said = {
        "jobId": job.job_id,
        "jobArn": _arn(job),
        "jobName": job.asked["jobName"],
        "jobQueue": job.queue["jobQueueArn"],
        "jobDefinition": job.definition["jobDefinitionArn"],
        "status": job.state,
        "createdAt": int(job.created * 1000),
        "startedAt": int((job.started or job.created) * 1000),
        "attempts": job.attempts,
        "tags": job.asked.get("tags") or {},
        "timeout": job.asked.get("timeout") or job.definition.get("timeout") or {},
        "isTerminated": job.terminated,
    }
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
    with _LOCK:
        found = [_find(one.rpartition("job/")[2]) for one in body.get("jobs") or []]
        return _answer({"jobs": [_said(one) for one in found if one is not None]})


def _list(body: Body) -> Answer:
    with _LOCK:
        parent = _JOBS.get(body.get("arrayJobId", ""))
        found = parent.children if parent is not None else list(_JOBS.values())
        queue = _name(body.get("jobQueue", ""))
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
    with _LOCK:
        job = _find(body["jobId"])
        for one in (job.children or [job]) if job is not None else []:
            if one.status == "RUNNABLE":
                _end(one, "FAILED", body["reason"])
    return _answer({})


def _terminate(body: Body) -> Answer:
    with _LOCK:
        job = _find(body["jobId"])
        if job is not None:
            job.terminated = True
            for one in job.children or [job]:
                if one.status == "RUNNABLE":
                    _end(one, "FAILED", body["reason"])
                elif one.status not in _ENDED and not one.ending:
                    one.ending, one.terminated = body["reason"], True
                    threading.Thread(target=_engine, args=("stop", "--time", "30", one.container)).start()
    return _answer({})


# ---------------------------------------------------------------- the engine


def _work() -> None:
    """Start what waits, and see what has become of what runs."""
    while True:
        time.sleep(_STEP_S)
        for job in _all():
            try:
                if job.status == "RUNNABLE":
                    with _LOCK:
                        _try_start(job)
                elif job.status == "RUNNING":
                    _look_at(job)
            except Exception:  # noqa: BLE001 -- the others go on
                traceback.print_exc()
                with _LOCK:
                    _end(job, "FAILED", "The rehearsal's engine failed.")


def _try_start(job: Job) -> None:
    if job.status != "RUNNABLE":
        return
    environment = _environment_of(job)
    limit = int(environment["maxvCpus"])
    running = sum(one.need("VCPU") for one in _all() if one.status == "RUNNING" and one.queue is job.queue)
    kinds = environment.get("instanceTypes") or ["*"]
    if job.need("VCPU") > limit or any(WORLD.lacks_capacity(kind, "*") for kind in kinds):
        _settle_blocked(job, job.need("VCPU") > limit)
    elif running + job.need("VCPU") <= limit:
        _start(job)


def _environment_of(job: Job) -> Body:
    with responses.request_scope(*job.place):
        name = _name(job.queue["computeEnvironmentOrder"][0]["computeEnvironment"])
        found: Body = batch._compute_envs[name]["computeResources"]
        return found


def _settle_blocked(job: Job, too_big: bool) -> None:  # noqa: FBT001 -- private, one caller
    """What heads the queue and cannot be placed is cancelled when the queue says so."""
    reason = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE" if too_big else _BLOCKED
    for action in job.queue.get("jobStateTimeLimitActions") or []:
        if action["reason"] == reason and WORLD.now() - job.created >= int(action["maxTimeSeconds"]):
            _end(job, "FAILED", f"Canceled by JobStateTimeLimit action due to reason: {reason}")


def _start(job: Job) -> None:
    properties = job.properties
    environ = {one["name"]: str(one["value"]) for one in properties["environment"]}
    environ |= {
        "AWS_BATCH_JOB_ID": job.job_id,
        "AWS_BATCH_JOB_ATTEMPT": str(len(job.attempts) + 1),
        "AWS_BATCH_JQ_NAME": job.queue["jobQueueName"],
        **({"AWS_BATCH_JOB_ARRAY_INDEX": str(job.index)} if job.index is not None else {}),
        **_reach(job, properties.get("jobRoleArn")),
    }
    certificate = os.environ["MINISTACK_SSL_CERT"]
    linux = properties.get("linuxParameters") or {}
    arguments = [
        *("run", "--detach", "--network", "host", "--label", "dev.dayfly.batch=1"),
        *("--user", properties.get("user") or "0:0", "--memory", f"{job.need('MEMORY')}m"),
        *(["--init"] if linux.get("initProcessEnabled") else []),
        *(["--shm-size", f"{linux['sharedMemorySize']}m"] if linux.get("sharedMemorySize") else []),
        *("--mount", f"type=bind,source={certificate},target={_CERTIFICATE},readonly"),
        *(part for name, value in environ.items() for part in ("--env", f"{name}={value}")),
        *("--entrypoint", properties["command"][0]),
        IMAGES.get(properties["image"], properties["image"]),
        *properties["command"][1:],
    ]
    done = _engine(*arguments)
    if done.returncode != 0:
        _end(job, "FAILED", f"CannotStartContainerError: {done.stderr.strip()[-300:]}")
        return
    job.container, job.status, job.started = done.stdout.strip(), "RUNNING", WORLD.now()
    job.attempts.append({"startedAt": int(job.started * 1000), "container": {"taskArn": job.container[:12]}})


def _reach(job: Job, role: str | None) -> dict[str, str]:
    """How a container finds this emulator, and its role."""
    port = os.environ["GATEWAY_PORT"]
    found = {
        "AWS_ENDPOINT_URL": f"https://localhost:{port}",
        "AWS_REGION": job.place[1],
        "SSL_CERT_FILE": _CERTIFICATE,
        "AWS_CA_BUNDLE": _CERTIFICATE,
    }
    if role:
        with responses.request_scope(*job.place):
            keys = mint(role, job.job_id.replace(":", "-"))
        found |= {
            "AWS_ACCESS_KEY_ID": keys["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"],
            "AWS_SESSION_TOKEN": keys["session_token"],
        }
    return found


def _look_at(job: Job) -> None:
    for loss in list(LOSSES):
        meant = fnmatch.fnmatchcase(job.asked["jobName"], loss.get("name", "*"))
        if meant and loss.get("index") in {None, job.index} and not job.ending:
            LOSSES.remove(loss)
            job.ending = _LOST
            _engine("kill", job.container)
    limit = (job.asked.get("timeout") or job.definition.get("timeout") or {}).get("attemptDurationSeconds")
    if limit and not job.ending and WORLD.now() - job.started >= int(limit):
        job.ending = "Job attempt duration exceeded timeout"
        _engine("stop", "--time", "30", job.container)
    done = _engine("inspect", "--format", "{{.State.Running}} {{.State.ExitCode}}", job.container)
    running, _, code = done.stdout.strip().partition(" ")
    if running == "true":
        return
    with _LOCK:
        _settle(job, int(code or 1))


def _settle(job: Job, code: int) -> None:
    """An attempt is over: is another one worth it?"""
    log = _engine("logs", "--tail", "50", job.container)
    _engine("rm", "--force", job.container)
    reason = job.ending or ("" if code == 0 else "Essential container in task exited")
    job.attempts[-1] |= {
        "stoppedAt": int(WORLD.now() * 1000),
        "statusReason": reason,
        "container": {"exitCode": code, "reason": "", "logTail": (log.stdout + log.stderr)[-2000:]},
    }
    job.container, ending, job.ending = "", job.ending, ""
    lost = ending == _LOST
    if code == 0 and not ending:
        _end(job, "SUCCEEDED", "")
    elif not job.terminated and (not ending or lost) and _worth(job, reason, code):
        job.status, job.reason = "RUNNABLE", reason
    else:
        _end(job, "FAILED", reason)


def _worth(job: Job, reason: str, code: int) -> bool:
    """`evaluateOnExit`: the first rule of which all that it names matches decides; without rules, retry."""
    if len(job.attempts) >= int(job.retry.get("attempts") or 1):
        return False
    told = {"onStatusReason": reason, "onReason": "", "onExitCode": str(code)}
    for rule in job.retry.get("evaluateOnExit") or []:
        named = {name: rule[name] for name in told if name in rule}
        if all(fnmatch.fnmatchcase(told[name].lower(), pattern.lower()) for name, pattern in named.items()):
            return str(rule["action"]).upper() == "RETRY"
    return True


def _end(job: Job, status: str, reason: str) -> None:
    job.status, job.reason = status, reason


def _engine(*arguments: str) -> subprocess.CompletedProcess[str]:
    engine = os.environ.get("DAYFLY_ENGINE", "")
    if not engine:
        return subprocess.CompletedProcess(arguments, 1, "", "this rehearsal has no Docker engine")
    return subprocess.run(
        ["docker", "--host", engine, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=_ENGINE_S,
        stdin=subprocess.DEVNULL,
    )

"""The containers of the emulated AWS Batch, on a real Docker engine (see `batch`)."""

from __future__ import annotations

import fnmatch
import os
import subprocess
import threading
import time
import traceback

from ministack.core import responses
from ministack.services import batch

from .batch_jobs import IMAGES, JOBS, LOCK, LOSSES, Body, Job, all_jobs, end_job, name_of
from .sessions import mint
from .world import WORLD

_STEP_S = 0.2
_CERTIFICATE = "/run/dayfly-rehearsal.crt"
_ENGINE_S = 120
_LOST = "Host EC2 (instance i-0dayfly0rehearsal) terminated."
_BLOCKED = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"


def start_working() -> None:
    """Run jobs from now on, beside the emulator."""
    threading.Thread(target=_work, name="batch", daemon=True).start()


def reset() -> None:
    """Forget all jobs; their containers go."""
    with LOCK:
        for job in all_jobs():
            if job.container:
                run_engine("rm", "--force", job.container)
        JOBS.clear()
        LOSSES.clear()
        IMAGES.clear()


def _work() -> None:
    """Start what waits, and see what has become of what runs."""
    while True:
        time.sleep(_STEP_S)
        for job in all_jobs():
            try:
                if job.status == "RUNNABLE":
                    with LOCK:
                        _try_start(job)
                elif job.status == "RUNNING":
                    _look_at(job)
            except Exception:  # noqa: BLE001 -- the others go on
                traceback.print_exc()
                with LOCK:
                    end_job(job, "FAILED", "The rehearsal's engine failed.")


def _try_start(job: Job) -> None:
    if job.status != "RUNNABLE":
        return
    environment = _environment_of(job)
    limit = int(environment["maxvCpus"])
    running = sum(
        one.need("VCPU") for one in all_jobs() if one.status == "RUNNING" and one.queue is job.queue
    )
    kinds = environment.get("instanceTypes") or ["*"]
    if job.need("VCPU") > limit or any(WORLD.lacks_capacity(kind, "*") for kind in kinds):
        _settle_blocked(job, job.need("VCPU") > limit)
    elif running + job.need("VCPU") <= limit:
        _start(job)


def _environment_of(job: Job) -> Body:
    with responses.request_scope(*job.place):
        name = name_of(job.queue["computeEnvironmentOrder"][0]["computeEnvironment"])
        found: Body = batch._compute_envs[name]["computeResources"]
        return found


def _settle_blocked(job: Job, too_big: bool) -> None:  # noqa: FBT001 -- private, one caller
    """What heads the queue and cannot be placed is cancelled when the queue says so."""
    reason = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE" if too_big else _BLOCKED
    for action in job.queue.get("jobStateTimeLimitActions") or []:
        if action["reason"] == reason and WORLD.now() - job.created >= int(action["maxTimeSeconds"]):
            end_job(job, "FAILED", f"Canceled by JobStateTimeLimit action due to reason: {reason}")


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
    done = run_engine(*arguments)
    if done.returncode != 0:
        end_job(job, "FAILED", f"CannotStartContainerError: {done.stderr.strip()[-300:]}")
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
            run_engine("kill", job.container)
    limit = (job.asked.get("timeout") or job.definition.get("timeout") or {}).get("attemptDurationSeconds")
    if limit and not job.ending and WORLD.now() - job.started >= int(limit):
        job.ending = "Job attempt duration exceeded timeout"
        run_engine("stop", "--time", "30", job.container)
    done = run_engine("inspect", "--format", "{{.State.Running}} {{.State.ExitCode}}", job.container)
    running, _, code = done.stdout.strip().partition(" ")
    if running == "true":
        return
    with LOCK:
        _settle(job, int(code or 1))


def _settle(job: Job, code: int) -> None:
    """An attempt is over: is another one worth it?"""
    log = run_engine("logs", "--tail", "50", job.container)
    run_engine("rm", "--force", job.container)
    reason = job.ending or ("" if code == 0 else "Essential container in task exited")
    job.attempts[-1] |= {
        "stoppedAt": int(WORLD.now() * 1000),
        "statusReason": reason,
        "container": {"exitCode": code, "reason": "", "logTail": (log.stdout + log.stderr)[-2000:]},
    }
    job.container, ending, job.ending = "", job.ending, ""
    lost = ending == _LOST
    if code == 0 and not ending:
        end_job(job, "SUCCEEDED", "")
    elif not job.terminated and (not ending or lost) and _worth(job, reason, code):
        job.status, job.reason = "RUNNABLE", reason
    else:
        end_job(job, "FAILED", reason)


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


def run_engine(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the engine, however it ends."""
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

"""Starts the emulated AWS, talks to what dayfly has added to it, and ends it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dayfly.errors import DayflyError
from dayfly.rehearsal.certificate import Certificate, make_certificate
from dayfly.rehearsal.environment import emulator_python

ACCOUNT = "123456789012"
REGION = "us-east-1"
ROOT_KEY = "AKIADAYFLYROOT000000"
ROOT_SECRET = "rehearsal-only-never-of-use-elsewhere"  # noqa: S105 -- the emulator's own root

_EXTENSION_PARENT = Path(__file__).parent
_READY_S = 30.0
_STOP_S = 3.0
_ASK_S = 60.0


class RehearsalError(DayflyError):
    """The emulated AWS did not start, or refused what a test asked of it (not of AWS)."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Keys that the emulator accepts."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def environ(self) -> dict[str, str]:
        """As the tools of AWS read them from the environment."""
        named = {"AWS_ACCESS_KEY_ID": self.access_key_id, "AWS_SECRET_ACCESS_KEY": self.secret_access_key}
        return named | ({"AWS_SESSION_TOKEN": self.session_token} if self.session_token else {})


ROOT = Credentials(access_key_id=ROOT_KEY, secret_access_key=ROOT_SECRET)


@dataclass(frozen=True, kw_only=True)
class Emulator:
    """A running emulated AWS. Make it with `start_emulator`."""

    endpoint: str
    ca_bundle: Path
    region: str
    account: str
    log: Path
    root: Credentials = ROOT
    _process: subprocess.Popen[Any] = field(repr=False)

    def environ(self, credentials: Credentials | None = None) -> dict[str, str]:
        """What to set for tools of AWS (boto3, obstore, the AWS CLI) to reach it, as root or as another."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CA_BUNDLE": str(self.ca_bundle),
            "SSL_CERT_FILE": str(self.ca_bundle),  # for what does not know the former: obstore
            "GIT_SSL_CAINFO": str(self.ca_bundle),
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            **(credentials or self.root).environ(),
        }

    def ask(self, method: Literal["GET", "POST", "DELETE"], path: str, body: Any = None) -> Any:
        """One of the emulator's own paths (`/_dayfly/…`), which AWS does not have.

        Raises RehearsalError when it does not answer or refuses.
        """
        host, _, port = self.endpoint.removeprefix("https://").partition(":")
        context = ssl.create_default_context(cafile=str(self.ca_bundle))
        connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=_ASK_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise RehearsalError(
                "The emulated AWS does not answer.", why=f"{error!r}\n{_tail(self.log)}"
            ) from error
        finally:
            connection.close()
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise RehearsalError(
                f"The emulated AWS refused {method} {path}.", why=said.decode(errors="replace")
            )
        return json.loads(said) if said else None

    def reset(self) -> None:
        """Forget everything: resources, clock, faults, requests."""
        self.ask("POST", "/_dayfly/reset")

    def credentials_of(self, role_arn: str, *, session: str = "rehearsal") -> Credentials:
        """Credentials of a role, whoever it trusts: as an instance, the scheduler or CloudFormation has."""
        said = self.ask("POST", "/_dayfly/credentials", {"role_arn": role_arn, "session": session})
        said.pop("expiration", None)
        return Credentials(**said)

    def requests(self, **where: str) -> list[dict[str, Any]]:
        """The API calls since the start or the last `forget_requests`, oldest first.

        Each has `service`, `operation`, `caller` (an ARN), `resource`, `status`, `code` (of an error).
        `where` filters by these: `requests(service="ec2", operation="DescribeInstances")`.
        """
        said: list[dict[str, Any]] = self.ask("GET", "/_dayfly/requests")
        return [one for one in said if all(str(one[key]) == value for key, value in where.items())]

    def forget_requests(self) -> None:
        """Begin counting anew."""
        self.ask("DELETE", "/_dayfly/requests")

    def let_pass(self, seconds: float) -> None:
        """Move the emulator's clock on, and do what falls due on the way: schedules, above all."""
        self.ask("POST", "/_dayfly/clock", {"advance_s": seconds})

    def fault(  # noqa: PLR0913 -- each of these is one thing that can go wrong
        self,
        operation: str,
        *,
        kind: Literal["deny", "throttle", "fail", "delay"] = "fail",
        times: int = 1,
        code: str | None = None,
        message: str | None = None,
        status: int | None = None,
        delay_s: float = 0.0,
        after: bool = False,
    ) -> None:
        """Let the next `times` calls of an operation (`ec2:DescribeInstances`, `s3:*`) go wrong.

        `after` lets the emulator do what is asked, and loses the answer's success. A `delay` is in seconds.
        """
        body = {
            "operation": operation,
            "kind": kind,
            "times": times,
            "code": code,
            "message": message,
            "status": status,
            "delay_s": delay_s,
            "after": after,
        }
        self.ask("POST", "/_dayfly/faults", body)

    def release(self) -> None:
        """Let calls that hang by a `delay` be answered: what was not done by then is not done any more."""
        self.ask("DELETE", "/_dayfly/hanging")

    def heal(self) -> None:
        """No call goes wrong or hangs from now on; there is capacity, and quotas are what they were."""
        self.ask("DELETE", "/_dayfly/faults")

    def no_capacity(self, *, instance_type: str = "*", zone: str = "*", times: int = -1) -> None:
        """Let instances of this type in this zone find no capacity, `times` times or for ever (-1)."""
        self.ask("POST", "/_dayfly/capacity", {"instance_type": instance_type, "zone": zone, "times": times})

    def quota(self, quota_code: str, value: float) -> None:
        """Set one of EC2's quotas (`L-1216C47A`: processors of standard types), which launches respect."""
        self.ask("POST", "/_dayfly/quotas", {"quota_code": quota_code, "value": value})

    def instances(self) -> list[dict[str, Any]]:
        """The instances that are not terminated: id, type, zone, profile, user data, tags, state, options."""
        said: list[dict[str, Any]] = self.ask("GET", "/_dayfly/instances")
        return said

    def stop(self) -> None:
        """End it, and wait until it is gone."""
        _end(self._process)


@contextmanager
def start_emulator(  # noqa: PLR0913 -- all but the first two have defaults
    state: Path,
    *,
    cache: Path,
    port: int = 0,
    region: str = REGION,
    account: str = ACCOUNT,
    extra: Mapping[str, str] | None = None,
) -> Iterator[Emulator]:
    """An emulated AWS on 127.0.0.1, for as long as the block lasts; `port` 0 takes a free one.

    `state` keeps its log and certificate, `cache` the environment it runs in, which is made when it is not
    there (a minute at most, from the package index). `extra` are further environment variables of it.

    Raises MissingExtraError when it cannot be installed and RehearsalError when it does not start.
    """
    python = emulator_python(cache)
    state.mkdir(parents=True, exist_ok=True)
    # What the AWS command line's credential helper takes for CodeCommit, and libcurl for this machine.
    git_host = f"git-codecommit.{region}.amazonaws.com.localhost"
    certificate = make_certificate(state / "tls", names=("localhost", git_host))
    log = state / "emulator.log"
    with socket.create_server(("127.0.0.1", port), backlog=512) as listening:
        port = listening.getsockname()[1]
        environ = _environment(state, certificate, port, region, account) | dict(extra or {})
        with log.open("ab") as output:
            process = subprocess.Popen(
                # It ends when its standard input does: it cannot outlive us, however we end.
                [str(python), "-P", "-m", "extension", str(listening.fileno())],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=[listening.fileno()],
                cwd=state,
                start_new_session=True,
            )
    emulator = Emulator(
        endpoint=f"https://localhost:{port}",
        ca_bundle=certificate.bundle,
        region=region,
        account=account,
        log=log,
        _process=process,
    )
    try:
        emulator.ask("GET", "/_dayfly/health")
        yield emulator
    finally:
        _end(process)


def _environment(
    state: Path, certificate: Certificate, port: int, region: str, account: str
) -> dict[str, str]:
    scratch = state / "tmp"
    scratch.mkdir(exist_ok=True)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(state),
        "TMPDIR": str(scratch),
        "PYTHONPATH": str(_EXTENSION_PARENT),
        "GATEWAY_PORT": str(port),
        "MINISTACK_SSL_CERT": str(certificate.certificate),
        "MINISTACK_SSL_KEY": str(certificate.key),
        "DAYFLY_STATE": str(state),
        **api_environment(host="127.0.0.1", region=region, account=account),
    }


def api_environment(*, host: str, region: str, account: str) -> dict[str, str]:
    """How ministack is started, wherever it runs: with signatures and policies enforced, over TLS."""
    return {
        "BIND_HOST": host,
        "MINISTACK_HOST": "localhost",
        "MINISTACK_ACCOUNT_ID": account,
        "MINISTACK_REGION": region,
        "AWS_ACCESS_KEY_ID": ROOT_KEY,
        "AWS_SECRET_ACCESS_KEY": ROOT_SECRET,
        "AUTH": "true",
        "USE_SSL": "1",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "DOCKER_HOST": "unix:///nonexistent/docker.sock",  # it would sweep containers that look like its own
    }


def _end(process: subprocess.Popen[Any]) -> None:
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise


def _tail(log: Path) -> str:
    with suppress(OSError):
        return log.read_text(errors="replace")[-2000:]
    return ""


def _main() -> None:
    import argparse
    import threading

    from dayfly.runner.directories import cache_directory

    parser = argparse.ArgumentParser(prog="python -m dayfly.rehearsal.emulator", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="where its log and certificate are kept")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--region", default=REGION)
    parser.add_argument("--cache", type=Path, default=cache_directory(os.environ))
    asked = parser.parse_args()
    with (
        suppress(KeyboardInterrupt),
        start_emulator(
            asked.state.absolute(), cache=asked.cache, port=asked.port, region=asked.region
        ) as emulator,
    ):
        for name, value in emulator.environ().items():
            print(f"export {name}={value}", flush=True)  # noqa: T201 -- a program of its own, for use by hand
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        threading.Event().wait()


if __name__ == "__main__":
    _main()

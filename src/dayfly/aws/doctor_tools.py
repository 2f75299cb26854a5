"""The checks of `dayfly cloud doctor` that look at this machine: programs that some commands need."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

from dayfly.aws.doctor import Check, Finding, note, ok
from dayfly.environment.docker import Docker
from dayfly.errors import EngineError

_PLUGIN = "https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html"
_CLI = "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"


def tool_checks(environ: Mapping[str, str]) -> list[tuple[str, Check]]:
    """The checks by name. A program that is missing is a note: runs work without."""
    path = environ.get("PATH")
    return [
        ("session-manager-plugin", lambda: _program("session-manager-plugin", path, "dayfly ssh", _PLUGIN)),
        ("AWS CLI", lambda: _program("aws", path, "dayfly ssh, dayfly mirror and SSO", _CLI)),
        ("docker", lambda: _engine(environ)),
    ]


def _program(name: str, path: str | None, needed_by: str, link: str) -> Sequence[Finding]:
    label = "AWS CLI" if name == "aws" else name
    found = shutil.which(name, path=path)
    if found is None:
        return [note(label, f"not installed; needed by {needed_by}", f"Install it: {link}")]
    return [ok(label, found)]


def _engine(environ: Mapping[str, str]) -> Sequence[Finding]:
    try:
        version = Docker(environ=dict(environ)).run(["version", "--format", "{{.Server.Version}}"])
    except EngineError as error:
        mend = "Start it to build images here; without it: dayfly image build --on ec2"
        return [note("docker", error.what, mend)]
    return [ok("docker", f"engine {version.strip()}")]

"""An engine that answers what a test says it answers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dayfly.environment.docker import Docker

VERSION = {
    "Client": {"Version": "20.10.24"},
    "Server": {"Version": "20.10.24", "Os": "linux", "Arch": "amd64"},
}


@dataclass(frozen=True, kw_only=True)
class FakeDocker(Docker):
    """Knows images by tag, and keeps what it was asked."""

    environ: Mapping[str, str] = field(default_factory=dict)
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    """Exit code, standard output and error of commands that begin so."""
    asked: list[list[str]] = field(default_factory=list)
    environs: list[Mapping[str, str]] = field(default_factory=list)
    says: tuple[str, ...] = ("built",)
    code: int = 0

    def try_run(
        self, arguments: Sequence[str], *, timeout_s: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        self.asked.append(list(arguments))
        command = " ".join(arguments)
        for words, (code, out, err) in self.answers.items():
            if command.startswith(words):
                return subprocess.CompletedProcess([], code, out, err)
        if arguments[0] == "version":
            return subprocess.CompletedProcess([], 0, json.dumps(VERSION), "")
        if arguments[:2] == ["image", "inspect"]:
            found = [self.images[name] for name in arguments[2:] if name in self.images]
            return subprocess.CompletedProcess([], int(not found), json.dumps(found), "No such image")
        if arguments[:2] == ["image", "rm"]:
            return subprocess.CompletedProcess(
                [], int(self.images.pop(arguments[2], None) is None), "", "gone"
            )
        if arguments[:2] == ["image", "ls"]:
            labels = [word.removeprefix("label=") for word in arguments if word.startswith("label=")]
            ids = [one["Id"] for one in self.images.values() if all(_has(one, label) for label in labels)]
            return subprocess.CompletedProcess([], 0, "\n".join(ids), "")
        return subprocess.CompletedProcess([], 1, "", "unknown")

    def stream(
        self,
        arguments: Sequence[str],
        echo: Callable[[str], None],
        *,
        environ: Mapping[str, str] | None = None,
    ) -> int:
        self.asked.append(list(arguments))
        self.environs.append(environ or {})
        for line in self.says:
            echo(line)
        if self.code == 0:
            tag = arguments[arguments.index("--tag") + 1]
            labels = [arguments[i + 1] for i, word in enumerate(arguments) if word == "--label"]
            self.add(tag, **dict(label.split("=", 1) for label in labels))
        return self.code

    def add(self, tag: str, **labels: str) -> None:
        """An image of this tag."""
        image = {
            "Id": f"sha256:{tag}",
            "RepoTags": [tag],
            "Os": "linux",
            "Architecture": "amd64",
            "Size": 7,
            "Created": "2026-11-23T10:00:00.123456789Z",
            "Config": {"Labels": labels, "User": "me"},
        }
        self.images[tag] = self.images[image["Id"]] = image  # type: ignore[index]


def _has(image: dict[str, Any], label: str) -> bool:
    name, equals, value = label.partition("=")
    labels = image["Config"]["Labels"]
    return name in labels and (not equals or labels[name] == value)

"""What must not go to a machine that builds an image: secrets, too much, arguments that no line can hold."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from dayfly.environment.plan import ImagePlan
from dayfly.errors import ImageError
from dayfly.snapshot.detect import find_secrets
from dayfly.snapshot.names import Allowed, is_secret_name

_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LARGEST_SCANNED = 64 << 20
"""A file that is larger is data: a secret is in none of those that people write."""
_SHOWN = 5


def build_arguments(plan: ImagePlan) -> bytes:
    """The build arguments as NAME=VALUE lines. Raises ImageError for what is no line, and for secrets."""
    for name, value in plan.build_args.items():
        if not _ARGUMENT.fullmatch(name) or any(character in value for character in "\n\r\0"):
            raise ImageError(
                f"The build argument {name!r} cannot be carried to a machine.",
                why="Its name is no ARG's, or its value has several lines.",
                hint="Change the table [image.build_args] in dayfly.toml, or build here: dayfly image build",
            )
    content = "".join(f"{name}={value}\n" for name, value in sorted(plan.build_args.items())).encode()
    finding = next(find_secrets(content), None)
    if finding is not None:
        name = content.splitlines()[finding.line - 1].partition(b"=")[0].decode()
        raise ImageError(
            f"The build argument {name} looks like a secret ({finding.kind}).",
            why="It would be in the project's bucket, and in the history of the image for whoever has it.",
            hint="Let the image be built without it, for instance from packages that need no password.",
        )
    return content


def file_sizes(plan: ImagePlan) -> Iterator[tuple[str, int]]:
    """The files that there are, with their bytes; folders and links have none."""
    for name in plan.files:
        with suppress(FileNotFoundError):
            facts = (plan.context / name).lstat()
            if stat.S_ISREG(facts.st_mode):
                yield name, facts.st_size


def check_size(sizes: Mapping[str, int], limit: int) -> None:
    """Raise ImageError, with the largest files, when all have more than `limit` bytes."""
    total = sum(sizes.values())
    if total <= limit:
        return
    largest = sorted(sizes.items(), key=lambda one: -one[1])[:_SHOWN]
    shown = "\n".join(f"  {size / 1e6:,.1f} MB  {name}" for name, size in largest)
    raise ImageError(
        f"The build context would have {total / 1e6:,.1f} MB; it may have {limit / 1e6:,.1f} MB.",
        why=f"The largest of its files:\n{shown}",
        hint="Leave data out in .dockerignore, and let the notebook fetch it.",
    )


def check_secrets(plan: ImagePlan, sizes: Mapping[str, int], *, allowed: Allowed, root: Path) -> None:
    """Raise ImageError for a file that looks like a secret, by the rules of snapshots.

    `allowed` sees a path relative to `root`. The Dockerfile is looked at as well.
    """
    finding = next(find_secrets(plan.dockerfile.encode()), None)
    if finding is not None and not allowed(plan.source):
        raise _secret(
            plan.source, f"{plan.source}, line {finding.line}: this looks like a secret ({finding.kind})."
        )
    for name, size in sizes.items():
        path = plan.context / name
        shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else name
        if allowed(shown):
            continue
        if is_secret_name(shown):
            raise _secret(shown, f"{shown} looks like a secret by its name.")
        if size <= _LARGEST_SCANNED:
            finding = next(find_secrets(path.read_bytes()), None)
            if finding is not None:
                raise _secret(
                    shown, f"{shown}, line {finding.line}: this looks like a secret ({finding.kind})."
                )


def _secret(path: str, what: str) -> ImageError:
    quoted = path.replace("\\", "\\\\").replace('"', '\\"')
    return ImageError(
        what,
        why="The Dockerfile copies it, so that it would be in the project's bucket and in the image.",
        hint="Leave it out in .dockerignore; or, if it is no secret, allow it in dayfly.toml:\n"
        f'allow_secrets = ["/{quoted}"]',
    )

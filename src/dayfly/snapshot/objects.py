"""Reading many objects of a repository through one process."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from dayfly.errors import SnapshotError
from dayfly.snapshot.git import git_command


def read_blobs(
    repository: Path, oids: Sequence[str], *, environ: dict[str, str]
) -> Iterator[tuple[str, bytes]]:
    """The objects with these ids, in this order, one at a time."""
    # Git would wait for us to read while we write: the ids are in a file, not in a pipe.
    with TemporaryFile() as wanted:
        wanted.write("\n".join([*oids, ""]).encode("ascii"))
        wanted.seek(0)
        process = subprocess.Popen(
            git_command(repository, ["cat-file", "--batch", "--buffer"]),
            env=environ,
            stdin=wanted,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    with process:
        assert process.stdout is not None  # noqa: S101 -- a pipe was asked for
        try:
            for oid in oids:
                header = process.stdout.readline().split()
                if len(header) != 3:  # noqa: PLR2004 -- id, type, size; else the id and `missing`
                    raise SnapshotError(
                        f"The repository {repository} lacks the object {oid}.",
                        why="It may be damaged, or a partial clone.",
                        hint="Look with `git fsck`; a partial clone gets what it lacks with `git checkout`.",
                    )
                content = process.stdout.read(int(header[2]))
                process.stdout.read(1)
                yield oid, content
        finally:
            process.kill()

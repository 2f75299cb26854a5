"""How long a snapshot of 10,000 files takes, beside `git bundle create` of the same commit.

`python -m benchmarks.snapshots` prints medians and ratios. One file has a change; the repository is made new
in a temporary directory, once with its objects in a pack and once with each in a file.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dayfly.snapshot.bundle import write_bundle
from dayfly.snapshot.git import git_environment
from dayfly.snapshot.plan import plan_snapshot
from dayfly.snapshot.unpack import unpack_bundle

_FILES, _FOLDERS = 10_000, 100
_TARGET = 1.5
_WORDS = ["alpha", "beta", "gamma", "data", "frame", "model", "train", "import", "return", "value", "plot"]


def git(repository: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=b", "-c", "user.email=b@localhost", "-C", str(repository), *arguments]
    done = subprocess.run(command, env=git_environment(), check=True, capture_output=True, text=True)
    return done.stdout.strip()


def make_repository(place: Path, *, packed: bool = True) -> Path:
    """Text of 1 to 4 kB a file, as the sources of a project are."""
    chance = random.Random(1)
    repository = place / "repository"
    for number in range(_FILES):
        folder = repository / f"folder{number % _FOLDERS}"
        folder.mkdir(parents=True, exist_ok=True)
        lines = [" ".join(chance.choices(_WORDS, k=10)) for _ in range(chance.randint(15, 60))]
        (folder / f"file{number}.py").write_text("\n".join(lines))
    git(repository, "init", "--quiet")
    git(repository, "config", "gc.auto", "0")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "-m", "all")
    if packed:
        git(repository, "repack", "-adq")
    (repository / "folder0" / "file0.py").write_text("changed\n")
    return repository


def measure(rounds: int, work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """The median time; the first round is not counted."""
    taken = []
    for _ in range(rounds + 1):
        before()
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def show(name: str, seconds: float, base: float) -> None:
    print(f"{name:<44}{seconds * 1000:8.0f} ms{seconds / base:8.2f} times")


def compare(place: Path, rounds: int, *, packed: bool) -> None:
    repository, cache, bundle = make_repository(place, packed=packed), place / "cache", place / "x.bundle"
    out, ours, clone = place / "out", place / "g.bundle", place / "clone"

    def snapshot(*, dirty: bool) -> tuple[str, str]:
        with plan_snapshot(repository, dirty=dirty, cache=cache) as planned:
            return planned.commit, write_bundle(planned, bundle).sha256

    def create_bundle() -> None:
        git(repository, "bundle", "create", "-q", str(ours), "HEAD")

    def clone_repository() -> None:
        git(repository, "clone", "--quiet", "--no-local", str(repository), str(clone))

    def commit_and_bundle() -> None:
        stashed = git(repository, "stash", "create")
        git(repository, "update-ref", "refs/heads/stashed", stashed)
        git(repository, "bundle", "create", "-q", str(ours), "stashed")

    print(
        f"{_FILES} files, objects {'in a pack, as after git clone' if packed else 'loose, as after git add'}"
    )
    base = measure(rounds, create_bundle)
    show("git bundle create HEAD", base, base)
    show("git stash create and bundle create", measure(rounds, commit_and_bundle), base)
    cold = measure(min(rounds, 3), lambda: snapshot(dirty=True), lambda: remove(cache))
    show("snapshot, 1 file changed, cold cache", cold, base)
    show("snapshot of HEAD, warm cache", measure(rounds, lambda: snapshot(dirty=False)), base)
    warm = measure(rounds, lambda: snapshot(dirty=True))
    show("snapshot, 1 file changed, warm cache", warm, base)
    commit, digest = snapshot(dirty=True)

    def unpack() -> None:
        unpack_bundle(bundle, out, commit=commit, sha256=digest)

    show("unpack", measure(min(rounds, 3), unpack, lambda: remove(out)), base)
    show("git clone, beside it", measure(min(rounds, 3), clone_repository, lambda: remove(clone)), base)
    sizes = [file.stat().st_size / 1e6 for file in (ours, bundle)]
    print(f"bundles: git's {sizes[0]:.1f} MB, dayfly's {sizes[1]:.1f} MB")
    print(f"target: {_TARGET} times with a warm cache: {'met' if warm <= _TARGET * base else 'missed'}")
    print()


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    for packed in (True, False):
        with tempfile.TemporaryDirectory(prefix="dayfly-benchmark-") as place:
            compare(Path(place), rounds, packed=packed)


if __name__ == "__main__":
    main()

"""`python -m benchmarks.containers IMAGE`: what a container costs, beside the same run without one.

IMAGE is a base image with Python, pip and, in its Python, ipykernel. A tiny notebook is run with `--on local`
and `--on docker` by turns, from a clean commit, with the project's image present; so is `dayfly image build`
when nothing has changed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

DAYFLY = str(Path(sys.executable).parent / "dayfly")


def main() -> None:
    """Print medians in seconds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.containers", description=__doc__)
    parser.add_argument("image")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_project(Path(folder), options.image)
        commands = {
            "run --on local": ["run", "tiny.ipynb", "--quiet"],
            "run --on docker": ["run", "tiny.ipynb", "--quiet", "--on", "docker"],
            "image build, up to date": ["image", "build"],
        }
        for command in commands.values():  # builds the image, fills the caches
            seconds(command, folder)
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, command in commands.items():
                times[name].append(seconds(command, folder))
    medians = {name: statistics.median(each) for name, each in times.items()}
    for name, median in medians.items():
        print(f"{name:25} {median:6.2f} s")
    print(f"{'overhead of the container':25} {medians['run --on docker'] - medians['run --on local']:6.2f} s")


def make_project(folder: Path, image: str) -> None:
    """A repository with one notebook of one cell, committed."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(1 + 1)")])
    (folder / "tiny.ipynb").write_text(nbformat.writes(notebook))
    (folder / "dayfly.toml").write_text('[image]\nnetwork = "host"\n')
    (folder / "Dockerfile").write_text(f"FROM {image}\n")
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for command in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "-m", "tiny"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def seconds(command: list[str], folder: str) -> float:
    """How long a command takes; it succeeds."""
    began = time.perf_counter()
    subprocess.run([DAYFLY, *command], cwd=folder, env=dict(os.environ), check=True, capture_output=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

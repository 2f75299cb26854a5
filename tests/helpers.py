"""What the end-to-end tests share: a place of their own, the real command, and patience with a bound."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import nbformat
from nbformat import NotebookNode

from dayfly.runs import layout
from dayfly.runs.catalog import list_runs
from dayfly.runs.ids import is_run_id
from dayfly.runs.lock import lock_holder
from dayfly.runs.run import Run
from dayfly.runs.store import Store, open_store

NOTEBOOKS = Path(__file__).parent / "notebooks"
PROGRAMS = Path(sys.executable).parent
PATIENCE_S = 30.0
NOTHING: Mapping[str, str] = MappingProxyType({})
T = TypeVar("T")


def wait_for(look: Callable[[], T], what: str, *, within_s: float = PATIENCE_S) -> T:
    """Look until there is something, and return it; a test that waits in vain says for what."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {within_s:g} s in vain for {what}"
        time.sleep(0.02)
    return found


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its standard output as one JSON value."""
        return json.loads(self.out)

    def json_lines(self) -> list[Any]:
        """Its standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def run_id(self) -> str:
        """The run that a command without a terminal names first."""
        return next((line for line in self.err.splitlines() if is_run_id(line)), self.err)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A project of a user's, with a home and an environment in which nothing else is."""

    root: Path
    environ: Mapping[str, str]
    store: Store
    flags: tuple[str, ...] = ()
    """What `dayfly run` is given here besides."""
    directory: str = ""
    """Where notebooks run, as they see it: the project, or its place in a container."""
    sweeps: bool = False
    """Whether each run here is the one point of a sweep of its own."""
    container_of: Callable[[Run], str] = lambda run: f"dayfly-{run.run_id}"
    """What the engine knows the container of a run by, where there is one."""
    patience_s: float = PATIENCE_S
    """How long a notebook may take to begin, to end, or to be seen where it stands."""

    def cli(
        self,
        *arguments: str,
        stdin: bytes = b"",
        code: int | None = 0,
        environ: Mapping[str, str] = NOTHING,
    ) -> Done:
        """Run the real command here and expect its exit code (None: any)."""
        ended = subprocess.run(
            [str(PROGRAMS / "dayfly"), *arguments],
            cwd=self.root,
            env={**self.environ, **environ},
            input=stdin,
            capture_output=True,
            timeout=2 * self.patience_s,
            check=False,
        )
        done = Done(code=ended.returncode, out=ended.stdout.decode(), err=ended.stderr.decode())
        # A notebook's own traceback is indented; one at the margin is ours.
        ours = [line for line in done.err.splitlines() if line.startswith("Traceback (most recent")]
        assert not ours, done.err
        assert code is None or done.code == code, f"exit code {done.code}\n{done.out}\n{done.err}"
        return done

    @contextlib.contextmanager
    def started(
        self, *arguments: str, environ: Mapping[str, str] = NOTHING
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The real command while it runs, its output in pipes; it is gone at the end."""
        with subprocess.Popen(
            [str(PROGRAMS / "dayfly"), *arguments],
            cwd=self.root,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def notebook(self, name: str, folder: str = ".") -> Path:
        """A copy of one of tests/notebooks in this project."""
        target = self.root / folder / f"{name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(NOTEBOOKS / f"{name}.ipynb", target)
        return target

    def run(
        self, name: str, *options: str, code: int | None = 0, environ: Mapping[str, str] = NOTHING
    ) -> tuple[Run, Done]:
        """Run one of tests/notebooks to its end; the run, and what the command said."""
        done = self.cli(*self.submission(name), *options, code=code, environ=environ)
        return self.submitted(done.run_id), done

    def run_quiet(self, name: str, *, code: int = 0) -> tuple[Run, Done]:
        """The same with `--quiet`; the run is then the newest."""
        done = self.cli("run", str(self.notebook(name)), "--quiet", code=code)
        return self.find(list_runs(self.store, newest=1)[0].run_id), done

    @contextlib.contextmanager
    def running(
        self, name: str, *options: str, says: str, environ: Mapping[str, str] = NOTHING
    ) -> Iterator[Run]:
        """A run whose notebook has just printed `says`; at the end nothing of it runs any more."""
        done = self.cli(*self.submission(name), "--detach", "--quiet", *options, environ=environ)
        run = self.submitted(done.out.strip())
        try:
            wait_for(
                lambda: says in run.log() or run.result,
                f"{says!r} in the log of {name}",
                within_s=self.patience_s,
            )
            assert says in run.log(), run.result
            yield run
        finally:
            end_processes(run)

    def go(self, *runs: Run) -> None:
        """Make the file that the runs of `waits` wait for."""
        if self.directory == str(self.root):
            (self.root / "go").touch()
            return
        for run in runs:
            command = ["docker", "exec", self.container_of(run), "touch", f"{self.directory}/go"]
            subprocess.run(command, env=dict(self.environ), check=True, timeout=PATIENCE_S)

    def submission(self, name: str) -> tuple[str, ...]:
        """The command that runs one of tests/notebooks here; a sweep is a new one each time."""
        notebook = str(self.notebook(name))
        if not self.sweeps:
            return ("run", notebook, *self.flags)
        points = self.root.parent / "one-point.yaml"
        points.write_text("- {}\n")
        return ("sweep", notebook, "--force", "--file", str(points), *self.flags)

    def submitted(self, named: str) -> Run:
        """The run that such a command began: what it named, or the first point of that sweep."""
        return self.find(f"{named}.0" if self.sweeps else named)

    def find(self, run_id: str) -> Run:
        """The run with this id."""
        return Run(run_id, self.store)

    def show(self, run: Run) -> str:
        """What `dayfly show` tells of it."""
        return self.cli("show", run.run_id).out


def make_place(root: Path, *, store_url: str | None = None, **environ: str) -> Place:
    """A fresh project in `root`; its store is its own unless another is named."""
    for folder in ("project", "home", "tmp"):
        (root / folder).mkdir(parents=True)
    (root / "project" / "dayfly.toml").write_text(f'store = "{store_url}"\n' if store_url else "")
    clean = {
        "PATH": os.environ["PATH"],
        "HOME": str(root / "home"),
        "TMPDIR": str(root / "tmp"),
        "LANG": "C.UTF-8",
        "COLUMNS": "200",
    }
    return Place(
        root=root / "project",
        environ={**clean, **environ},
        store=open_store(store_url or root / "project" / ".dayfly"),
        directory=str(root / "project"),
    )


def run_dir_of(run: Run) -> Path:
    """Where a run in a local store lies."""
    directory = run.store.path(f"runs/{run.run_id}")
    assert directory is not None
    return directory


def notebook_processes(run: Run) -> list[int]:
    """The kernel of a run and all that it started, by what its environment bears.

    Of a kernel that was forked, Linux shows its parent's: that one is known by the log that it has open.
    """
    mark = f"DAYFLY_RUN_ID={run.run_id}".encode()
    return [
        pid
        for pid in _processes()
        if mark in _read(f"/proc/{pid}/environ").split(b"\0")
        or (b"/kernel_server.py\0" in _read(f"/proc/{pid}/cmdline") and _has_log_of(pid, run))
    ]


def runner_process(run: Run) -> int:
    """The process that executes a run in a local store."""

    def holder() -> int:
        said = (lock_holder(run_dir_of(run)) or {}).get("pid")
        return said if isinstance(said, int) else 0

    return wait_for(holder, f"the runner of {run.run_id}")


def machinery_processes(run: Run) -> list[int]:
    """The runner and keeper of a run, by their command lines; a forked runner, by its log."""
    mark = run.run_id.encode()
    return [
        pid
        for pid in _processes()
        if b"\0dayfly." in (line := _read(f"/proc/{pid}/cmdline")) and (mark in line or _has_log_of(pid, run))
    ]


def assert_nothing_runs(run: Run) -> None:
    """Nothing of the run is left: no kernel, nothing that it started, no runner."""
    # What was killed is there until the system finds the time to end it: on a machine under load, seconds.
    wait_for(
        lambda: not notebook_processes(run) and not machinery_processes(run),
        f"the end of every process of {run.run_id}",
    )


def end_processes(run: Run) -> None:
    """Kill whatever is left of a run that a test started."""
    for pid in machinery_processes(run) + notebook_processes(run):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert_nothing_runs(run)


def _processes() -> list[int]:
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and int(entry.name) != os.getpid()
    ]


def _has_log_of(pid: int, run: Run) -> bool:
    """Whether a process has the file open into which runner and kernel of the run write."""
    log = f"/{run.run_id}/{layout.RUNNER_LOG}"
    with contextlib.suppress(OSError):  # it is gone, or another's
        for each in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 -- numbers
            with contextlib.suppress(OSError):  # it was closed just now
                if str(Path(f"/proc/{pid}/fd/{each}").readlink()).endswith(log):
                    return True
    return False


def _read(path: str) -> bytes:
    """A file of /proc; empty for a process that is gone or is another's."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def read_valid(content: bytes) -> NotebookNode:
    """An executed notebook, valid by nbformat's schema."""
    notebook: NotebookNode = nbformat.reads(content.decode(), as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    return notebook


def output_of(run: Run) -> NotebookNode:
    """The executed notebook of a run; it is valid, or the test fails."""
    return read_valid(run.output_bytes())


def cell_states(notebook: NotebookNode) -> list[str]:
    """The state of each code cell, in order."""
    return [cell["metadata"]["dayfly"]["state"] for cell in notebook["cells"] if cell["cell_type"] == "code"]


def wait_for_checkpoint(run: Run, states: list[str], *, within_s: float = PATIENCE_S) -> None:
    """Wait until a run that goes on has saved its cells in these states.

    What a cell printed may be saved before its end is: a checkpoint may come between the two.
    """
    key = layout.run_key(run.run_id, layout.OUTPUT)
    wait_for(
        lambda: (saved := run.store.get(key)) is not None and cell_states(read_valid(saved)) == states,
        f"a checkpoint with cells that are {', '.join(states)}",
        within_s=within_s,
    )


def text_of(cell: NotebookNode) -> str:
    """What a cell printed."""
    return "".join(output["text"] for output in cell["outputs"] if output["output_type"] == "stream")

"""A Python of the user's that has imported ipykernel and more, and is forked for each kernel.

Run as a file by the user's Python, in whose environment there is no dayfly: the standard library and
ipykernel, nothing else. `python kernel_server.py SOCKET MODULE...` imports the modules, says on stdout if it
can serve (one line of JSON), and forks a kernel for each connection to the Unix socket, with the help of
`fork_server.py` beside it. It ends with its standard input.

What is imported here must come out as it would in a kernel's first cell. So there is what modules ask for
at import (the environment variables of a kernel, a `get_ipython` that looks like one), and a module that does
there what cannot be done before there is a kernel is found out: see `_Watch`.
"""

from __future__ import annotations

import _io
import atexit
import builtins
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

_LIKE_A_KERNEL = {
    "TERM": "xterm-color",
    "CLICOLOR": "1",
    "FORCE_COLOR": "1",
    "CLICOLOR_FORCE": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
}
"""What ipykernel's shell sets, besides MPLBACKEND."""
_LATER = (
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "ipykernel.heartbeat",
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.core.pylabtools",
    "IPython.extensions.storemagic",
    "IPython.utils.wildcard",
    "faulthandler",
    "pdb",
    "psutil",
    "sqlite3",
    "tornado.platform.asyncio",
    "tornado.queues",
    "tornado.gen",
    "encodings.idna",
)
"""What ipykernel imports while it starts and runs its first cell; where a version has it."""
_BESIDE = {
    "matplotlib.pyplot": (
        "matplotlib.backends.backend_agg",
        "PIL.BmpImagePlugin",
        "PIL.GifImagePlugin",
        "PIL.JpegImagePlugin",
        "PIL.PpmImagePlugin",
        "PIL.PngImagePlugin",
    ),
    "pandas": ("pandas.io.formats.html", "pandas.io.formats.string", "pandas.plotting._matplotlib"),
}
"""What these import themselves at their first plot or table."""


_FORK_SAFE = frozenset({"jemalloc_bg_thd"})
"""Threads whose library goes on without them in a forked process: jemalloc (pyarrow brings it, and pandas
imports that) then gives memory back by itself, as its handlers of pthread_atfork arrange."""


class RefusedError(Exception):
    """A module that must not be imported before there is a kernel."""


class _Shell:
    """What `get_ipython()` gives while modules are imported: as much of the shell as can be told."""

    kernel = object()

    def __init__(self, asked: list[str]) -> None:
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        self._asked.append(f"get_ipython().{name}")
        raise AttributeError(name)


_Shell.__name__ = _Shell.__qualname__ = "ZMQInteractiveShell"


class _Stream:
    """stdout or stderr for modules that keep it: what the kernel has in its place, once there is one."""

    def __init__(self, name: str, said: list[str]) -> None:
        self._name, self._said, self._first = name, said, getattr(sys, name)

    def write(self, text: str) -> Any:
        """Write where the kernel writes."""
        now = getattr(sys, self._name)
        if now is not self:
            return now.write(text)
        self._said.append(text)
        return self._first.write(text)

    def __getattr__(self, name: str) -> Any:
        now = getattr(sys, self._name)
        return getattr(self._first if now is self else now, name)


class _Watch:
    """Imports modules as a kernel would; raises RefusedError for one that does what only a kernel can bear.

    It starts a thread (which no fork carries along), prints (which would be missing in the notebook), or asks
    for the notebook's shell (to which it then hooks something).
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.said: list[str] = []
        self._shell = _Shell(self.asked)

    def __enter__(self) -> _Watch:  # noqa: PYI034 -- typing's Self is younger than the user's Python may be
        import IPython
        from IPython.core import getipython

        self._true, self._streams = getipython.get_ipython, (sys.stdout, sys.stderr)

        def get_ipython() -> Any:
            found = self._true()
            return self._shell if found is None else found

        IPython.get_ipython = getipython.get_ipython = get_ipython
        builtins.get_ipython = get_ipython  # type: ignore[attr-defined]
        sys.stdout, sys.stderr = (_Stream(name, self.said) for name in ("stdout", "stderr"))
        sys.ps1 = "In : "
        return self

    def __exit__(self, *_: object) -> None:
        import IPython
        from IPython.core import getipython

        IPython.get_ipython = getipython.get_ipython = self._true
        del builtins.get_ipython, sys.ps1  # type: ignore[attr-defined]
        sys.stdout, sys.stderr = self._streams

    def load(self, module: str) -> None:
        """Import a module, and see what it did."""
        try:
            importlib.import_module(module)
        finally:
            self._judge(module)
        for beside in _BESIDE.get(module, ()):
            with contextlib.suppress(ImportError):
                importlib.import_module(beside)
        self._judge(module)

    def _judge(self, module: str) -> None:
        if self.asked:
            raise RefusedError(
                f"{module} asks for the notebook's shell while it is imported ({self.asked[0]})"
            )
        if self.said:
            text = "".join(self.said).strip()[:200]
            raise RefusedError(f"{module} prints while it is imported ({text!r})")
        names = _threads()
        if names:
            raise RefusedError(f"{module} starts threads ({', '.join(names)})")


def _tasks() -> set[str]:
    return {task.name for task in Path("/proc/self/task").iterdir()}


def _threads() -> list[str]:
    """The names of the threads, beside this one, that a fork would lose.

    Some libraries (OpenBLAS) end their threads before a fork and start others when they are needed: so those
    count that are there after one.
    """
    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if names or len(_tasks()) == 1:
        return names
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    left = _tasks() - {str(os.getpid())}
    for task in sorted(left):
        with contextlib.suppress(OSError):
            names.append(Path("/proc/self/task", task, "comm").read_text().strip())
    return [name for name in names if name not in _FORK_SAFE]


def prepare(modules: list[str]) -> None:
    """Import everything; raises RefusedError and whatever a module raises."""
    for name, value in _LIKE_A_KERNEL.items():
        os.environ[name] = value
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    from ipykernel import kernelapp  # noqa: F401

    for module in _LATER:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    with _Watch() as watch:
        for module in modules:
            watch.load(module)
    with contextlib.suppress(Exception):  # what another version does not have costs each kernel some time
        _exercise()


def _exercise() -> None:
    """Do once what each kernel does first: regular expressions are compiled then, and classes compared."""
    from collections.abc import Mapping

    from ipykernel.kernelapp import IPKernelApp
    from IPython.core.completer import IPCompleter
    from IPython.core.inputtransformer2 import TransformerManager

    TransformerManager().transform_cell("1\n")  # type: ignore[no-untyped-call]
    IPKernelApp().parse_command_line(["-f", ""])  # type: ignore[no-untyped-call]
    IPCompleter(namespace={}, global_namespace={})  # type: ignore[no-untyped-call]
    for logged in ("", 0, ()):
        isinstance(logged, Mapping)


def become_kernel(request: dict[str, Any], parent: int, added: dict[str, str]) -> None:
    """In the child: be as if started for this request alone; `added` is what modules have set."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _die_with(parent)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    os.environ.clear()
    os.environ.update({**added, **request["environ"]})
    os.environ["JPY_PARENT_PID"] = str(parent)
    os.chdir(request["cwd"])
    for path, flags, descriptors in (
        (os.devnull, os.O_RDONLY, (0,)),
        (request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, (1, 2)),
    ):
        opened = os.open(path, flags, 0o666)
        for descriptor in descriptors:
            os.dup2(opened, descriptor)
        os.close(opened)
    launcher = importlib.util.find_spec("ipykernel_launcher")
    program = launcher.origin if launcher is not None else None
    sys.argv = [program or "ipykernel_launcher", *request["arguments"]]
    sys.path.extend(request["path"])
    random = sys.modules.get("numpy.random")
    if random is not None:  # the standard library's does so by itself
        random.seed()


def _die_with(parent: int) -> None:
    """Have Linux kill the kernel when the server dies: prctl(2), PR_SET_PDEATHSIG."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _load_fork_server() -> Any:
    """The module beside this file: there is no package that it could be imported from."""
    path = Path(__file__).with_name("fork_server.py")
    spec = importlib.util.spec_from_file_location("dayfly_fork_server", path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Prepare, serve, and be a kernel in each child."""
    del sys.path[0]  # ours; not the user's
    said = os.dup(1)
    os.dup2(2, 1)  # what a module prints on its own is no answer

    def answer(**message: object) -> None:
        os.write(said, json.dumps(message).encode() + b"\n")
        os.close(said)

    path, modules = sys.argv[1], sys.argv[2:]
    sys.argv = ["ipykernel_launcher"]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(128)
    before = set(os.environ)
    try:
        prepare(modules)
    except BaseException as error:  # noqa: BLE001 -- whatever a module raises is told
        kind = "refused" if isinstance(error, RefusedError) else "failed"
        why = str(error) if kind == "refused" else f"{type(error).__name__}: {error}"
        answer(**{kind: why})
        os._exit(1)  # whatever threads the module may have started
    answer(ready=os.getpid())
    own = {*before, *_LIKE_A_KERNEL, "MPLBACKEND"}
    added = {name: value for name, value in os.environ.items() if name not in own}
    gc.collect()
    gc.freeze()
    parent = os.getpid()
    server = _load_fork_server().Server(listener)
    request = server.run()
    if request is None:
        return
    server.own.close()  # a process that the notebook forks would keep it
    become_kernel(request, parent, added)
    from ipykernel.kernelapp import IPKernelApp

    app = IPKernelApp.instance(parent_handle=parent)
    app.initialize(sys.argv[1:])  # type: ignore[no-untyped-call]
    app.start()  # type: ignore[no-untyped-call]
    finish()


def finish() -> None:
    """End as the interpreter does, but for taking apart what was there before the fork.

    That would copy every page that all kernels share, for nothing: a third of a small kernel's time.
    So the exit hooks run, the notebook's names go, and files that are still open are closed.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 -- as the interpreter
        atexit._run_exitfuncs()  # noqa: SLF001
        vars(sys.modules["__main__"]).clear()
        gc.collect()
        for found in gc.get_objects():  # none of those that were frozen
            # By the classes in C: those of `io` ask whatever class there is what it takes itself for.
            if issubclass(type(found), _io._IOBase) and not issubclass(type(found), _io._RawIOBase):  # noqa: SLF001
                with contextlib.suppress(Exception):
                    found.close() if found not in (sys.stdout, sys.stderr) else found.flush()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()

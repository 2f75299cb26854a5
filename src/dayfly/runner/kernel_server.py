"""A Python of the user's that has imported ipykernel and more, and is forked for each kernel.

Run as a file by the user's Python, in whose environment there is no dayfly: the standard library and
ipykernel, nothing else. `python kernel_server.py SOCKET MODULE...` imports the modules, says on stdout whether it
can serve (one line of JSON), and listens on the Unix socket. A connection is a kernel: its request comes in,
its process id and, later, its exit code go out; when the connection ends, whatever is left of the kernel is
killed. The server itself ends with its standard input.

What is imported here must come out as it would in a kernel's first cell. So there is what modules ask for
at import (the environment variables of a kernel, a `get_ipython` that looks like one), and a module that does
there what cannot be done before there is a kernel is found out: see `_Watch`.
"""

import atexit
import builtins
import contextlib
import gc
import importlib
import importlib.util
import io
import json
import os
import select
import signal
import socket
import struct
import sys
import threading

LENGTH = struct.Struct("!I")
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
"""What these import themselves at their first plot or table. Importing is all that it does, whenever it is."""


class RefusedError(Exception):
    """A module that must not be imported before there is a kernel."""


class _Shell:
    """What `get_ipython()` gives while modules are imported: as much of the shell as can be told."""

    kernel = object()

    def __init__(self, asked):
        self._asked = asked

    def __getattr__(self, name):
        self._asked.append(f"get_ipython().{name}")
        raise AttributeError(name)


_Shell.__name__ = _Shell.__qualname__ = "ZMQInteractiveShell"


class _Stream:
    """stdout or stderr for modules that keep it: what the kernel has in its place, once there is one."""

    def __init__(self, name, said):
        self._name, self._said, self._first = name, said, getattr(sys, name)

    def write(self, text):
        now = getattr(sys, self._name)
        if now is not self:
            return now.write(text)
        self._said.append(text)
        return self._first.write(text)

    def __getattr__(self, name):
        now = getattr(sys, self._name)
        return getattr(self._first if now is self else now, name)


class _Watch:
    """Imports modules as a kernel would; raises RefusedError for one that does what only a kernel can bear.

    It starts a thread (which no fork carries along), prints (which would be missing in the notebook), or asks
    for the notebook's shell (to which it then hooks something).
    """

    def __init__(self):
        self.asked, self.said = [], []
        self._shell = _Shell(self.asked)

    def __enter__(self):
        import IPython
        from IPython.core import getipython

        self._true, self._streams = getipython.get_ipython, (sys.stdout, sys.stderr)

        def get_ipython():
            found = self._true()
            return self._shell if found is None else found

        IPython.get_ipython = getipython.get_ipython = builtins.get_ipython = get_ipython
        sys.stdout, sys.stderr = (_Stream(name, self.said) for name in ("stdout", "stderr"))
        sys.ps1 = "In : "
        return self

    def __exit__(self, *_):
        import IPython
        from IPython.core import getipython

        IPython.get_ipython = getipython.get_ipython = self._true
        del builtins.get_ipython, sys.ps1
        sys.stdout, sys.stderr = self._streams

    def load(self, module):
        importlib.import_module(module)
        for beside in _BESIDE.get(module, ()):
            with contextlib.suppress(ImportError):
                importlib.import_module(beside)
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


def _threads():
    """The names of the threads, beside this one, that a fork would lose.

    Some libraries (OpenBLAS) end their threads before a fork and start others when they are needed: so those
    count that are there after one.
    """
    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if names or len(os.listdir("/proc/self/task")) == 1:
        return names
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    left = set(os.listdir("/proc/self/task")) - {str(os.getpid())}
    for task in sorted(left):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/comm") as file:
            names.append(file.read().strip())
    return names


def prepare(modules):
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


class _Kernel:
    """A connection, and the process that it stands for once it has asked for one."""

    def __init__(self, connection):
        self.connection, self.received = connection, b""
        self.pid, self.told = None, False

    def tell(self, **message):
        with contextlib.suppress(OSError):
            self.connection.sendall(json.dumps(message).encode() + b"\n")


class Server:
    """Forks until its standard input ends and no kernel is left. `run` returns in each child with its request."""

    def __init__(self, listener, end_by=signal.SIGKILL):
        self.listener, self.kernels, self.ending, self.end_by = listener, {}, [], end_by
        self.wake, wake = os.pipe()
        for end in (self.wake, wake):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self.wake_end = wake
        self.poll = select.poll()
        for descriptor in (0, self.wake, listener.fileno()):
            self.poll.register(descriptor, select.POLLIN)
        self.wanted = True

    def run(self):
        while self.wanted or self.kernels or self.ending:
            for descriptor, _ in self.poll.poll():
                if descriptor == 0:
                    self.wanted = False
                    self.poll.unregister(0)
                elif descriptor == self.wake:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self.wake, 4096)
                    self.look()
                elif descriptor == self.listener.fileno():
                    connection, _ = self.listener.accept()
                    connection.setblocking(False)
                    self.kernels[connection.fileno()] = _Kernel(connection)
                    self.poll.register(connection, select.POLLIN)
                elif descriptor in self.kernels:
                    request = self.hear(self.kernels[descriptor])
                    if request is not None:
                        return request
        return None

    def look(self):
        """Tell who has ended. A process stays a zombie, and its number its own, until its connection ends."""
        for kernel in self.kernels.values():
            if kernel.pid is None or kernel.told:
                continue
            seen = os.waitid(os.P_PID, kernel.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if seen is not None:
                kernel.told = True
                code = seen.si_status if seen.si_code == os.CLD_EXITED else -seen.si_status
                kernel.tell(exit=code)
        self.ending = [pid for pid in self.ending if os.waitpid(pid, os.WNOHANG) == (0, 0)]

    def hear(self, kernel):
        """Take what came; in the child that is forked for a whole request, its request."""
        try:
            data = kernel.connection.recv(1 << 16)
        except BlockingIOError:  # the news was of another that had this number
            return None
        except OSError:
            data = b""
        if not data:
            self.end(kernel)
            return None
        kernel.received += data
        if kernel.pid is not None or len(kernel.received) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(kernel.received)
        if len(kernel.received) < LENGTH.size + length:
            return None
        request = json.loads(kernel.received[LENGTH.size :])
        try:
            kernel.pid = os.fork()
        except OSError as error:
            kernel.tell(error=str(error))
            return None
        if kernel.pid == 0:
            self.leave()
            return request
        kernel.tell(pid=kernel.pid)
        return None

    def leave(self):
        """In the child: nothing of the server stays open."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in self.kernels.values():
            each.connection.close()
        self.listener.close()
        os.close(self.wake)
        os.close(self.wake_end)

    def end(self, kernel):
        self.poll.unregister(kernel.connection)
        del self.kernels[kernel.connection.fileno()]
        kernel.connection.close()
        if kernel.pid is not None:
            # The process itself first: it may not have a group of its own yet.
            for kill in (os.kill, os.killpg)[: 2 if self.end_by is signal.SIGKILL else 1]:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(kernel.pid, self.end_by)
            self.ending.append(kernel.pid)
            self.look()


def become_kernel(request, parent):
    """In the child: be as if started for this request alone."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _die_with(parent)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")
    os.environ.clear()
    os.environ.update(request["environ"])
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
    sys.argv = [launcher.origin if launcher else "ipykernel_launcher", *request["arguments"]]
    random = sys.modules.get("numpy.random")
    if random is not None:  # the standard library's does so by itself
        random.seed()


def _die_with(parent):
    """Have Linux kill the kernel when the server dies: prctl(2), PR_SET_PDEATHSIG."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main():
    del sys.path[0]  # ours; not the user's
    said = os.dup(1)
    os.dup2(2, 1)  # what a module prints on its own is no answer

    def answer(**message):
        os.write(said, json.dumps(message).encode() + b"\n")
        os.close(said)

    path, modules = sys.argv[1], sys.argv[2:]
    sys.argv = ["ipykernel_launcher"]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(128)
    try:
        prepare(modules)
    except BaseException as error:
        kind = "refused" if isinstance(error, RefusedError) else "failed"
        why = str(error) if kind == "refused" else f"{type(error).__name__}: {error}"
        answer(**{kind: why})
        os._exit(1)  # whatever threads the module may have started
    answer(ready=os.getpid())
    gc.collect()
    gc.freeze()
    parent = os.getpid()
    request = Server(listener).run()
    if request is None:
        return
    become_kernel(request, parent)
    from ipykernel.kernelapp import IPKernelApp

    app = IPKernelApp.instance(parent_handle=parent)
    app.initialize(sys.argv[1:])
    app.start()
    finish()


def finish():
    """End as the interpreter does, but for taking apart what was there before the fork.

    That would copy every page that all kernels share, for nothing: half of the time that a small kernel takes.
    So the exit hooks run, the notebook's names go, and files that are still open are closed.
    """
    try:
        threading._shutdown()
        atexit._run_exitfuncs()
        vars(sys.modules["__main__"]).clear()
        gc.collect()
        for found in gc.get_objects():  # none of those that were frozen
            if isinstance(found, io.IOBase) and not isinstance(found, io.RawIOBase):
                with contextlib.suppress(Exception):
                    found.close() if found not in (sys.stdout, sys.stderr) else found.flush()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()

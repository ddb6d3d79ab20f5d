"""A worker's start, from nothing to its first line, against a bare interpreter's."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

from benchmarks.measure import Case, Ratio, ratios
from benchmarks.workers import TIMEOUT_S, launcher, succeed
from harness.runtime import process
from harness.runtime.launch import HandlerLauncher

NAME = "start"
WORDS = """\
`scripts/bench start`. A worker is ready when its first line was read; its supervisor, its
private directories and, without "no layers", its control group are made within that time. Landlock
is part of the load. All ratios are to the first row. The forked supervisor is the layout that was
not chosen, as a prototype: a long-lived launcher that has the supervisor's code imported and forks.
It would have to live as long as the tester, and its own start is the last row."""


def run(rounds: int) -> list[Ratio]:
    """Measure every case in every round."""
    with start_cases() as cases:
        return ratios(NAME, cases, rounds)


@contextmanager
def start_cases() -> Iterator[list[Case]]:
    """Give the cases of a worker's start, from nothing to its first line."""
    with ExitStack() as stack:
        auto = stack.enter_context(launcher("auto"))
        bare = stack.enter_context(launcher("process"))
        forks = ForkServer()
        stack.callback(forks.close)
        base = "python -I -S -c pass"
        yield [
            Case(base, start_python, base),
            Case("worker ready", functools.partial(start_worker, auto), base, 4.0),
            Case("load of a no-op handler", functools.partial(load_handler, auto), base),
            Case("ready, no layers", functools.partial(start_worker, bare), base),
            Case(
                "ready, no layers, forked supervisor",
                functools.partial(start_forked, bare, forks),
                base,
            ),
            Case("the launcher that forks, once", start_fork_server, base),
        ]


def start_python() -> float:
    """Time the floor: an interpreter that does nothing, from its start to its end."""
    begin = time.perf_counter()
    words = [sys.executable, "-I", "-S", "-c", "pass"]
    os.waitpid(os.posix_spawn(sys.executable, words, {}), 0)
    return time.perf_counter() - begin


def start_worker(launcher: HandlerLauncher) -> float:
    """Time a worker with its supervisor, from the order to the worker's first line."""
    begin = time.perf_counter()
    with launcher.start():
        return time.perf_counter() - begin


def load_handler(launcher: HandlerLauncher) -> float:
    """Time the import of the handler in a worker that is ready."""
    with launcher.start() as session:
        begin = time.perf_counter()
        succeed(launcher.load(session, "load"))
        return time.perf_counter() - begin


def start_forked(launcher: HandlerLauncher, forks: ForkServer) -> float:
    """Time the same as start_worker, the supervisor forked from a process that waits for it."""
    with forks.in_place_of_popen():
        return start_worker(launcher)


def start_fork_server() -> float:
    """Time the start of the process that forks, which a lone worker would have to pay as well."""
    begin = time.perf_counter()
    forks = ForkServer()
    elapsed = time.perf_counter() - begin
    forks.close()
    return elapsed


class ForkServer:
    """The other layout, as a prototype: a long-lived process that forks a supervisor a request.

    It has the supervisor's code imported. A request is one byte with the descriptors that a
    supervisor is started with; the answer is the process id.
    """

    CODE = """
import os, socket, sys
import _signal as signal
sys.argv = sys.argv[1:]
spec = {"__name__": "bootstrap", "__file__": sys.argv[0]}
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"), spec)
supervisor = spec["load"]("supervisor")
channel = socket.socket(fileno=int(sys.argv[1]))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
channel.send(b"!")
while True:
    _, given, _, _ = socket.recv_fds(channel, 1, 6)
    if not given:
        break
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        channel.close()
        os.setsid()
        for number, descriptor in enumerate(given[:3]):
            os.dup2(descriptor, number)
            os.close(descriptor)
        try:
            supervisor.main(given[3:])
        finally:
            os._exit(0)
    for descriptor in given:
        os.close(descriptor)
    channel.send(b"%d" % pid)
"""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            words = [sys.executable, "-I", "-S", "-c", self.CODE, process.CHILD]
            self._process = subprocess.Popen(
                [*words, str(theirs.fileno())], pass_fds=[theirs.fileno()], env={}, cwd="/"
            )
        self._channel.recv(1)

    def close(self) -> None:
        """End the process."""
        self._channel.close()
        self._process.wait(TIMEOUT_S)

    @contextmanager
    def in_place_of_popen(self) -> Iterator[None]:
        """Let the runtime start supervisors here; all else of it stays as it is."""
        stand_in = SimpleNamespace(Popen=self.popen, TimeoutExpired=subprocess.TimeoutExpired)
        with mock.patch.object(process, "subprocess", stand_in):
            yield

    def popen(self, _: list[str], **given: Any) -> Forked:
        """Start a supervisor with the descriptors that subprocess.Popen would be given."""
        standard = [given["stdin"], given["stdout"], given["stderr"]]
        socket.send_fds(self._channel, [b"+"], [*standard, *given["pass_fds"]])
        return Forked(int(self._channel.recv(16)))


class Forked:
    """A forked supervisor, with what the runtime asks of a Popen."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._pidfd = -1

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its status is its parent's to know."""
        if self._pidfd >= 0:
            select.select([self._pidfd], [], [], timeout)
            os.close(self._pidfd)
            self._pidfd = -1
        return 0

    def kill(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

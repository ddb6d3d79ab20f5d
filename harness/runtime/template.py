"""One template process: started, warmed, asked to fork. Its other half is `worker.template`.

The tester trusts it no more than any other child: what it sends is read strictly and bounded, and
it is given a time to answer.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import worker.protocol as protocol
from harness import stop
from harness.runtime import strays, wire
from harness.runtime.process import CHILD

FORK_WAIT_S = 20.0
LEAVE_WAIT_S = 2.0
LOOK_S = 0.1


class Unusable(Exception):
    """No worker can be forked here; the text says why."""


class Forking(Protocol):
    """What the start of a worker needs of a template."""

    spawns: bool
    warmed: protocol.Warmed

    def fork(self, descriptors: Sequence[int]) -> "Forked":
        """Fork a supervisor that gets these descriptors, in this order. Raises Unusable."""

    def sweep(self) -> int:
        """End what a supervisor that was killed has left behind; count it."""

    def end(self, why: str) -> None:
        """End it for a reason. Supervisors that were forked of it go on."""


class Template:
    """A process that has imported some modules, from which supervisors are forked."""

    def __init__(
        self,
        executable: str,
        variables: Mapping[str, str],
        modules: Sequence[str],
        directory: Path,
        timeout_s: float,
        *,
        spawns: bool = False,
    ) -> None:
        """Start it, and wait until it has imported the modules. Raises Unusable.

        `directory` is its own, with its HOME and TMPDIR. With `spawns` its supervisors start fresh
        workers.
        """
        self.spawns = spawns
        self.why_ended = "its template ended by itself"
        self._directory = str(directory)
        self._lock = threading.Lock()
        self._ending = threading.Lock()
        self._pidfd = -1
        self._lines = wire.LineReader(protocol.LINE_OVERHEAD_BYTES)
        try:
            self._channel, their_end = socket.socketpair()
            with their_end:
                self._popen = _start(executable, variables, directory, their_end)
        except OSError as error:
            raise Unusable(f"the template could not be started: {error}") from None
        try:
            self._pidfd = os.pidfd_open(self._popen.pid)
            order = protocol.Preload(modules=list(modules), directory=str(directory), spawns=spawns)
            self._channel.sendall(wire.encode(order))
            answer = self._answer(timeout_s, heeding=stop.descriptor())
            if not isinstance(answer, protocol.Warmed):
                raise Unusable("the template did not say what it imported")
        except BaseException as error:  # what it imports may take for ever
            self._kill()
            strays.kill(strays.found([self._directory]))
            if isinstance(error, OSError):
                raise Unusable(str(error)) from None
            raise
        self.warmed = answer

    def fork(self, descriptors: Sequence[int]) -> "Forked":
        """Fork a supervisor that gets these descriptors, in this order. Raises Unusable."""
        with self._lock:
            line = wire.encode(protocol.Fork())
            try:
                socket.send_fds(self._channel, [line], descriptors)
            except OSError:
                self.close()
                raise Unusable("the template is gone") from None
            answer = self._answer_or_close()
            if isinstance(answer, protocol.Declined):
                self.end(answer.reason)
                raise Unusable(answer.reason)
            if not isinstance(answer, protocol.Forked):
                self.end("the template answered something else")
                raise Unusable(self.why_ended)
            # It collects ended children at the next order only, so the id is still this child's.
            try:
                forked = Forked(answer.pid, os.pidfd_open(answer.pid))
            except OSError:
                raise Unusable("the template named a process that is not there") from None
            with contextlib.suppress(OSError):
                forked.send_signal(signal.SIGCONT)  # a handler may have stopped who waited
            return forked

    def sweep(self) -> int:
        """End what a supervisor that was killed has left behind; count it."""
        with self._lock:
            try:
                self._channel.sendall(wire.encode(protocol.Sweep()))
                answer = self._answer_or_close()
            except (OSError, Unusable):
                return 0  # it is gone as well
            return answer.processes if isinstance(answer, protocol.Swept) else 0

    @property
    def running(self) -> bool:
        """Whether the process is there. One that has ended keeps its id until `close`."""
        with self._ending:
            return self._pidfd >= 0 and not _has_ended(self._pidfd, 0.0)

    def end(self, why: str) -> None:
        """End it for a reason, which `why_ended` tells from then on."""
        self.why_ended = why
        self.close()

    def close(self) -> None:
        """End it. Supervisors that were forked of it go on."""
        self._channel.close()
        with self._ending:
            limit = time.monotonic() + LEAVE_WAIT_S
            while self._pidfd >= 0 and time.monotonic() < limit:
                with contextlib.suppress(OSError):  # a handler may have stopped it
                    signal.pidfd_send_signal(self._pidfd, signal.SIGCONT)
                if _has_ended(self._pidfd, LOOK_S):
                    break
            self._collect()

    def _kill(self) -> None:
        """End it at once."""
        self._channel.close()
        with self._ending:
            self._collect()

    def _collect(self) -> None:
        """End what is left of it and of its process group, which an import may have added to.

        Until it is collected, its id is its own, and that of the group.
        """
        with contextlib.suppress(OSError):  # it was collected before
            os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _answer_or_close(self) -> wire.TemplateReport:
        """Wait for a line; end it when none comes: a late one would be taken for the next."""
        try:
            return self._answer(FORK_WAIT_S)
        except Unusable as error:
            self.end(str(error))
            raise
        except BaseException:
            self.close()
            raise

    def _answer(self, timeout_s: float, heeding: int | None = None) -> wire.TemplateReport:
        """Wait for a line of it. Raises Unusable, and KeyboardInterrupt for what is heeded."""
        deadline = time.monotonic() + timeout_s
        poll = select.poll()
        try:
            poll.register(self._channel, select.POLLIN)
            if heeding is not None:
                poll.register(heeding, select.POLLIN)
            while (line := self._lines.next_line()) is None:
                ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
                if not ready:
                    raise Unusable(f"the template did not answer in {timeout_s:g} s")
                if any(descriptor == heeding for descriptor, _ in ready):
                    raise KeyboardInterrupt
                data = self._channel.recv(65_536)
                if not data:
                    raise Unusable("the template ended")
                self._lines.feed(data)
            return wire.decode_template_report(line)
        except (OSError, ValueError, wire.Violation) as error:
            # A ValueError: another thread, for which it did not answer, has closed the channel.
            raise Unusable(f"the template: {error}") from None


class Forked:
    """A supervisor that the template forked: what WorkerProcess needs of a Popen."""

    def __init__(self, pid: int, descriptor: int) -> None:
        """Own the descriptor, which is a pidfd."""
        self.pid = pid
        self.descriptor = descriptor
        self._has_ended = False

    def send_signal(self, number: int) -> None:
        """Send it a signal. Raises OSError when it is gone."""
        if self._has_ended:
            raise ProcessLookupError
        signal.pidfd_send_signal(self.descriptor, number)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its status is the template's to know. Raises TimeoutExpired."""
        if self._has_ended:
            return 0
        if not _has_ended(self.descriptor, timeout):
            raise subprocess.TimeoutExpired("supervisor", timeout or 0.0)
        self._has_ended = True
        self.let_go()
        return 0

    def let_go(self) -> None:
        """Close the descriptor: it is somebody else's to watch, or has ended."""
        os.close(self.descriptor)

    def kill(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self.send_signal(signal.SIGKILL)


def _has_ended(pidfd: int, wait_s: float | None) -> bool:
    """Wait so long for the end of a process, None for ever; say whether it has come."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(None if wait_s is None else wait_s * 1000))


def _start(
    executable: str, variables: Mapping[str, str], directory: Path, channel: socket.socket
) -> subprocess.Popen[bytes]:
    """Start the program, with pipes as standard streams, as a worker has them. Raises OSError."""
    private = {"HOME": str(directory / "home"), "TMPDIR": str(directory / "tmp")}
    for path in private.values():
        os.mkdir(path)
    with contextlib.ExitStack() as own:

        def owned(*descriptors: int) -> tuple[int, ...]:
            for descriptor in descriptors:
                own.callback(os.close, descriptor)
            return descriptors

        (tester,) = owned(os.pidfd_open(os.getpid()))
        no_input, input_end = os.pipe()
        os.close(input_end)
        owned(no_input)
        output, output_end = owned(*os.pipe())
        given = (channel.fileno(), tester, output)
        return subprocess.Popen(
            [executable, "-s", "-S", CHILD, "template", *map(str, given)],
            stdin=no_input,
            stdout=output_end,
            stderr=output_end,
            pass_fds=given,
            start_new_session=True,
            env={**variables, **private},
            cwd="/",
        )

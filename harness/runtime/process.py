"""One supervisor and its worker as operating system objects: pipes, start, orders, the last net.

The supervisor's own half is `worker.supervisor`. Which of two layouts is cheaper, a supervisor per
worker or a launcher that forks them, was measured: docs/decisions/0101-supervisor.md.
"""

import contextlib
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING

import psutil

import worker.protocol as protocol
from harness.errors import WorkerError
from harness.runtime import cgroups, strays, wire
from harness.runtime.bodies import Bodies
from harness.runtime.files import nameless
from harness.runtime.stacks import StackFile

if TYPE_CHECKING:  # a template is started with what is here
    from harness.runtime.template import Forked, Forking

CHILD = str(Path(protocol.__file__).with_name("__main__.py"))
LATEST = 2**62
READ_BYTES = 65_536  # what a pipe holds
LAST_WAIT_S = 15.0  # a supervisor gives up after 10 s
ENDING_WAIT_S = 1.0  # from the end of its report to its own
_INSTANT = Struct("=q")  # nanoseconds


class WorkerProcess:
    """The pipes of one worker and the supervisor that owns it.

    requests, replies and log belong to the worker's channel; control and report to the supervisor.
    All five descriptors are this process's ends, non-blocking; close() gives everything back.
    """

    def __init__(
        self,
        order: protocol.Start,
        *,
        mark: str,
        prefix: Sequence[str] = (),
        group: cgroups.Group | None = None,
        template: "Forking | None" = None,
    ) -> None:
        """Start a supervisor, below `prefix` or by a template, and hand it its order.

        `mark` is in variables of this worker's processes alone: by it they are known as its.
        Raises WorkerError when it cannot start, Unusable when the template does not fork.
        """
        self._open: list[int] = []
        self._mark = mark
        self._prefix = prefix
        self._template = template
        self.group = group
        with ExitStack() as undo:
            try:
                self.bodies = Bodies()
                undo.callback(self.bodies.close)
                self.stacks = StackFile()
            except OSError as error:
                raise WorkerError(f"there is no room for a worker's files: {error}") from error
            undo.pop_all()
        self._files = [*self.bodies.given, self.stacks.descriptor]
        try:
            self._start(order)
        except OSError as error:
            self.close()
            raise WorkerError(f"the supervisor could not be started: {error}") from error
        except BaseException:
            self.close()
            raise

    def _start(self, order: protocol.Start) -> None:
        request_end, self.requests = self._pipe()
        self.replies, reply_end = self._pipe()
        self.log, log_end = self._pipe()
        control_end, self.control = self._pipe()
        self.report, report_end = self._pipe()
        self._deadline = self._own(nameless("deadline", 8))
        self._instant = mmap.mmap(self._deadline, 8)
        groups, homes = self._group_descriptors()
        theirs = (request_end, reply_end, log_end, control_end, report_end, *groups, *homes)
        streams, given = (request_end, reply_end, log_end), (control_end, report_end)
        self._popen: subprocess.Popen[bytes] | Forked
        if self._template is not None:
            self._popen = self._template.fork(
                [*streams, *self._files, *given, self._deadline, *groups, *homes]
            )
        else:
            self._popen = self._spawn(streams, (*given, self._deadline, *groups, *homes))
        for descriptor in theirs:
            self._close_one(descriptor)
        order = replace(order, cgroup_fds=groups, home_fds=homes, file_fds=self._files)
        write_all(self.control, wire.encode(order))
        for descriptor in (self.requests, self.replies, self.log, self.control, self.report):
            os.set_blocking(descriptor, False)

    def _spawn(
        self, streams: tuple[int, int, int], given: tuple[int, ...]
    ) -> "subprocess.Popen[bytes]":
        named = map(str, given[:3])  # the others are named in the order
        return subprocess.Popen(
            [*self._prefix, sys.executable, "-I", "-S", CHILD, "supervise", *named],
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            pass_fds=(*given, *self._files),
            start_new_session=True,
            env={},
            cwd="/",
        )

    def set_deadline(self, instant: float) -> None:
        """Tell the supervisor when it ends the tree if this process does not; 0.0 for never.

        `instant` is of time.monotonic. It costs no message: both have the file open.
        """
        _INSTANT.pack_into(self._instant, 0, int(min(instant * 1e9, LATEST)))

    def dump(self) -> None:
        """Order the worker's stacks to be written to its stack file."""
        self._tell(protocol.Dump())

    def kill(self) -> None:
        """Order the end of the whole tree; the supervisor answers with Ended."""
        self._tell(protocol.Kill())

    def _tell(self, order: protocol.Dump | protocol.Kill) -> None:
        """Give the supervisor an order, and let it go on where the handler has stopped it."""
        with contextlib.suppress(OSError):
            os.write(self.control, wire.encode(order))
            self._popen.send_signal(signal.SIGCONT)

    def hang_up(self) -> None:
        """Close the requests: an idle worker runs its exit handlers and leaves."""
        self._close_one(self.requests)

    def close(self) -> int | None:
        """Give back every descriptor and wait for the supervisor; give its exit status."""
        for descriptor in list(self._open):
            self._close_one(descriptor)
        self.bodies.close()
        self.stacks.close()
        if hasattr(self, "_instant"):
            self._instant.close()
        status = self._wait(LAST_WAIT_S)
        if self.group is not None:
            self.group.remove()
        return status

    def _wait(self, seconds: float) -> int | None:
        """Wait so long for the supervisor's end, then make it; give its exit status."""
        popen = getattr(self, "_popen", None)
        if popen is None:
            return None
        try:
            return int(popen.wait(seconds))
        except subprocess.TimeoutExpired:
            popen.kill()
            return int(popen.wait())

    def sweep(self, worker_pid: int | None) -> int:
        """Kill what is left of the tree after its supervisor was killed; count it.

        The second net, for a handler that ends its supervisor: processes of the worker's session,
        and those that still have its mark in their environment. In a sandbox the kernel has ended
        them all with the supervisor.
        """
        self._wait(ENDING_WAIT_S)  # until it has ended, its orphans are its own, not the template's
        if self.group is not None:
            self.group.kill()
        swept = self._template.sweep() if self._template is not None else 0
        left = [process for process in psutil.process_iter() if self._is_ours(process, worker_pid)]
        strays.kill(left)
        psutil.wait_procs(left, timeout=LAST_WAIT_S)
        return swept + len(left)

    def _is_ours(self, process: psutil.Process, worker_pid: int | None) -> bool:
        if self._prefix:
            return False  # the worker's id is one of its own namespace
        with contextlib.suppress(OSError):
            if worker_pid is not None and os.getsid(process.pid) == worker_pid:
                return True
        return strays.has(process, [self._mark])

    def _group_descriptors(self) -> tuple[list[int], list[int]]:
        """Open the ways into the group, and those out of it for a supervisor that spawns there."""
        if self.group is None:
            return [], []
        spawned = self._template is None or self._template.spawns
        homes = self.group.home_files() if spawned else []
        return self._opened(self.group.join_files()), self._opened(homes)

    def _opened(self, paths: list[str]) -> list[int]:
        return [self._own(os.open(path, os.O_WRONLY | os.O_CLOEXEC)) for path in paths]

    def _own(self, descriptor: int) -> int:
        self._open.append(descriptor)
        return descriptor

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open += ends
        return ends

    def _close_one(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._open.remove(descriptor)
            os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte to a blocking descriptor."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_available(descriptor: int) -> bytes | None:
    """Read once from a non-blocking descriptor: None when nothing has come, b"" at its end."""
    try:
        return os.read(descriptor, READ_BYTES)
    except BlockingIOError:
        return None

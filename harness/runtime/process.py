"""One supervisor and its worker as operating system objects: pipes, start, orders, the last net.

The supervisor's own half is `worker.supervisor`. Which of two layouts is cheaper, a supervisor per
worker or a launcher that forks them, was measured: docs/decisions/0101-supervisor.md.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

import worker.protocol as protocol
from harness.errors import WorkerError
from harness.runtime import wire

CHILD = str(Path(protocol.__file__).with_name("__main__.py"))
LAST_WAIT_S = 15.0  # a supervisor gives up after 10 s


class WorkerProcess:
    """The pipes of one worker and the supervisor that owns it.

    requests, replies and log belong to the worker's channel; control and report to the supervisor.
    All five descriptors are this process's ends, non-blocking; close() gives everything back.
    """

    def __init__(self, order: protocol.Start) -> None:
        """Start a supervisor and hand it its order. Raises WorkerError when it cannot start."""
        self._open: list[int] = []
        self._home = order.environ.get("HOME", "")
        try:
            self._start(order)
        except OSError as error:
            self.close()
            raise WorkerError(f"the supervisor could not be started: {error}") from error

    def _start(self, order: protocol.Start) -> None:
        request_end, self.requests = self._pipe()
        self.replies, reply_end = self._pipe()
        self.log, log_end = self._pipe()
        control_end, self.control = self._pipe()
        self.report, report_end = self._pipe()
        theirs = (request_end, reply_end, log_end, control_end, report_end)
        self._popen = subprocess.Popen(
            [sys.executable, "-I", "-S", CHILD, "supervise", str(control_end), str(report_end)],
            stdin=request_end,
            stdout=reply_end,
            stderr=log_end,
            pass_fds=(control_end, report_end),
            start_new_session=True,
            env={},
            cwd="/",
        )
        for descriptor in theirs:
            self._close_one(descriptor)
        write_all(self.control, wire.encode(order))
        for descriptor in self._open:
            os.set_blocking(descriptor, False)

    def kill(self) -> None:
        """Order the end of the whole tree; the supervisor answers with Ended."""
        with contextlib.suppress(OSError):
            os.write(self.control, wire.encode(protocol.Kill()))

    def hang_up(self) -> None:
        """Close the requests: an idle worker runs its exit handlers and leaves."""
        self._close_one(self.requests)

    def close(self) -> int | None:
        """Give back every descriptor and wait for the supervisor; give its exit status."""
        for descriptor in list(self._open):
            self._close_one(descriptor)
        popen = getattr(self, "_popen", None)
        if popen is None:
            return None
        try:
            status: int | None = popen.wait(LAST_WAIT_S)
        except subprocess.TimeoutExpired:
            popen.kill()
            status = popen.wait()
        return status

    def sweep(self, worker_pid: int | None) -> int:
        """Kill what is left of the tree after its supervisor was killed; count it.

        The second net, for a handler that ends its supervisor: processes of the worker's session,
        and those that still have the worker's private HOME in their environment.
        """
        left = [process for process in psutil.process_iter() if self._is_ours(process, worker_pid)]
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=LAST_WAIT_S)
        return len(left)

    def _is_ours(self, process: psutil.Process, worker_pid: int | None) -> bool:
        with contextlib.suppress(psutil.Error, OSError):
            if worker_pid is not None and os.getsid(process.pid) == worker_pid:
                return True
            return bool(self._home) and process.environ().get("HOME") == self._home
        return False

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


def read_available(descriptor: int) -> Iterator[bytes]:
    """Read a non-blocking descriptor until it would block; an empty piece means its end."""
    while True:
        try:
            data = os.read(descriptor, 1 << 20)
        except BlockingIOError:
            return
        yield data
        if not data:
            return

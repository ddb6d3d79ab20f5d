"""A worker's pipes: what has come out of them, and what still has to go in.

Nothing here waits but `poll`, and nothing judges: a session decides how long, and what it means.
"""

import os
import select

import worker.protocol as protocol
from harness import stop
from harness.runtime import wire
from harness.runtime.log import LogCapture
from harness.runtime.process import WorkerProcess, read_available


class Pipes:
    """The ends of one worker's pipes, read within caps: replies, log and the supervisor's report.

    `ended` is the supervisor's last report; `sampled_bytes` the most memory that it has seen since
    that was set to 0; `log` what was printed and not taken yet.
    """

    def __init__(
        self, process: WorkerProcess, *, max_reply_bytes: int, max_output_bytes: int
    ) -> None:
        self._process = process
        self._max_output = max_output_bytes
        self._lines = wire.LineReader(max_reply_bytes)
        self._reports = wire.LineReader(protocol.LINE_OVERHEAD_BYTES)
        self._unsent = memoryview(b"")
        self._poll = select.poll()
        for descriptor in (process.replies, process.log, process.report):  # the order of `poll`
            self._poll.register(descriptor, select.POLLIN)
        self._open = {process.replies, process.log, process.report}
        self._stop = stop.descriptor()
        if self._stop is not None:
            self._poll.register(self._stop, select.POLLIN)
        self.log = LogCapture()
        self.ended: protocol.Ended | protocol.NotStarted | None = None
        self.worker_pid: int | None = None
        self.subreaper = False
        self.sampled_bytes = 0

    @property
    def is_over(self) -> bool:
        """Whether the supervisor has told the end, or is gone without a word."""
        return self.ended is not None or self._process.report not in self._open

    @property
    def has_hung_up(self) -> bool:
        """Whether the worker has closed its end of the replies."""
        return self._process.replies not in self._open

    @property
    def is_flooded(self) -> bool:
        """Whether more was printed than may be."""
        return self.log.total_bytes > self._max_output

    @property
    def pending(self) -> bytes:
        """The beginning of what came as a reply and was not taken."""
        return self._lines.pending

    def next_line(self) -> bytes | None:
        """Take the oldest reply that came whole."""
        return self._lines.next_line()

    def new_log(self) -> None:
        """Begin with an empty log."""
        self.log = LogCapture()

    # ------------------------------------------------------------ in

    def write(self, data: bytes = b"") -> None:
        """Write what the pipe takes of what is left and of this; wait only while there is some.

        The worker may answer while some of a call that follows is left. It has to get that whole
        all the same, if only to pass over it.
        """
        rest = self._unsent
        if data:
            rest = memoryview(rest.tobytes() + data if rest else data)
        try:
            while rest:
                rest = rest[os.write(self._process.requests, rest) :]
        except BlockingIOError:
            if not self._unsent:
                self._poll.register(self._process.requests, select.POLLOUT)
            self._unsent = rest
            return
        except BrokenPipeError:  # the worker is gone: its ending says how
            pass
        self.stop_writing()

    def stop_writing(self) -> None:
        """Leave what the pipe has not taken."""
        if self._unsent:
            self._poll.unregister(self._process.requests)
            self._unsent = memoryview(b"")

    # ------------------------------------------------------------ out

    def poll(self, wait_ms: float) -> list[tuple[int, int]]:
        """Wait until something can be done on a descriptor; replies come before the log."""
        return self._poll.poll(wait_ms)

    def is_stop(self, descriptor: int) -> bool:
        """Say whether this is what asks to stop; it stays so."""
        return descriptor == self._stop

    def read(self, descriptor: int) -> bool:
        """Take once what has come on a descriptor; say whether anything came. Raises Violation."""
        data = read_available(descriptor)
        if data is None:
            return False
        if not data:
            self.leave(descriptor)
        elif descriptor == self._process.replies:
            self._lines.feed(data)
        elif descriptor == self._process.log:
            self.log.add(data)
        else:
            self._reports.feed(data)
            self._take_reports()
        return bool(data)

    def drain(self, descriptor: int) -> None:
        """Take all that has come on a descriptor, as far as the limits let it. Raises Violation."""
        while descriptor in self._open and not self.is_flooded:
            if not self.read(descriptor):
                return

    def drop_or_read(self, descriptor: int) -> None:
        """Take what has come once the worker is given up: its replies are of no use any more."""
        if descriptor != self._process.replies:
            self.read(descriptor)
        elif read_available(descriptor) == b"":
            self.leave(descriptor)

    def leave(self, descriptor: int) -> None:
        """Wait for nothing more on a descriptor."""
        self._open.discard(descriptor)
        self._poll.unregister(descriptor)

    def _take_reports(self) -> None:
        while (line := self._reports.next_line()) is not None:
            report = wire.decode_report(line)
            if isinstance(report, protocol.Sample):
                self.sampled_bytes = max(self.sampled_bytes, report.memory_bytes)
            elif isinstance(report, protocol.Started):
                self.worker_pid, self.subreaper = report.pid, report.subreaper
            else:
                self.ended = report
                self.drain(self._process.replies)
                self.drain(self._process.log)

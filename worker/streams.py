"""The worker's descriptors: the channel is moved away before any code of the handler can run.

Afterwards 0 is /dev/null and 1 is the log (2): whatever the handler prints, by whatever means, goes
to the log, and what it reads from standard input is at its end. The other half is
`harness.runtime.session`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


import fcntl
import os

from . import codec, libc
from .protocol import (
    BODIES_FD,
    EXIT_CHANNEL_LOST,
    FILES,
    LIST_FD,
    LOG_FD,
    MARK_FD,
    REPLIES_FD,
    REQUESTS_FD,
    RESPONSES_FD,
)

READ_BYTES = 65_536  # what a pipe holds
FIONREAD = 0x541B  # of Linux: how many bytes a pipe holds that nobody has read
_NOTHING = bytes(4)
_OURS = (REQUESTS_FD, REPLIES_FD, BODIES_FD, RESPONSES_FD, MARK_FD, LIST_FD, LOG_FD)


class Channel:
    """Requests in, replies out, one JSON line each. Only the process that made it may use it."""

    def __init__(self) -> None:
        os.dup2(0, REQUESTS_FD, inheritable=False)
        os.dup2(1, REPLIES_FD, inheritable=False)
        os.dup2(2, LOG_FD, inheritable=False)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        if nothing > 2:
            os.close(nothing)
        for descriptor in FILES:
            try:
                os.set_inheritable(descriptor, False)
            except OSError:  # a tester that gave none
                pass
        self._pid = os.getpid()
        self._pending = b""
        os.register_at_fork(after_in_child=self._disown)

    def receive(self) -> Any:
        """Wait for the next request; None when the tester has closed the channel."""
        self._check_owner()  # a request to forget values has no reply, and runs their __del__
        parts = [self._pending]
        while b"\n" not in parts[-1]:
            try:
                part = os.read(REQUESTS_FD, READ_BYTES)
            except OSError:
                os._exit(EXIT_CHANNEL_LOST)
            if not part:
                return None
            parts.append(part)
        line, _, self._pending = b"".join(parts).partition(b"\n")
        return codec.decode(line)

    def send(self, record: object) -> None:
        """Write one reply, or leave: a worker that cannot answer is of no use."""
        self._check_owner()
        rest = memoryview(codec.encode(record))
        try:
            while rest:
                rest = rest[os.write(REPLIES_FD, rest) :]
        except OSError:
            os._exit(EXIT_CHANNEL_LOST)

    def _check_owner(self) -> None:
        """End a forked copy of this process that came back into our code."""
        if os.getpid() != self._pid:
            os._exit(0)

    def _disown(self) -> None:
        """Close the channel in a forked copy, so that it can neither answer nor hold it open."""
        for descriptor in _OURS:
            try:
                os.close(descriptor)
            except OSError:
                pass


def log_is_read() -> bool:
    """Say whether the tester has read all that was written to the log."""
    try:
        return fcntl.ioctl(LOG_FD, FIONREAD, _NOTHING) == _NOTHING
    except OSError:  # it cannot be told
        return False


def flush(streams: Any) -> None:
    """Write out what Python and C code left in their buffers."""
    for stream in streams:
        try:
            stream.flush()
        except BaseException:  # a stream that the handler closed or replaced
            pass
    libc.flush_stdio()

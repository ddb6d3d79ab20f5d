"""Objects and descriptors between a process of ours and its own fork, which trust each other.

Nothing of a worker goes over it as it came: what a worker sends is validated by `wire` before.
"""

import os
import pickle
import socket
from collections.abc import Sequence
from struct import Struct
from typing import Any

MAX_DESCRIPTORS = 32
CHUNK_BYTES = 1 << 20
_HEAD = Struct("=QI")  # bytes that follow, descriptors that come with them


class Channel:
    """One end. What is sent first is received first."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """Send an object, and descriptors. Raises EOFError when the other end is gone."""
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        try:
            head = _HEAD.pack(len(data), len(descriptors))
            socket.send_fds(self._end, [head], descriptors)
            self._end.sendall(data)
        except OSError:
            raise EOFError from None

    def receive(self) -> tuple[Any, list[int]]:
        """Wait for an object and its descriptors. Raises EOFError when the other end is gone."""
        try:
            head, descriptors, _, _ = socket.recv_fds(
                self._end, _HEAD.size, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
            size, count = _HEAD.unpack(head) if head else (0, 0)
            data = self._exactly(size)
        except OSError:
            raise EOFError from None
        if not data or len(descriptors) != count:  # there is no room for more of them here
            close_all(descriptors)
            raise EOFError
        return pickle.loads(data), descriptors

    def close(self) -> None:
        """Let go of this end; the other one then meets EOFError."""
        self._end.close()

    def _exactly(self, count: int) -> bytes:
        """Receive so many bytes; none when the other end is gone before."""
        parts = []
        while count:
            part = self._end.recv(min(count, CHUNK_BYTES))
            if not part:
                return b""
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors that were received."""
    for descriptor in descriptors:
        os.close(descriptor)

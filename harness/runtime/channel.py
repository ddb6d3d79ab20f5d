"""Objects and descriptors between a process of ours and its own fork, which trust each other.

Nothing of a worker goes over it as it came: what a worker sends is validated by `wire` before.
"""

import contextlib
import gc
import os
import pickle
import socket
from array import array
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, TypeVar

MAX_DESCRIPTORS = 32
CHUNK_BYTES = 1 << 20
_HEAD = Struct("=QI")  # bytes that follow, descriptors that come with them
_T = TypeVar("_T")
_SPACE = socket.CMSG_LEN(4 * MAX_DESCRIPTORS)


class NoRoom(Exception):
    """A message came without all its descriptors: this process can have no more of them."""


class Channel:
    """One end. What is sent first is received first."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._rouse: Callable[[], None] = lambda: None

    def rouse_by(self, rouse: Callable[[], None], each_s: float) -> None:
        """Call this whenever the other end has sent nothing, or taken nothing, for so long."""
        self._rouse = rouse
        self._end.settimeout(each_s)

    def send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """Send an object, and descriptors. Raises EOFError when the other end is gone."""
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        try:
            head = _HEAD.pack(len(data), len(descriptors))
            self._patiently(socket.send_fds, self._end, [head], descriptors)
            rest = memoryview(data)
            while rest:
                rest = rest[self._patiently(self._end.send, rest) :]
        except OSError:
            raise EOFError from None

    def _patiently(self, operation: Callable[..., _T], *arguments: object) -> _T:
        """Do what waits for the other end, however long that takes. Raises OSError."""
        while True:
            try:
                return operation(*arguments)
            except TimeoutError:
                self._rouse()

    def receive(self) -> tuple[Any, list[int]]:
        """Wait for an object and its descriptors.

        Raises EOFError when the other end is gone, NoRoom when there is none for the descriptors.
        """
        data, descriptors, count = self._received()
        if len(descriptors) != count:
            close_all(descriptors)
            raise NoRoom("this process can have no more descriptors")
        try:
            return _unpickled(data), descriptors
        except BaseException:
            close_all(descriptors)
            raise

    def close(self) -> None:
        """Let go of this end; the other one then meets EOFError, and so does who waits here."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()

    def _received(self) -> tuple[bytes, list[int], int]:
        """Give the bytes of an object, the descriptors that came and how many were sent."""
        descriptors: list[int] = []
        data = b""
        count = 0
        with contextlib.suppress(OSError):
            # Not by socket.recv_fds, which drops the flag.
            head, ancillary, _, _ = self._patiently(
                self._end.recvmsg, _HEAD.size, _SPACE, socket.MSG_CMSG_CLOEXEC
            )
            descriptors = [number for _, _, packed in ancillary for number in array("i", packed)]
            if len(head) == _HEAD.size:
                size, count = _HEAD.unpack(head)
                data = self._exactly(size)
        if not data:
            close_all(descriptors)
            raise EOFError
        return data, descriptors, count

    def _exactly(self, count: int) -> bytes:
        """Receive so many bytes; none when the other end is gone before."""
        parts = []
        while count:
            part = self._patiently(self._end.recv, min(count, CHUNK_BYTES))
            if not part:
                return b""
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def _unpickled(data: bytes) -> Any:
    """Read an object without looking for garbage among what comes into being all the while."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return pickle.loads(data)
    finally:
        if was_enabled:
            gc.enable()


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors that were received."""
    for descriptor in descriptors:
        os.close(descriptor)

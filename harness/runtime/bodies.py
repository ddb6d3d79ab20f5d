"""Large bodies beside the channel: two nameless files that tester and worker have open.

A body in a line of JSON costs forty times its copy. What is written here is read into memory of the
reader's own, never mapped, so that a handler that truncates or overwrites a file of these harms its
own answer only. The worker's half is `worker.bodies`.
"""

import base64
import codecs
import contextlib
import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Literal, NamedTuple

import worker.protocol as protocol
from harness.runtime import wire
from harness.runtime.files import high, nameless

INLINE_BYTES = 65_536  # below, base64 in the line is as fast
PIECE_BYTES = 3 * 2**18  # what the processor's cache holds
FIRST_BYTES = 33 * 2**20  # from 32 MiB on, glibc's allocator moves pages and does not copy

_Convert = Callable[[memoryview, bool], tuple[str, int]]


class Raw(NamedTuple):
    """A parameter of bytes, on its way to an Argument: in the line, or beside it."""

    kind: Literal["body", "bytes", "pickle"]
    data: bytes
    content_type: str | None = None


class Bodies:
    """The file of request bodies, which the tester writes, and that of responses.

    `given` are the worker's descriptors of both.
    """

    def __init__(self) -> None:
        self._open: list[int] = []
        try:
            self._requests = self._own(nameless("bodies", 0))
            self._responses = self._own(high(nameless("responses", 0)))
            # An opening of its own: flags that the handler sets, as O_APPEND, are not the tester's.
            reading = os.open(f"/proc/self/fd/{self._requests}", os.O_RDONLY | os.O_CLOEXEC)
            self.given = [self._own(high(reading)), self._responses]
        except OSError:
            self.close()
            raise
        self._written = 0

    def carry(self, raw: Raw) -> protocol.Argument:
        """Make an Argument of bytes, for the go that is made; large ones are put into the file."""
        if len(raw.data) <= INLINE_BYTES:
            text = base64.b64encode(raw.data).decode("ascii")
            return protocol.Argument(kind=raw.kind, data=text, content_type=raw.content_type)
        size, at, rest = len(raw.data), self._written, memoryview(raw.data)
        while rest:
            count = os.pwrite(self._requests, rest, self._written)
            self._written += count
            rest = rest[count:]
        return protocol.Argument(kind=raw.kind, at=at, size=size, content_type=raw.content_type)

    def complete(self, reply: wire.Reply, max_bytes: int) -> wire.Reply:
        """Give a reply with the response that it left in the file. Raises Violation."""
        if not isinstance(reply, (protocol.Returned, protocol.Raised)) or reply.response is None:
            return reply
        size = reply.response.stored_bytes
        if size is None:
            return reply
        if reply.response.body is not None or size > max_bytes:
            raise wire.Violation(f"a response of {size} bytes beside the line")
        text, encoding = self._text(size)
        os.truncate(self._responses, 0)  # its memory counts as the worker's
        return replace(reply, response=replace(reply.response, body=text, body_encoding=encoding))

    def clear(self) -> None:
        """Let later bodies be written over these, whose go was answered, or given up."""
        self._written = 0

    def close(self) -> None:
        """Give back both files."""
        while self._open:
            os.close(self._open.pop())

    def _own(self, descriptor: int) -> int:
        self._open.append(descriptor)
        return descriptor

    def _text(self, size: int) -> tuple[str, Literal["utf-8", "base64"]]:
        """Read the response as text: (text, encoding). Raises Violation."""
        with contextlib.suppress(UnicodeDecodeError):
            return self._as(_utf8, size), "utf-8"
        return self._as(_base64, size), "base64"  # the error is gone, and the bytes that it holds

    def _as(self, convert: _Convert, size: int) -> str:
        """Read the response as text. Raises Violation, and what `convert` raises.

        Beside the text there never is more than a piece of the response.
        """
        return _grown(self._pieces(convert, size))

    def _pieces(self, convert: _Convert, size: int) -> Iterator[str]:
        """Read the response, and give the text of each piece. Raises as `_as` does."""
        at, buffer = 0, _fresh(min(FIRST_BYTES, size))
        while at < size:
            piece = buffer[: size - at]
            self._read(piece, at)
            text, used = convert(piece, at + len(piece) == size)
            at += used
            if len(buffer) == FIRST_BYTES:
                buffer = memoryview(bytearray(PIECE_BYTES))
            del piece
            yield text
            del text  # else it would not be nobody else's

    def _read(self, buffer: memoryview, at: int) -> None:
        while buffer:
            count = os.preadv(self._responses, [buffer], at)
            if not count:
                raise wire.Violation("a response beside the line that was cut short")
            at += count
            buffer = buffer[count:]


def _fresh(size: int) -> memoryview:
    """Give memory of large pages, where there are: to touch a small one takes as long as its copy.

    It goes back to the system as a whole when the last view of it is gone.
    """
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_HUGEPAGE)
    except (AttributeError, OSError):  # another system, nothing to read, no room
        return memoryview(bytearray(size))
    return memoryview(memory)


def _utf8(piece: memoryview, last: bool) -> tuple[str, int]:
    """Decode what is whole of a piece: (its text, bytes used). Raises UnicodeDecodeError."""
    return codecs.utf_8_decode(piece, "strict", last)


def _base64(piece: memoryview, last: bool) -> tuple[str, int]:
    """Encode a piece, as far as the next can go on from it: (its text, bytes used)."""
    used = len(piece) if last else len(piece) // 3 * 3
    return base64.b64encode(piece[:used]).decode("ascii"), used


def _grown(pieces: Iterable[str]) -> str:
    """Join texts in little more memory than that of the result.

    CPython grows a str in place that nothing else refers to, and the C library moves the pages of
    one that begins large.
    """
    text = ""
    for piece in pieces:
        text += piece
    return text

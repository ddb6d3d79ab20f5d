"""Large bodies beside the channel. The other half is `harness.runtime.bodies`."""

from __future__ import annotations

import os

from .protocol import BODIES_FD, RESPONSES_FD

INLINE_BYTES = 65_536
# What is larger grows piece by piece: zeros are not written first, and glibc moves its pages.
FIRST_BYTES = 33 * 2**20
PIECE_BYTES = 2**20


def read(at: int, size: int) -> bytes | bytearray:
    """Read a request's bytes. Raise OSError when they are not there any more."""
    if size <= PIECE_BYTES:  # at once, and into memory that holds no zeros before
        whole = os.pread(BODIES_FD, size, at)
        if len(whole) == size:
            return whole
    data = bytearray(min(size, FIRST_BYTES))
    _fill(data, at)
    while len(data) < size:
        piece = os.pread(BODIES_FD, min(size - len(data), PIECE_BYTES), at + len(data))
        if not piece:
            raise OSError("the file of bodies was cut short")
        data += piece
    return data


def _fill(data: bytearray, at: int) -> None:
    rest = memoryview(data)
    while rest:
        count = os.preadv(BODIES_FD, [rest], at + len(data) - len(rest))
        if not count:
            raise OSError("the file of bodies was cut short")
        rest = rest[count:]


def store(body: bytes | bytearray) -> bool:
    """Leave a large response for the tester; False when it has to go into the line."""
    if len(body) <= INLINE_BYTES:
        return False
    rest = memoryview(body)
    try:
        while rest:
            rest = rest[os.pwrite(RESPONSES_FD, rest, len(body) - len(rest)) :]
    except OSError:  # closed by the handler, or beyond the limit on files
        return False
    return True

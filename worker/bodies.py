"""Large bodies beside the channel. The other half is `harness.runtime.bodies`."""

from __future__ import annotations

import os

from .protocol import BODIES_FD, RESPONSES_FD

INLINE_BYTES = 65_536


def read(at: int, size: int) -> bytearray:
    """Read a request's bytes. Raise OSError when they are not there any more."""
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        count = os.preadv(BODIES_FD, [rest], at + size - len(rest))
        if not count:
            raise OSError("the file of bodies was cut short")
        rest = rest[count:]
    return data


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

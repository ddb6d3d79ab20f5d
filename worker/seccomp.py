"""A system call filter that the tester made: loaded into this process and its children.

The filter's program comes ready (libseccomp in the tester made it); here it is only loaded.
"""

from __future__ import annotations

import binascii
import os
import sys

from . import libc

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
INSTRUCTION_BYTES = 8


class Unavailable(Exception):
    """The kernel did not take the filter."""


def main(arguments: list[str]) -> None:
    """Try a filter that shall refuse internet sockets: load it, and see one refused."""
    import socket

    try:
        restrict(arguments[0])
        socket.socket(socket.AF_INET).close()
    except PermissionError:
        os.write(1, b"works")
    except (Unavailable, OSError) as refusal:
        os.write(1, str(refusal).encode())
        os._exit(1)
    else:
        os.write(1, b"a socket was not refused")
        os._exit(1)


def restrict(program: str) -> None:
    """Load a filter (base64 of its instructions) for good. Raise Unavailable."""
    code = binascii.a2b_base64(program)
    # Where CPython has the content of bytes; ctypes would say it, and takes 3 ms to load.
    address = id(code) + bytes.__basicsize__ - 1
    described = _sock_fprog(len(code) // INSTRUCTION_BYTES, address)
    if libc.call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise Unavailable("no_new_privs was refused")
    if libc.call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, described, 0, 0) != 0:
        raise Unavailable("the kernel refused the filter")


def _sock_fprog(count: int, address: int) -> bytes:
    """Lay out a length and a pointer as C does; `struct` would be one extension more to load."""
    pointer = 8 if sys.maxsize > 2**32 else 4
    length = count.to_bytes(2, sys.byteorder)
    return length.ljust(pointer, b"\0") + address.to_bytes(pointer, sys.byteorder)

"""The filter that refuses internet sockets, made by libseccomp (extra `seccomp`).

It is for machines without bubblewrap: UDP is refused too, which Landlock does not do. Sockets that
are made through io_uring do not pass it.
"""

import base64
import errno
import functools
import importlib.util
import socket
import tempfile

FAMILIES = (socket.AF_INET, socket.AF_INET6)


class Unavailable(Exception):
    """The filter cannot be made here; the text says why."""


def installed() -> bool:
    """Say whether the extra is installed, which is how a user asks for this layer."""
    return importlib.util.find_spec("pyseccomp") is not None


@functools.cache
def program() -> str:
    """Make the filter; give its instructions as base64. Raises Unavailable."""
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError) as error:  # the package, or the C library below it
        raise Unavailable(f"libseccomp cannot be loaded: {error}") from None
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for family in FAMILIES:
        first = pyseccomp.Arg(0, pyseccomp.EQ, family)
        rules.add_rule(pyseccomp.ERRNO(errno.EACCES), "socket", first)
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return base64.b64encode(file.read()).decode("ascii")

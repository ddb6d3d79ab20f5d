"""Nameless files, which tester and child have open at the same time."""

import errno
import fcntl
import os
import tempfile

BEYOND = 300  # above every number that a child gives a meaning to


def nameless(name: str, size: int) -> int:
    """Make a nameless file of zeros, in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create(name, os.MFD_CLOEXEC)
    else:
        file, path = tempfile.mkstemp(prefix=name)
        os.unlink(path)
    os.truncate(file, size)
    return file


def high(descriptor: int) -> int:
    """Give a descriptor a number that no child gives a meaning to. Raises OSError."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, BEYOND)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        text = f"Too many open files: there may be none above {BEYOND}; raise ulimit -n"
        raise OSError(errno.EMFILE, text) from None
    finally:
        os.close(descriptor)

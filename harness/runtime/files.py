"""Nameless files, which tester and child have open at the same time."""

import os
import tempfile


def nameless(name: str, size: int) -> int:
    """Make a nameless file of zeros, in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create(name, os.MFD_CLOEXEC)
    else:
        file, path = tempfile.mkstemp(prefix=name)
        os.unlink(path)
    os.truncate(file, size)
    return file

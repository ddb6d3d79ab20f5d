"""The worker's own memory, peak per call, its threads and descriptors (/proc on Linux)."""

from __future__ import annotations

import _thread
import os
import resource
import sys

from .protocol import MAX_MODULES, SAFE_PACKAGES

UNIT_BYTES = 1024 if os.uname().sysname == "Linux" else 1


def reset_peak() -> None:
    """Let the high-water mark of resident memory start anew (Linux, proc(5): clear_refs, 5).

    The file is opened each time: a descriptor kept open could be closed by the handler, and its
    number belong to a file of the handler's by the next call.
    """
    try:
        mark = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(mark, b"5")
    except OSError:
        pass
    finally:
        os.close(mark)


def peak_bytes() -> int:
    """Give the high-water mark of resident memory since the last reset_peak."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT_BYTES


def threads() -> int:
    """Count the threads that Python code started; the pools of C libraries are not leaks."""
    return _thread._count()


def descriptors() -> int | None:
    """Count the open descriptors of this process; None where it cannot be had."""
    try:
        # From Linux 6.2 on the directory's size is the count: a quarter of the cost of a listing.
        return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return None


def modules() -> list[str]:
    """Name the loaded modules of the safe packages, for a template: public, two levels deep."""
    found = []
    for name in list(sys.modules):
        parts = name.split(".") if isinstance(name, str) else [""]
        public = not any(part.startswith("_") for part in parts)
        if parts[0] in SAFE_PACKAGES and len(parts) <= 2 and public:
            found.append(name)
    return sorted(found)[:MAX_MODULES]

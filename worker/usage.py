"""The worker's own memory, peak per call, its threads and descriptors (/proc on Linux)."""

from __future__ import annotations

import _thread
import os
import resource
import sys

from .protocol import LIST_FD, MARK_FD, MAX_MODULES, SAFE_PACKAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UNIT_BYTES = 1024 if os.uname().sysname == "Linux" else 1


_LOOK = getattr(os, "O_PATH", os.O_RDONLY)
_identity: dict[int, tuple[int, int]] = {}  # of the files kept open: inode and device


def keep_open() -> None:
    """Open what every call asks of /proc, before the handler runs and before any fence is up."""
    _open_as(MARK_FD, "/proc/self/clear_refs", os.O_WRONLY)
    open_list()


def open_list() -> None:
    """Open what descriptors are counted by, which is only a help."""
    _open_as(LIST_FD, "/proc/self/fd", _LOOK)


def close_list() -> None:
    """Give that descriptor back, so that one is free when the handler has taken all."""
    try:
        if _is_ours(LIST_FD, os.fstat(LIST_FD)):
            os.close(LIST_FD)
    except OSError:
        pass


def _open_as(number: int, path: str, flags: int) -> None:
    try:
        opened = os.open(path, flags | os.O_CLOEXEC)
    except OSError:
        return
    if opened != number:
        os.dup2(opened, number, inheritable=False)
        os.close(opened)
    _identity[number] = os.fstat(number)[1:3]


def _is_ours(number: int, status: tuple[Any, ...]) -> bool:
    """Say whether a number still is the file that was opened: the handler may have taken it."""
    return status[1:3] == _identity.get(number)


def reset_peak() -> None:
    """Let the high-water mark of resident memory start anew (Linux, proc(5): clear_refs, 5)."""
    try:
        if _is_ours(MARK_FD, os.fstat(MARK_FD)):
            os.write(MARK_FD, b"5")
            return
    except OSError:
        pass
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
        status = os.fstat(LIST_FD)
        if not _is_ours(LIST_FD, status):
            raise OSError
    except OSError:
        status = None
    try:
        # From Linux 6.2 on the directory's size is the count: a quarter of the cost of a listing.
        status = status or os.stat("/proc/self/fd")
        return status.st_size or len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return None


def loading() -> tuple[int, Any]:
    """Give what changes with every module that is loaded, and costs no listing."""
    last = next(reversed(sys.modules), None)
    return len(sys.modules), last if type(last) is str else None


def modules() -> list[str]:
    """Name the loaded modules of the safe packages, for a template: public, two levels deep."""
    if not any(name in sys.modules for name in SAFE_PACKAGES):
        return []  # to list all modules touches the memory of each name
    found = []
    for name in list(sys.modules):
        parts = name.split(".") if isinstance(name, str) else [""]
        public = not any(part.startswith("_") for part in parts)
        if parts[0] in SAFE_PACKAGES and len(parts) <= 2 and public:
            found.append(name)
    return sorted(found)[:MAX_MODULES]

"""The few calls of the C library that Python does not offer, without the cost of `ctypes`.

`_ctypes` is the extension behind the ctypes package: it loads in a tenth of the time. It is private
to CPython, so a failure of any kind means "not to be had", which callers report.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


CDECL = 1  # how C functions are called, by ctypes' number
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_known: dict[str, Any] = {}  # functions by name
_kind: Any = None  # their class


def call(name: str, *arguments: object) -> Any:
    """Call a function of the C library with int, bytes or None; None when it cannot be had."""
    try:
        return (_known.get(name) or _find(name))(*arguments)
    except Exception:
        return None


def _find(name: str) -> Any:
    global _kind
    import _ctypes

    if _kind is None:
        # Unlike _ctypes.call_function it raises no audit event, which costs more than most calls.
        _kind = type("Function", (_ctypes.CFuncPtr,), {"_flags_": CDECL})
    program: Any = None  # the C library as this process has it
    _known[name] = _kind(_ctypes.dlsym(_ctypes.dlopen(program, 2), name))
    return _known[name]


def become_subreaper() -> bool:
    """Adopt every orphan below this process (Linux 3.4). Say whether it worked."""
    return bool(call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def be_signalled_with_parent(number: int) -> None:
    """Have the kernel send this process a signal when its parent ends; 0 for none (prctl(2))."""
    call("prctl", PR_SET_PDEATHSIG, number, 0, 0, 0)


def flush_stdio() -> None:
    """Write out what C code left in its buffers, so that a call's log holds it."""
    call("fflush", None)

"""Signals that ask a command to end, SIGTERM and SIGHUP: they do what Ctrl-C does."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ASKING = (signal.SIGTERM, signal.SIGHUP)
_last: list[int] = []


@contextmanager
def heeded() -> Iterator[None]:
    """Be interrupted by them as by Ctrl-C; one that is ignored, as with nohup, stays ignored.

    The first of them interrupts; another one does not disturb what cleans up after it.
    """
    _last.clear()
    before = {}
    if threading.current_thread() is threading.main_thread():
        usual = [number for number in _ASKING if signal.getsignal(number) is signal.SIG_DFL]
        before = {number: signal.signal(number, _interrupt) for number in usual}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupted() -> int:
    """Give the exit code of what was interrupted: 128 and the signal's number, as shells do."""
    return 128 + (_last[0] if _last else signal.SIGINT)


def _interrupt(number: int, _: FrameType | None) -> None:
    _last.append(number)
    if len(_last) == 1:
        raise KeyboardInterrupt

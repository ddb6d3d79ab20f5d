"""Ending calls from another thread: what Ctrl-C does to the main one, for those beside it.

Only the main thread is interrupted by a signal. A thread that tests a handler enters `heeded`;
when `set` is called elsewhere, a session that it started ends its worker, a build of an environment
ends its tool, and both raise KeyboardInterrupt.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_CURRENT: ContextVar[int | None] = ContextVar("stop", default=None)


class Stop:
    """A request to stop that can be waited for: its descriptor becomes readable, and stays so."""

    def __init__(self) -> None:
        self.descriptor, self._writing = os.pipe()
        self._is_set = False

    def __enter__(self) -> "Stop":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)
        if not self._is_set:
            os.close(self._writing)

    def set(self) -> None:
        """Ask every thread that heeds it to stop. Safe to call again."""
        if not self._is_set:
            self._is_set = True
            os.close(self._writing)

    def only_heed(self) -> None:
        """Be the copy that a fork has: it heeds what the process it came of asks, or its end."""
        if not self._is_set:
            self._is_set = True
            os.close(self._writing)

    @property
    def is_set(self) -> bool:
        """Whether it was asked for."""
        return self._is_set

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Have the sessions that this thread starts meanwhile heed it."""
        token = _CURRENT.set(self.descriptor)
        try:
            yield
        finally:
            _CURRENT.reset(token)


def descriptor() -> int | None:
    """Give the descriptor to wait for in this thread; None: nothing can stop it."""
    return _CURRENT.get()

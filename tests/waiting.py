"""Waiting for a condition with a deadline, in place of sleeping."""

import threading
import time
from collections.abc import Callable

POLL_S = 0.01


def wait_until(condition: Callable[[], object], seconds: float = 2.0) -> bool:
    """Poll until the condition holds; False when it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(POLL_S)
    return True

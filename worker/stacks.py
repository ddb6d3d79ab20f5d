"""Where every thread is, written on a signal: what a call that hangs was doing."""

from __future__ import annotations

import _signal as signal
import faulthandler
import os

from .protocol import STACKS_FD


def write_on_signal() -> None:
    """Have SIGUSR1 write the stacks of all threads to the file that the tester gave for them.

    The dump is made in the signal handler itself, in C, so that it needs no interpreter lock and
    shows a call that never returns from native code too.
    """
    try:
        os.fstat(STACKS_FD)
    except OSError:  # a tester that gave none
        return
    faulthandler.register(signal.SIGUSR1, file=STACKS_FD, all_threads=True)

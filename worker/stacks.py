"""Where every thread is, written on a signal: what a call that hangs was doing."""

from __future__ import annotations

import _signal as signal
import faulthandler
import os

from .protocol import STACKS_FD


def write_on_signal(path: str) -> None:
    """Have SIGUSR1 write the stacks of all threads to a file.

    The dump is made in the signal handler itself, in C, so that it needs no interpreter lock and
    shows a call that never returns from native code too.
    """
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    os.dup2(file, STACKS_FD, inheritable=False)
    os.close(file)
    faulthandler.register(signal.SIGUSR1, file=STACKS_FD, all_threads=True)

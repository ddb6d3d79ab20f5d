"""What a forked worker inherits of its template, and how it becomes what a fresh worker is.

Everything that a fresh start gives a worker anew is given anew here: session, descriptors, signals,
variables, directories, random state, threads of native libraries. Nothing of it is used in a worker
that was started fresh.
"""

from __future__ import annotations

import _signal as signal
import os
import sys

from . import pools
from .protocol import FILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

_before: dict[str, str] = {}
_changes: dict[str, str | None] = {}


def variables_before() -> None:
    """Remember the variables, before any package can set some (in the template)."""
    for name in pools.VARIABLES:
        os.environ[name] = "1"
    _before.update(os.environ)


def take() -> None:
    """Note what every worker forked from now on inherits (in the template)."""
    names = {*_before, *os.environ}
    now = {name: os.environ.get(name) for name in names}
    _changes.update({name: now[name] for name in names if now[name] != _before.get(name)})
    pools.find()


def begin(
    order: dict[str, Any],
    streams: list[int],
    groups: list[int],
    handlers: Iterable[tuple[int, Any]],
) -> None:
    """Be at the start of a worker: called in the process that was just forked to be one.

    Its session, standard streams, control groups, signals and variables are its own afterwards, and
    it has no descriptor beside 0, 1, 2 and those of the bodies.
    """
    os.setsid()
    kept = (0, 1, 2, *FILES)
    for number, descriptor in zip(kept, streams):
        os.dup2(descriptor, number)
    for descriptor in groups:
        os.write(descriptor, b"0")  # the process that writes
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                pass  # the one that listed them
    for signal_number, handler in handlers:
        signal.signal(signal_number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = order["argv"]
    _set_variables(order["environ"])


def _set_variables(given: dict[str, str]) -> None:
    """Have the worker's own variables, and on them what the packages set as they were imported."""
    for name in set(os.environ).difference(given):
        del os.environ[name]
    os.environ.update(given)
    for name, value in _changes.items():
        if value is not None:
            os.environ.setdefault(name, value)


def renew() -> None:
    """Renew what packages hold that are imported already; those of the environment can be found."""
    # The random module reseeds itself in a fork. torch begins with a fixed seed, and keeps it.
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    tempfile: Any = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile.tempdir = None
    pools.widen()

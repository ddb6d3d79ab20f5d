"""The worker's main loop: one request in, one reply out. Its half in the parent: `runtime.session`.

Only what the first line needs is imported here; the rest is loaded with the first request.
"""

from __future__ import annotations

import atexit
import os
import sys

from . import streams
from .protocol import VERSION, Ready

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


def main(arguments: list[str], renew: Callable[[], None] | None = None) -> None:
    """Serve until the tester closes the channel; then run the exit handlers and leave.

    `renew` is for a worker that was forked, with the packages of its environment (handler.py).
    """
    channel = streams.Channel()
    channel.send(
        Ready(
            protocol=VERSION,
            python="%d.%d.%d" % sys.version_info[:3],
            executable=sys.executable,
            pid=os.getpid(),
        )
    )
    _serve(channel, renew)
    _leave()


def _serve(channel: Any, renew: Callable[[], None] | None) -> None:
    worker = None
    while True:
        request = channel.receive()
        if request is None:
            return
        if worker is None:
            from .calls import Worker

            worker = Worker(renew)
        reply = worker.answer(request)
        if reply is not None:
            channel.send(reply)
            if getattr(reply, "fatal", False):
                return


def _leave() -> None:
    """Run what the handler registered with atexit, then end without the interpreter's teardown.

    A server's worker is ended by a signal, so a slow teardown, or a thread that would be joined for
    ever, is nobody's fault.
    """
    atexit._run_exitfuncs()
    streams.flush((sys.stdout, sys.stderr))
    os._exit(0)

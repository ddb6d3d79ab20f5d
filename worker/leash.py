"""Run a build tool that ends with the tester: `leash FENCE PROGRAM [ARGUMENT ...]`.

The tester holds the other end of standard input. When that closes, by its will or its death, all of
the tool's process group is killed. FENCE is JSON, the paths that the tool may write where the
kernel has Landlock: packages may run code of their own when they are built.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading

from . import landlock


def main(arguments: list[str]) -> None:
    """Start the tool, and leave as it does."""
    writable = json.loads(arguments[0])

    def fence() -> None:
        try:
            landlock.restrict(writable, False)
        except landlock.Unavailable:
            pass

    try:
        tool = subprocess.Popen(
            arguments[1:],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=fence,  # there is no other thread yet
        )
    except OSError as error:
        os.write(2, ("%s: %s\n" % (arguments[1], error.strerror)).encode())
        os._exit(127)
    threading.Thread(target=_end_with_tester, args=(tool.pid,), daemon=True).start()
    code = tool.wait()
    _end(tool.pid)
    os._exit(code if code >= 0 else 128 - code)


def _end_with_tester(group: int) -> None:
    while os.read(0, 1):
        pass
    _end(group)


def _end(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass

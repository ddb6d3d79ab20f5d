"""Functions of the C library are called without an event that a handler's audit hook would hear."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from worker import libc

CODE = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
from worker import libc
ctypes.CDLL(None).printf(b"by C ")
libc.flush_stdio()  # finds the function
heard = []
sys.addaudithook(lambda event, arguments: heard.append(event))
libc.flush_stdio()
print([*heard], libc.call("abs", -3), libc.call("strlen", b"four"), libc.call("there is none", 1))
"""


def test_a_call_raises_no_audit_event_and_gives_what_the_function_gives() -> None:
    root = str(Path(libc.__file__).parents[1])
    words = [sys.executable, "-c", CODE, root]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert done.stdout == "by C [] 3 4 None\n"

"""A worker and its supervisor whose every word is the test's, for what must happen at one instant.

Real pipes and the real Session; only the processes behind the pipes are missing. Time stands still
while something written is unread, and jumps past the deadline then, so that what was written and
the deadline are always seen in the same look.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import termios
from dataclasses import dataclass
from typing import Any

import worker.protocol as protocol
from harness.runtime import wire
from harness.runtime.bodies import Bodies
from harness.runtime.cgroups import Usage

CALL = "a-call"
AFTER_EVERY_DEADLINE = 1_000_000.0
STACK = "Thread 0x1 (most recent call first):"


@dataclass
class Kernel:
    """A control group that counts what the test says."""

    counted: Usage
    limits_memory: bool = True

    def usage(self) -> Usage:
        return self.counted

    def oom_kills(self) -> int:
        return self.counted.oom_kills


def returned(name: str = CALL) -> bytes:
    """Give the reply of a function that returned."""
    value = protocol.Value(type="float", module="builtins", preview="6.0")
    return wire.encode(protocol.Returned(id=name, value=value, elapsed_s=0.25))


def ended(reason: Any, **fields: int) -> bytes:
    """Give a supervisor's last report."""
    return wire.encode(protocol.Ended(reason=reason, **({"memory_bytes": 60 << 20} | fields)))


KILLED = ended("killed", signal=signal.SIGKILL)


@dataclass(frozen=True)
class Script:
    """What is written at once when the call begins, and the supervisor's last report on its order.

    `report` is what the supervisor says by itself; `last` what it answers to a kill, None when it
    is dead, and then its pipe is closed. `channel` says whether the worker keeps its channel open.
    """

    replies: bytes = b""
    log: bytes = b""
    report: bytes = b""
    last: bytes | None = KILLED
    channel: bool = True
    kernel: Kernel | None = None


class ScriptedProcess:
    """Stands for WorkerProcess."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._ends: set[int] = set()
        self._theirs, self.requests = self._pipe()
        self.replies, self._reply_end = self._pipe()
        self.log, self._log_end = self._pipe()
        self.report, self._report_end = self._pipe()
        self.group = script.kernel
        self.bodies, self.stacks = Bodies(), ScriptedStacks()
        self.orders: list[str] = []
        self.deadline = 0.0
        self._jumps = 0

    def now(self) -> float:
        """Give the time of this process: see the module."""
        unread = any(_unread(end) for end in (self.replies, self.log, self.report))
        if unread:
            return 0.0
        self._jumps += 1
        return AFTER_EVERY_DEADLINE * self._jumps

    # ------------------------------------------------------------ what a Session calls

    def set_deadline(self, instant: float) -> None:
        """A call begins, or it has ended well: its words come once, when it begins."""
        if instant and not self.deadline:
            self._speak()
        self.deadline = instant

    def dump(self) -> None:
        self.orders.append("dump")

    def kill(self) -> None:
        self.orders.append("kill")
        if self._script.last is not None:
            self._write(self._report_end, self._script.last)

    def hang_up(self) -> None:
        self.orders.append("hang up")

    def sweep(self, worker_pid: int | None) -> int:
        self.orders.append("sweep")
        return 3

    def close(self) -> None:
        for end in list(self._ends):
            self._close(end)
        self.bodies.close()

    # ------------------------------------------------------------ its own

    def _speak(self) -> None:
        script = self._script
        self._write(self._log_end, script.log)
        self._write(self._reply_end, script.replies)
        self._write(self._report_end, script.report)
        if not script.channel:
            self._close(self._reply_end)
        if script.last is None:
            self._close(self._report_end)

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._ends.update(ends)
        for end in ends:
            os.set_blocking(end, False)
        return ends

    def _write(self, end: int, data: bytes) -> None:
        if data:
            assert os.write(end, data) == len(data)

    def _close(self, end: int) -> None:
        if end in self._ends:
            self._ends.remove(end)
            os.close(end)


class ScriptedStacks:
    """Stands for the StackFile of a worker that writes at once where it is."""

    def read(self) -> str:
        return STACK

    def close(self) -> None:
        pass


def _unread(end: int) -> int:
    try:
        count: int = struct.unpack("i", fcntl.ioctl(end, termios.FIONREAD, b"\0" * 4))[0]
    except OSError:  # closed by now
        return 0
    return count

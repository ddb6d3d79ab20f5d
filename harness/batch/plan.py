"""What runs when: longest first, and never more memory promised than there is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from harness.batch.history import History
from harness.batch.task import Task

MIB = 2**20
# A handler without a limit is expected to take what it took last time, and half as much again.
UNKNOWN_BYTES = 512 * MIB
GROWTH = 1.5
TESTER_BYTES = 256 * MIB


@dataclass
class Plan:
    """The tasks that are still to be started, and the memory that is promised to those running."""

    capacity_bytes: int
    waiting: list[tuple[Task, int]]
    running: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, tasks: Iterable[Task], history: History, capacity_bytes: int) -> Plan:
        """Put the longest first; what was never run may be long, so it goes before the others."""

        def length(task: Task) -> float:
            known = history.handlers.get(task.spec.handler_name)
            return -known.seconds if known is not None else float("-inf")

        ordered = sorted(tasks, key=length)
        return cls(capacity_bytes, [(task, _expected(task, history)) for task in ordered])

    def next(self) -> Task | None:
        """Take the first task that fits into what memory is left; None: none does.

        One that is larger than all there is runs when nothing else does.
        """
        free = self.capacity_bytes - sum(self.running.values())
        for index, (task, needs) in enumerate(self.waiting):
            if needs <= free or not self.running:
                del self.waiting[index]
                self.running[task.spec.handler_name] = needs
                return task
        return None

    def done(self, task: Task) -> None:
        """Give back what a finished task was promised."""
        del self.running[task.spec.handler_name]

    @property
    def too_large(self) -> list[str]:
        """Name the tasks whose limit is over all the memory that there is."""
        large = [task for task, needs in self.waiting if needs > self.capacity_bytes]
        return sorted(task.spec.handler_name for task in large)


def cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_available() -> int:
    """Give the bytes that handlers may take: the machine's, or this control group's, less ours."""
    free = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError, StopIteration):
        free = min(free, _left_in_group())
    return max(0, free - TESTER_BYTES)


def _left_in_group() -> int:
    """Give what is left under memory.max of this control group, version 2. Raises ValueError."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    path = next(line.removeprefix("0::/") for line in lines if line.startswith("0::/"))
    folder = Path("/sys/fs/cgroup", path)
    limit = int((folder / "memory.max").read_text())  # "max" is no number
    return limit - int((folder / "memory.current").read_text())


def _expected(task: Task, history: History) -> int:
    limit = task.spec.limits.memory_limit_mb
    if limit is not None:
        return limit * MIB
    known = history.handlers.get(task.spec.handler_name)
    if known is None or known.memory_bytes is None:
        return UNKNOWN_BYTES
    return int(known.memory_bytes * GROWTH)

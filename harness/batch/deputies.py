"""Deputies: forks of the tester that test the handlers of a batch, each on a core of its own.

Threads of one process take turns at the interpreter, so that a batch on threads goes no faster than
the tester's own work. A thread of the batch hands its deputy one task after the other and takes the
entries; plan, journal, templates and who listens stay in the process that was asked for the batch.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import traceback
from collections import deque
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self

from harness.artifacts.shelf import Shelf
from harness.artifacts.workspace import RunDirectory
from harness.batch import task as tasks
from harness.batch.task import Task
from harness.batch_results import BatchEntry
from harness.checks.kept import Kept
from harness.runtime.channel import Channel
from harness.runtime.lent import Lender, LentTemplates, Question
from harness.runtime.stop import Stop
from harness.runtime.templates import Choosing

THREADS = "/proc/self/task"
LEAVE_S = 20.0  # more than the end of a worker takes


def possible() -> bool:
    """Say whether this process can be forked: what another thread has locked would stay locked."""
    return os.path.isdir(THREADS) and len(os.listdir(THREADS)) == 1


class Deputies:
    """The deputies of one batch. Use it in a `with` block: leaving it ends them."""

    def __init__(
        self,
        given: Sequence[Task],
        count: int,
        *,
        stop: Stop,
        templates: Choosing,
        journal: int | None,
    ) -> None:
        """Fork so many, who know every task. `journal` is a descriptor that is not for them."""
        self._given = given
        self._count = count
        self._stop = stop
        self._numbers = {task.spec.handler_name: number for number, task in enumerate(given)}
        self._private = [] if journal is None else [journal]
        self._all = [self._forked(templates) for _ in range(count)]
        self._idle = deque(self._all)
        self._has_lost = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for deputy in self._all:
            deputy.hang_up()
        for deputy in self._all:
            deputy.wait()
        if self._has_lost:
            with RunDirectory(self._workspace):
                pass  # to make one removes those of the dead

    def examined(self, task: Task, kept: Kept) -> BatchEntry:
        """Have a deputy do what `task.examined` does; do it here when none is left.

        Raises what that raises, and KeyboardInterrupt when the batch was stopped.
        """
        try:
            deputy = self._idle.popleft()
        except IndexError:
            return tasks.examined(task, kept)
        try:
            entry = deputy.examined(self._numbers[task.spec.handler_name])
        except EOFError:
            self._has_lost = True
            return tasks.lost(task, f"the process that tested it {deputy.wait()}")
        self._idle.append(deputy)
        return entry

    @property
    def _workspace(self) -> Path | None:
        place = next((task.workspace for task in self._given), None)
        return None if place is None else Path(place)

    def _forked(self, templates: Choosing) -> _Deputy:
        ours, theirs = socket.socketpair()
        self._private.append(ours.fileno())
        process = get_context("fork").Process(target=self._be_one, args=(theirs,), daemon=True)
        with theirs:
            process.start()
        return _Deputy(Channel(ours), process, templates)

    def _be_one(self, end: socket.socket) -> None:
        """Test what is asked for, until the channel is closed (in the fork)."""
        signal.signal(signal.SIGINT, lambda *_: None)  # a terminal tells all; the tester decides
        for descriptor in self._private:
            os.close(descriptor)
        self._stop.only_heed()
        gc.freeze()  # else the first collection would copy every page
        channel = Channel(end)
        with self._stop.heeded(), Shelf(self._workspace, sharers=self._count) as shelf:
            kept = Kept(LentTemplates(channel), shelf)
            try:
                while True:
                    number, _ = channel.receive()
                    channel.send(_outcome(self._given[number], kept))
            except EOFError:
                pass


class _Deputy:
    """One of them, as the threads of the batch see it."""

    def __init__(self, channel: Channel, process: Any, templates: Choosing) -> None:
        self._channel = channel
        self._process = process
        self._lender = Lender(templates, channel)

    def examined(self, number: int) -> BatchEntry:
        """Have it do a task. Raises what the task raised, EOFError when the deputy was lost."""
        self._lender.begin()
        self._channel.send(number)
        while True:
            message, descriptors = self._channel.receive()
            if isinstance(message, BaseException):
                raise message
            if isinstance(message, BatchEntry):
                return message
            assert isinstance(message, Question)
            self._lender.answer(message, descriptors)

    def hang_up(self) -> None:
        """Let it go when it has nothing to do."""
        self._channel.close()

    def wait(self) -> str:
        """Wait for its end, then make it; say how it ended."""
        self._process.join(LEAVE_S)
        self._process.kill()
        self._process.join()
        code = self._process.exitcode
        return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _outcome(task: Task, kept: Kept) -> BatchEntry | BaseException:
    """Do a task; give what it raised, with its traceback, as it would have been raised."""
    try:
        return tasks.examined(task, kept)
    except BaseException as error:
        error.add_note(traceback.format_exc())
        return error

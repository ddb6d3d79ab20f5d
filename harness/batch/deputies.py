"""Deputies: forks of the tester that test the handlers of a batch, each on a core of its own.

Threads of one process take turns at the interpreter, so that a batch on threads goes no faster than
the tester's own work. A thread of the batch hands its deputy one task after the other and takes the
entries; plan, journal, templates and who listens stay in the process that was asked for the batch.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import current_process, get_context
from pathlib import Path
from typing import Any, Self

import psutil

from harness.artifacts import workspace
from harness.artifacts.shelf import Shelf
from harness.batch import task as tasks
from harness.batch.task import Task
from harness.batch_results import BatchEntry
from harness.checks.kept import Kept
from harness.errors import HarnessError, IsolationUnavailableError
from harness.runtime import cgroups, layers, strays
from harness.runtime.channel import Channel, NoRoom
from harness.runtime.lent import Lender, LentTemplates, Question
from harness.runtime.template import Unusable
from harness.runtime.templates import Choosing
from harness.stop import Stop

THREADS = "/proc/self/task"
GARBAGE = 20_000  # objects
LEAVE_S = 20.0  # more than the end of a worker takes
LOOK_S = 1.0
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EMPTY_LOOK_S = 0.01
JOINED_S = 0.1  # more than a thread takes to end that was joined
JOINED_LOOK_S = 0.0005


def possible() -> bool:
    """Say whether this process can be forked, and wait for its forks.

    What another thread has locked would stay locked in a fork. Daemons of multiprocessing may have
    no children, and who does not leave SIGCHLD as it is may collect ours.
    """
    return (
        os.path.isdir(THREADS)
        and not current_process().daemon
        and signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
        and _is_alone()
    )


def _is_alone() -> bool:
    """Say whether this process has one thread; one that was joined has a moment to end."""
    limit = time.monotonic() + JOINED_S
    while len(os.listdir(THREADS)) > 1:
        if threading.active_count() > 1 or time.monotonic() > limit:
            return False
        threading.Event().wait(JOINED_LOOK_S)
    return True


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
        """Fork so many, who know every task, or as many of them as the system lets.

        `journal` is a descriptor that is not for them.
        """
        self._given = given
        self._count = count
        self._stop = stop
        self._numbers = {task.spec.handler_name: number for number, task in enumerate(given)}
        self._private = [] if journal is None else [journal]
        self._all: list[_Deputy] = []
        try:
            self._try_layers()
            self._fork(templates)
        except BaseException:
            self.__exit__()
            raise
        # None stands for this process itself, where one could not be forked.
        missing: list[_Deputy | None] = [None] * (count - len(self._all))
        self._idle = deque([*self._all, *missing])
        self._living = count
        self._change = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for deputy in self._all:
            deputy.hang_up()
        dead = {deputy.pid for deputy in self._all if deputy.wait() != 0}
        if dead:
            self._sweep(dead)

    def examined(self, task: Task, kept: Kept) -> BatchEntry:
        """Have a deputy do what `task.examined` does; do it here when none is left.

        Raises what that raises, and KeyboardInterrupt when the batch was stopped.
        """
        deputy = self._begun(self._numbers[task.spec.handler_name])
        if deputy is None:
            try:
                return tasks.examined(task, kept)
            finally:
                self._take_back(None)
        try:
            came = deputy.outcome()
        except BaseException as error:
            self._lose_one()
            deputy.hang_up()
            if isinstance(error, EOFError):
                return tasks.lost(task, f"the process that tested it {_told(deputy.wait())}")
            raise
        self._take_back(deputy)
        if isinstance(came, BaseException):
            raise came
        return came

    def _begun(self, number: int) -> _Deputy | None:
        """Have the next that is idle begin with a task; None when this process shall do it."""
        while True:
            with self._change:
                self._change.wait_for(lambda: self._idle)
                deputy = self._idle.popleft()
            if deputy is None:
                return None
            try:
                deputy.begin(number)
            except EOFError:  # it was lost while it waited
                self._lose_one()
            else:
                return deputy

    def _take_back(self, deputy: _Deputy | None) -> None:
        with self._change:
            self._idle.append(deputy)
            self._change.notify()

    def _lose_one(self) -> None:
        """Go on with the others; without any, this process does the rest."""
        with self._change:
            self._living -= 1
            if not self._living:
                self._living = self._count
                self._idle.extend([None] * self._count)
            self._change.notify_all()

    @property
    def _workspace(self) -> Path | None:
        place = next((task.workspace for task in self._given), None)
        return None if place is None else Path(place)

    def _sweep(self, dead: set[int]) -> None:
        """Remove what those that were killed have left, once the supervisors of it are done."""
        limit = time.monotonic() + LEAVE_S
        marks = [workspace.prefix(pid) for pid in dead]
        while (left := strays.found(marks)) and time.monotonic() < limit:
            psutil.wait_procs(left, timeout=LOOK_S)
        strays.kill(left)
        with suppress(cgroups.Unavailable):
            place = cgroups.here()
            while dead & cgroups.remove_those_of_dead_testers(place) and time.monotonic() < limit:
                threading.Event().wait(EMPTY_LOOK_S)
        workspace.remove_those_of_dead_testers(self._workspace)

    def _try_layers(self) -> None:
        """Try what layers there are: what each fork finds out for itself goes with it."""
        for task in self._given:
            with suppress(IsolationUnavailableError):  # that is for the task to say
                layers.plan(task.spec)

    def _fork(self, templates: Choosing) -> None:
        """Fork them all, with Ctrl-C held back until each of them can tell what to do with it.

        So are the signals that the tester takes for it.
        """
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            with suppress(OSError):  # there is no room for more: the tester does what is left over
                for _ in range(self._count):
                    self._all.append(self._forked(templates))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _forked(self, templates: Choosing) -> _Deputy:
        ours, theirs = socket.socketpair()
        channel = Channel(ours)
        self._private.append(ours.fileno())
        process = get_context("fork").Process(target=self._be_one, args=(theirs,), daemon=True)
        try:
            with theirs:
                process.start()
        except BaseException:
            channel.close()
            raise
        return _Deputy(channel, process, templates)

    def _be_one(self, end: socket.socket) -> None:
        """Test what is asked for, until the channel is closed (in the fork)."""
        for number in ENDING:  # a terminal tells all; the tester decides
            if number == signal.SIGINT or callable(signal.getsignal(number)):
                signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        for descriptor in self._private:
            os.close(descriptor)
        self._stop.only_heed()
        gc.freeze()  # else the first collection would copy every page
        gc.set_threshold(GARBAGE)  # of one handler there is little, and to look for it takes long
        channel = Channel(end)
        try:
            with self._stop.heeded(), Shelf(self._workspace, sharers=self._count) as shelf:
                self._serve(channel, Kept(LentTemplates(channel), shelf))
        except HarnessError as error:  # a directory that resists; there is nobody left to tell
            sys.exit(str(error))

    def _serve(self, channel: Channel, kept: Kept) -> None:
        with suppress(EOFError):
            while True:
                number, _ = channel.receive()
                channel.send(_outcome(self._given[number], kept))


class _Deputy:
    """One of them, as the threads of the batch see it."""

    def __init__(self, channel: Channel, process: Any, templates: Choosing) -> None:
        self._channel = channel
        self._process = process
        self.pid = process.pid
        channel.rouse_by(self._wake, LOOK_S)
        self._lender = Lender(templates, channel)
        self._turn = threading.Lock()
        self._has_ended = False
        self._code: int | None = None

    def begin(self, number: int) -> None:
        """Have it begin with a task. Raises EOFError when the deputy was lost before."""
        self._lender.begin()
        self._channel.send(number)

    def outcome(self) -> BatchEntry | BaseException:
        """Wait for what comes of the task. Raises EOFError when the deputy was lost."""
        while True:
            try:
                message, descriptors = self._channel.receive()
            except NoRoom as error:  # a worker's descriptors, for the template
                self._channel.send(Unusable(str(error)))
                continue
            if isinstance(message, BatchEntry | BaseException):
                return message
            assert isinstance(message, Question)
            self._lender.answer(message, descriptors)

    def hang_up(self) -> None:
        """Let it go when it has nothing to do."""
        self._channel.close()

    def wait(self) -> int | None:
        """Wait for its end, then make it; give its exit code, None where another collected it."""
        with self._turn:
            if not self._has_ended:
                # With a time to wait, join first imports: maybe there is no descriptor left for it.
                ends = select.poll()
                ends.register(self._process.sentinel, select.POLLIN)
                limit = time.monotonic() + LEAVE_S
                while not ends.poll(LOOK_S * 1000):
                    self._wake()
                    if time.monotonic() > limit:
                        self._process.kill()
                self._process.join()
                self._code = self._process.exitcode
                self._has_ended = True
                self._lender.close()
                with suppress(ValueError):  # there is no code by which to know that it has ended
                    self._process.close()
            return self._code

    def _wake(self) -> None:
        """Let it go on where a handler has stopped it."""
        with suppress(OSError, ValueError):  # it was ended, and collected
            os.kill(self._process.pid, signal.SIGCONT)


def _told(code: int | None) -> str:
    """Say how a process ended."""
    if code is None:
        return "ended"
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _outcome(task: Task, kept: Kept) -> BatchEntry | BaseException:
    """Do a task; give what it raised, with its traceback, as it would have been raised."""
    try:
        return tasks.examined(task, kept)
    except BaseException as error:
        return _sendable(error)


def _sendable(error: BaseException) -> BaseException:
    """Note the traceback in an exception; give another one for what a pickle cannot carry."""
    text = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(text)
    return error

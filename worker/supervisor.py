"""The supervisor: starts one worker, adopts its orphans, watches the tree, ends all of it.

It runs between tester and worker (`harness.runtime.process` starts it) so that limits hold while
the tester is busy, the worker's true wait status is known, and nothing survives the tester.
"""

from __future__ import annotations

import _signal as signal  # the signal module imports enum and re: half of a supervisor's start
import os
import resource
import select
import sys
import time

from . import codec, libc, processes
from .protocol import FILES, MAX_CURVE, Ended, NotStarted, Sample, Started

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

INTERVAL_S = 0.010
NEAR_INTERVAL_S = 0.002  # from half the memory limit on: the overshoot is speed x interval
CONFIRM_SHARE = (
    10  # of the time a tenth goes into confirming; up to half while forks pass the limit
)
GIVE_UP_S = 10.0
LOOK_AGAIN_S = 0.02
WORKER_OOM_SCORE = b"1000"  # the kernel shall take the worker, not the tester


def main(arguments: list[str]) -> None:
    """Read the order to start, start the worker, watch until its whole tree is gone.

    The arguments are descriptors: for control, for reports, and of the tester's deadline.
    """
    control, report, deadline = (int(argument) for argument in arguments)
    for descriptor in (control, report, deadline):
        os.set_inheritable(descriptor, False)
    Supervisor(control, report, deadline).run()
    os._exit(0)  # there is nothing to tear down, and the tester waits


class Supervisor:
    """One worker's tree, from start to the last process."""

    def __init__(
        self,
        control: int,
        report: int,
        deadline: int,
        *,
        tester: int | None = None,
        groups: list[int] | None = None,
        start: Callable[[dict[str, Any], list[int]], int] | None = None,
    ) -> None:
        """Take descriptors, and how a worker is started: None for a program of its own.

        `tester` is a pidfd, for a supervisor that is not the tester's child; it was forked then,
        and `groups` are the descriptors of the order's groups, then those of its homes, by the
        numbers that they have here.
        """
        self._control = control
        self._report = report
        self._deadline = deadline
        self._tester = tester
        self._groups = groups
        self._start = start or spawn
        self._parent = os.getppid()
        self._worker = 0
        self._status: Any = None
        self._max_rss = 0
        self._killed = 0
        self._peak = 0
        self._processes = 1
        self._confirmed_at = 0.0
        self._confirm_cost = 0.0
        self._confirmed_rss = 0
        self._owned = 0  # at the last confirmation, and what was anonymous of each process
        self._anonymous: dict[int, int] = {}
        self._began = 0.0
        self._curve: list[int] = []
        self._curve_step = INTERVAL_S

    def run(self) -> None:
        """Carry out the order on the control descriptor and report until the tree is gone."""
        line, early = self._first_line()
        order = codec.decode(line)
        groups = order.get("cgroup_fds", [])
        if self._groups is not None:
            groups, order["home_fds"] = self._groups[: len(groups)], self._groups[len(groups) :]
        self._max_memory = order.get("memory_bytes")
        self._max_processes = order.get("max_processes")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else it would not know how one ended
        subreaper = libc.become_subreaper()
        libc.be_signalled_with_parent(signal.SIGCONT)  # a handler may have stopped this process
        for descriptor in groups:
            os.set_inheritable(descriptor, False)
        try:
            limit(order)
            self._began = time.monotonic()
            self._worker = self._start(order, groups)
        except OSError as error:
            self._send(NotStarted(errno=error.errno or 0))
            return
        _detach_standard_streams()
        for descriptor in groups:
            os.close(descriptor)
        self._send(Started(pid=self._worker, subreaper=subreaper))
        _prefer_for_oom(self._worker)
        reason = self._obey(early) if early else None
        reason = reason or self._watch()
        left = self._end_tree()
        self._send(self._ended(reason, left))

    def _first_line(self) -> tuple[bytes, bytes]:
        """Read the order to start, and what came behind it when it was late."""
        read = b""
        while b"\n" not in read:
            part = os.read(self._control, 65536)
            if not part:
                os._exit(0)
            read += part
        line, _, rest = read.partition(b"\n")
        return line, rest

    def _watch(self) -> str:
        """Wait for the worker's end, the tester's word or a limit; say which it was."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        if hasattr(os, "pidfd_open"):
            poll.register(os.pidfd_open(self._worker), select.POLLIN)
        if self._tester is not None:
            poll.register(self._tester, select.POLLIN)
        interval = INTERVAL_S
        while True:
            for descriptor, _ in poll.poll(interval * 1000):
                if descriptor == self._control:
                    end = self._obey(os.read(self._control, 65536))
                    if end is not None:
                        return end
                elif descriptor == self._tester:
                    return "orphaned"
            self._reap()
            if self._status is not None:
                return "exit"
            if self._tester is None and os.getppid() != self._parent:
                return "orphaned"
            if self._is_overdue():
                return "deadline"
            excess, interval = self._measure()
            if excess:
                return excess

    def _obey(self, orders: bytes) -> str | None:
        """Carry out what came on the control descriptor; say why to end, or None to go on."""
        if not orders:
            return "orphaned"
        for line in orders.split(b"\n"):
            kind = codec.decode(line)["type"] if line else "dump"
            if kind == "kill":
                return "killed"
            if line:
                kill(self._worker, signal.SIGUSR1)
        return None

    def _is_overdue(self) -> bool:
        """Say whether a tester that is alive but stuck has let its own deadline pass.

        It leaves the instant (nanoseconds of the monotonic clock, 0 for none) in a file that both
        have open, which costs it no message.
        """
        instant = int.from_bytes(os.pread(self._deadline, 8, 0), sys.byteorder)
        return 0 < instant < time.monotonic() * 1e9

    def _measure(self) -> tuple[str | None, float]:
        """Look at the tree: (the limit that it passed or None, seconds until the next look)."""
        tree = processes.descendants(os.getpid())
        self._processes = max(self._processes, len(tree))
        if self._max_processes is not None and len(tree) > self._max_processes:
            return "processes", INTERVAL_S
        sizes = {pid: processes.memory(pid) for pid in tree}
        resident = sum(size for size, _ in sizes.values())
        self._draw(resident)
        anonymous = {pid: size for pid, (_, size) in sizes.items()}
        limit = self._max_memory
        if limit is not None and self._has_passed(limit, anonymous):
            return "memory", INTERVAL_S
        near = limit is not None and resident > limit // 2
        over = limit is not None and resident > limit
        if self._may_confirm(anonymous, resident, near, over):
            owned = self._confirm(anonymous, resident)
            if limit is not None and owned > limit:
                return "memory", INTERVAL_S
            if len(tree) > 1:
                self._send(Sample(memory_bytes=owned, processes=len(tree)))
        return None, NEAR_INTERVAL_S if near else INTERVAL_S

    def _draw(self, resident: int) -> None:
        """Add to the curve; when it has all its points, each stands for twice the time."""
        at = int((time.monotonic() - self._began) / self._curve_step)
        while at >= MAX_CURVE:
            curve = self._curve
            self._curve = [max(curve[start : start + 2]) for start in range(0, len(curve), 2)]
            self._curve_step *= 2
            at //= 2
        missed = at - len(self._curve)
        self._curve += (self._curve[-1:] or [resident]) * missed + [0] * (missed >= 0)
        self._curve[at] = max(self._curve[at], resident)

    def _has_passed(self, limit: int, anonymous: dict[int, int]) -> bool:
        """Say whether what the same processes took since the last confirmation passes the limit.

        Only a fork makes anonymous pages shared: without a new process, these are owned. They are
        confirmed while nothing can take more.
        """
        if anonymous.keys() != self._anonymous.keys():
            return False
        taken = sum(anonymous.values()) - sum(self._anonymous.values())
        if self._owned + taken <= limit:
            return False
        for pid in anonymous:
            kill(pid, signal.SIGSTOP)
        still = {pid: processes.memory(pid)[1] for pid in anonymous}
        if self._confirm(still, self._confirmed_rss) > limit:
            return True
        for pid in anonymous:
            kill(pid, signal.SIGCONT)
        return False

    def _may_confirm(
        self, anonymous: dict[int, int], resident: int, near: bool, over: bool
    ) -> bool:
        """Say when to confirm, and bound its cost: smaps_rollup takes 4 to 16 ms per GiB."""
        fresh = anonymous.keys() != self._anonymous.keys()
        if not (
            over or (near and fresh) or (len(anonymous) > 1 and resident > self._confirmed_rss)
        ):
            return False
        pause = self._confirm_cost * (1 if over and fresh else CONFIRM_SHARE)
        return time.monotonic() - self._confirmed_at >= (min(pause, 0.05) if over else pause)

    def _confirm(self, anonymous: dict[int, int], resident: int) -> int:
        """Sum what the tree's processes own, shared pages once."""
        start = time.monotonic()
        owned = sum(processes.owned_bytes(pid) for pid in anonymous)
        if self._tester is not None:
            owned += processes.unowned_image_bytes(list(anonymous))
        self._peak = max(self._peak, owned)
        self._owned, self._anonymous = owned, anonymous
        self._confirmed_rss = resident
        self._confirmed_at = time.monotonic()
        self._confirm_cost = self._confirmed_at - start
        return owned

    def _reap(self) -> bool:
        """Collect every ended child; say whether any child is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._worker:
                self._status = status
                self._max_rss = usage.ru_maxrss * 1024
            elif os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
                self._killed += 1

    def _end_tree(self) -> int:
        """Kill every process, until none is left; count those that stay.

        A tree that went on forking meanwhile is stopped before it is killed again, so that a chain
        of processes that fork and exit cannot run ahead.
        """
        is_left = self._reap()
        self._killed = 0
        if not is_left:
            return 0
        give_up = time.monotonic() + GIVE_UP_S
        stopped = self._kill_once()
        while self._reap():
            tree = set(processes.descendants(os.getpid())) or {self._worker}
            fresh = tree - stopped
            for pid in fresh:
                kill(pid, signal.SIGSTOP)
            stopped |= fresh
            if fresh:
                continue
            for pid in tree:
                kill(pid, signal.SIGKILL)
            if not self._reap_for(LOOK_AGAIN_S):
                return 0
            if time.monotonic() > give_up:
                return len(tree)
        return 0

    def _kill_once(self) -> set[int]:
        """Kill all that is there, parents first; give their ids, when no others came meanwhile."""
        tree = processes.descendants(os.getpid())
        for pid in tree:
            kill(pid, signal.SIGKILL)
        if set(processes.descendants(os.getpid())) - set(tree):
            return set()
        self._reap_for(LOOK_AGAIN_S)
        return set(tree)

    def _reap_for(self, seconds: float) -> bool:
        """Collect those that were killed, for so long; say whether any child is left.

        The tree is not read meanwhile: of hundreds that takes as long as their dying.
        """
        limit = time.monotonic() + seconds
        while self._reap():
            if time.monotonic() > limit:
                return True
            time.sleep(0.0005)
        return False

    def _ended(self, reason: str, left: int) -> Ended:
        status = self._status
        known = status is not None
        return Ended(
            reason=reason,  # type: ignore[arg-type]
            exit_code=os.WEXITSTATUS(status) if known and os.WIFEXITED(status) else None,
            signal=os.WTERMSIG(status) if known and os.WIFSIGNALED(status) else None,
            max_rss_bytes=self._max_rss,
            memory_bytes=self._peak,
            processes=self._processes,
            swept=self._killed,
            left=left,
            curve=self._curve,
            curve_step_s=self._curve_step,
        )

    def _send(self, record: object) -> None:
        """Report; a sample that finds the pipe full is dropped, so that the watch never waits."""
        os.set_blocking(self._report, not isinstance(record, Sample))
        try:
            os.write(self._report, codec.encode(record))
        except OSError:
            pass  # the tester is gone, or slow; the next look will notice


def limit(order: dict[str, Any]) -> None:
    """Take on the limits and the directory that the worker inherits."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if order.get("max_file_bytes"):
        size = order["max_file_bytes"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    os.chdir(order["directory"])


def spawn(order: dict[str, Any], groups: list[int]) -> int:
    """Start the worker in a session of its own, with this process's standard streams.

    It is born in its control groups where this process can go there and back, else put into them.
    """
    files, homes = order.get("file_fds", []), order.get("home_fds", [])
    for descriptor in (*files, *homes):
        os.set_inheritable(descriptor, False)
    places = zip(files, FILES)
    _write_to(groups if homes else [], b"0")  # the process that writes
    pid = os.posix_spawn(
        order["argv"][0],
        order["argv"],
        order["environ"],
        file_actions=[(os.POSIX_SPAWN_DUP2, source, number) for source, number in places],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE],
    )
    _write_to(homes or groups, b"0" if homes else b"%d" % pid)
    for descriptor in (*files, *homes):
        os.close(descriptor)
    return pid


def _write_to(descriptors: list[int], text: bytes) -> None:
    for descriptor in descriptors:
        os.write(descriptor, text)


def _detach_standard_streams() -> None:
    """Let go of the worker's channel, so that its end is seen when the worker's tree lets go."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def _prefer_for_oom(pid: int) -> None:
    try:
        file = os.open("/proc/%d/oom_score_adj" % pid, os.O_WRONLY)
    except OSError:
        return
    try:
        os.write(file, WORKER_OOM_SCORE)
    except OSError:
        pass
    finally:
        os.close(file)


def kill(pid: int, number: int) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except OSError:
        pass

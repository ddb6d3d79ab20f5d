"""The template: imports once what handlers import first, and forks a supervisor for each worker.

`harness.runtime.templates` starts it on the handlers' interpreter. It never runs code of a handler,
has one thread whenever it forks, and leaves when its tester does. A supervisor forked here forks
its worker in turn (docs/decisions/0140-template.md).
"""

from __future__ import annotations

import _signal as signal
import _socket
import fcntl
import gc
import os
import select
import site
import sys
import time

# A fresh worker has loaded these when its first request comes; a forked one finds them here.
from . import calls, codec, image, libc, preload, processes, serve, supervisor  # noqa: F401
from .profiles import pytorch  # noqa: F401
from .protocol import Declined, Forked, Swept, Warmed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

MAX_DESCRIPTORS = 16
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AT_A_START = (signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL)  # of a fresh worker


def main(arguments: list[str]) -> None:
    """Serve orders until the tester is gone; in a forked worker, serve that worker's requests.

    The arguments are descriptors: the channel (a UNIX socket), a pidfd of the tester, and the end
    at which this process's own output comes out.
    """
    channel, tester, output = (int(argument) for argument in arguments)
    try:
        Template(channel, tester, output).run()
    except _IsWorker:
        pass  # out of every frame of the template and the supervisor: here a worker begins
    serve.main([], image.renew)


class _IsWorker(BaseException):
    """Unwinds a process that has just become a worker."""


class Template:
    """The channel to the tester, what was imported, and a pair that waits to be used.

    Supervisor and worker are forked ahead of the order for them: two forks of a large image take
    longer than the rest of a start.
    """

    def __init__(self, channel: int, tester: int, output: int) -> None:
        self._channel = _socket.socket(fileno=channel)
        self._tester = tester
        self._output = output
        self._pid = os.getpid()
        self._supervisors: set[int] = set()
        self._spawns = False
        self._waiting: tuple[int, Any] | None = None
        for descriptor in (channel, tester, output):
            os.set_inheritable(descriptor, False)

    def run(self) -> None:
        """Import what the first order names, then fork for each that follows."""
        order, _ = self._receive(self._channel)
        libc.become_subreaper()
        self._send(self._warm_up(order))
        while True:
            self._fork_ahead()
            order, descriptors = self._receive(self._channel)
            self._reap()
            self._send(self._sweep() if order["type"] == "sweep" else self._hand(descriptors))
            for descriptor in descriptors:
                os.close(descriptor)

    def _warm_up(self, order: dict[str, Any]) -> Warmed:
        self._spawns = order["spawns"]
        self._end_with_tester(True)
        if not self._spawns:
            sys.dont_write_bytecode = True
            image.variables_before()
            site.main()
        for number, handler in zip(IGNORED, AT_A_START):  # a tester in the background ignores some
            signal.signal(number, handler)
        found = preload.Preload(self._output, order["directory"])
        if not found.refusal:
            found.import_all(order["modules"])
        self._end_with_tester(False)
        self._handlers = [signal.getsignal(number) for number in IGNORED]
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        image.take()
        compile("", "template", "exec")  # what a first compilation makes takes a millisecond
        gc.collect()
        gc.freeze()  # else the first collection in each worker would copy every page
        return Warmed(
            python="%d.%d.%d" % sys.version_info[:3],
            imported=found.imported,
            left_out=found.left_out,
            unsafe=found.unsafe,
            refusal=found.refusal,
            packages=sorted({name.partition(".")[0] for name in list(sys.modules)}),
            anonymous_bytes=processes.anonymous(os.getpid())[0],
        )

    def _end_with_tester(self, does: bool) -> None:
        """Have the kernel end this process and what an import has started when the tester goes.

        No import can be waited with, and one may take for ever.
        """
        fcntl.fcntl(self._channel, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(self._channel, fcntl.F_SETOWN, -os.getpgid(0))  # the whole group
        flags = fcntl.fcntl(self._channel, fcntl.F_GETFL)
        asks = flags | fcntl.FASYNC if does else flags & ~fcntl.FASYNC
        fcntl.fcntl(self._channel, fcntl.F_SETFL, asks)
        if self._watch(self._channel).poll(0):
            self._leave()  # it went before

    def _watch(self, channel: Any) -> Any:
        """Make a poll of a channel and of the tester's end."""
        poll = select.poll()
        poll.register(channel.fileno(), select.POLLIN)
        poll.register(self._tester, select.POLLIN)
        return poll

    def _hand(self, descriptors: list[int]) -> Any:
        """Hand on the descriptors of a worker (6), of its supervisor (3), of groups and homes."""
        while self._fork_ahead(descriptors):
            assert self._waiting is not None
            (pid, link), self._waiting = self._waiting, None
            try:
                _give(link, b"\n", descriptors)
            except OSError:
                continue  # it was killed while it waited
            finally:
                link.close()
            return Forked(pid=pid)
        return Declined(reason="the template has %d threads" % _threads())

    def _fork_ahead(self, foreign: Iterable[int] = ()) -> bool:
        """Have a supervisor and its worker wait; False when it is not safe to fork.

        They do not keep the foreign descriptors, which another worker's channel ends with.
        """
        if self._waiting is None and _threads() == 1:
            link, their_end = _socket.socketpair()
            pid = os.fork()
            if pid == 0:
                _end_with_parent(self._pid)
                link.close()
                for descriptor in foreign:
                    os.close(descriptor)
                self._supervise(their_end)
            their_end.close()
            self._supervisors.add(pid)
            self._waiting = pid, link
        return self._waiting is not None

    def _supervise(self, link: Any) -> None:
        """Be the supervisor of one worker, and leave; in the worker, unwind."""
        os.setsid()
        self._channel.close()
        os.close(self._output)
        try:
            pair = None if self._spawns else self._worker_ahead(link)
            _, descriptors = self._receive(link)
            link.close()
            streams, (control, report, deadline) = descriptors[:6], descriptors[6:9]

            def start(order: dict[str, Any], groups: list[int]) -> int:
                if pair is None:
                    return _spawn(order, groups, streams)
                return _hand_on(order, groups, streams, *pair)

            supervisor.Supervisor(
                control, report, deadline, tester=self._tester, groups=descriptors[9:], start=start
            ).run()
        except Exception:
            os._exit(1)
        os._exit(0)

    def _worker_ahead(self, link: Any) -> tuple[int, Any]:
        """Fork the worker, which waits for its order; give its id and the way to it."""
        to_worker, own_end = _socket.socketpair()
        supervisor_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            _end_with_parent(supervisor_pid)
            link.close()
            to_worker.close()
            order, descriptors = self._receive(own_end)
            libc.be_signalled_with_parent(0)
            supervisor.limit(order)
            image.begin(order, descriptors[:6], descriptors[6:], zip(IGNORED, self._handlers))
            raise _IsWorker
        own_end.close()
        return pid, to_worker

    def _receive(self, channel: Any) -> tuple[Any, list[int]]:
        """Wait for an order and the descriptors sent with it; leave when the tester is gone."""
        poll = self._watch(channel)
        line = b""
        descriptors: list[int] = []
        while not line.endswith(b"\n"):
            if self._tester in [descriptor for descriptor, _ in poll.poll()]:
                self._leave()
            space = _socket.CMSG_SPACE(4 * MAX_DESCRIPTORS)
            part, ancillary, _, _ = channel.recvmsg(65536, space, _socket.MSG_CMSG_CLOEXEC)
            if not part:
                self._leave()
            line += part
            for _, _, data in ancillary:
                descriptors += _numbers(data)
        return codec.decode(line) if line != b"\n" else None, descriptors

    def _send(self, record: object) -> None:
        try:
            self._channel.sendall(codec.encode(record))
        except OSError:
            self._leave()

    def _leave(self) -> None:
        """End this process; a template ends who waits, what it adopted, what an import started."""
        if os.getpid() == self._pid:
            if self._waiting is not None:
                self._supervisors.discard(self._waiting[0])
            self._sweep()
        os._exit(0)

    def _reap(self) -> None:
        """Collect what ended. The tester has asked again, so it holds the pidfds that it needs."""
        try:
            while True:
                pid, _ = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._supervisors.discard(pid)
        except ChildProcessError:
            pass

    def _sweep(self) -> Swept:
        """End every child that is no supervisor: the orphans of one that was killed."""
        ended: set[int] = set()
        give_up = time.monotonic() + supervisor.GIVE_UP_S
        while time.monotonic() < give_up:
            self._reap()
            orphans = set(processes.children(os.getpid())) - self._supervisors
            if not orphans:
                break
            for pid in orphans.union(*(processes.descendants(pid) for pid in orphans)):
                ended.add(pid)
                supervisor.kill(pid, signal.SIGKILL)
            time.sleep(0.0005)
        return Swept(processes=len(ended))


def _end_with_parent(parent: int) -> None:
    """Have the kernel end this process with its parent, also where a handler has stopped it."""
    libc.be_signalled_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)  # it ended before


def _hand_on(
    order: dict[str, Any], groups: list[int], streams: list[int], worker: int, link: Any
) -> int:
    """Give the worker that waits its order and what it needs; give its id."""
    _give(link, codec.encode(order), [*streams, *groups])
    link.close()
    supervisor.kill(worker, signal.SIGCONT)  # a handler may have stopped who waited
    for descriptor in streams:
        os.close(descriptor)
    return worker


def _spawn(order: dict[str, Any], groups: list[int], streams: list[int]) -> int:
    """Start the worker as a program of its own, by a supervisor that was forked; give its id."""
    for number, descriptor in enumerate(streams[:3]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    order["file_fds"] = streams[3:]
    return supervisor.spawn(order, groups)


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _numbers(data: bytes) -> list[int]:
    """Read descriptors as the kernel passes them; `struct` would be loaded in every worker then."""
    ends = range(4, len(data) + 1, 4)
    return [int.from_bytes(data[end - 4 : end], sys.byteorder) for end in ends]


def _give(channel: Any, line: bytes, descriptors: list[int]) -> None:
    """Send a line, and descriptors with its first bytes."""
    packed = b"".join(descriptor.to_bytes(4, sys.byteorder) for descriptor in descriptors)
    sent = channel.sendmsg([line], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)])
    if sent < len(line):  # sending nothing fails where who has the whole line has closed its end
        channel.sendall(line[sent:])

"""A session: one worker from its start to its end, call by call, each under its deadline.

Everything that can end a call is evidence here (Answer, Ending); verdicts are made of it in
`harness.checks.verdict`. After any Ending the worker and its whole tree are gone.
"""

import contextlib
import os
import select
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

import worker.protocol as protocol
from harness.runtime import system, wire
from harness.runtime.bodies import Raw
from harness.runtime.cgroups import Usage
from harness.runtime.evidence import Answer, EndCause, Ending, ending_of, first_that_applies
from harness.runtime.pipes import Pipes
from harness.runtime.process import WorkerProcess
from harness.runtime.wire import Series

Kinds = tuple[str, ...]
Request = protocol.Load | protocol.Call | protocol.LoadScript | protocol.RunScript
GREETING: Kinds = ("ready",)
ANSWERS: dict[str, Kinds] = {
    "load": ("loaded", "raised", "refused"),
    "call": ("returned", "raised", "refused"),
    "load_script": ("loaded", "raised", "refused"),
    "run_script": ("returned", "raised", "refused"),
}
CLOSED_CHANNEL_GRACE_S = 1.0
KILL_WAIT_S = 12.0
SECOND_NET_S = 1.0  # so much after our deadline the supervisor ends the tree without us
DUMP_GRACE_S = 0.2
DUMP_LOOK_S = 0.001
EXIT_GRACE_S = 2.0
OOM_LOOK_S = 0.1  # a worker may wait for ever for the child that the kernel took
SIGKILL = 9


class Session:
    """A running worker. Use it in a `with` block: leaving it ends the whole tree."""

    def __init__(
        self,
        process: WorkerProcess,
        *,
        max_output_bytes: int,
        max_response_bytes: int,
    ) -> None:
        self._max_output = max_output_bytes
        self._max_response = max_response_bytes
        self._keep_log = False
        self._is_ahead = False  # at a call whose answer nobody waits for yet
        self._process = process
        self._pipes = Pipes(
            process,
            max_reply_bytes=max_response_bytes * 4 // 3 + protocol.LINE_OVERHEAD_BYTES,
            max_output_bytes=max_output_bytes,
        )
        group = process.group
        self._limiting = group if group is not None and group.limits_memory else None
        self._ending: Ending | None = None
        self._kernel: Usage | None = None
        self._system_kills = system.oom_kills()
        self.ready: protocol.Ready | None = None
        self.late_log_bytes = 0

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the worker can take a request."""
        return self._ending is None

    @property
    def subreaper(self) -> bool:
        """Whether the kernel hands the supervisor what the handler leaves."""
        return self._pipes.subreaper

    def start(self, timeout_s: float) -> Answer:
        """Wait for the worker's first line, at most so many seconds."""
        answer = self._exchange(b"", "", GREETING, timeout_s)
        if isinstance(answer.reply, protocol.Ready):
            self.ready = answer.reply
            if self.ready.protocol != protocol.VERSION:
                ending = self._end(
                    "not_started",
                    f"the worker speaks protocol {self.ready.protocol}, this tester "
                    f"{protocol.VERSION}; install one version of handlerproof",
                )
                return self._answer("", None, ending, answer.elapsed_s)
        return answer

    def request(self, message: Request, timeout_s: float) -> Answer:
        """Send one request and wait for its reply, at most so many seconds.

        Raises ValueError when the message has a number that JSON cannot carry.
        """
        data = wire.encode(message)
        late = self.settle()
        if late is not None:
            return self._late_answer(message.id, late)
        return self._exchange(data, message.id, ANSWERS[message.type], timeout_s)

    def calls(self, go: Iterable[Series], timeout_s: float) -> Iterator[Answer]:
        """Send calls in one go; give the answer to each that the worker carried out.

        The worker is at the first series while the others are made. The deadline of a call begins
        with the answer to the one before, that of the first when all are sent; whoever takes the
        answers takes them all, and has no other business. Raises what making them raises.
        """
        late = self.settle()
        if late is not None:
            yield self._late_answer("", late)  # no call is made, for that takes the files of bodies
            return
        sent = time.monotonic()
        calls = self._send(go, timeout_s)
        for call in calls:
            is_last = call is calls[-1]
            answer = self._exchange(
                b"", call.id, ANSWERS[call.type], timeout_s, sent=sent, is_last=is_last
            )
            self._is_ahead = _goes_on(answer.reply) and not is_last
            yield answer
            if not self._is_ahead:
                return

    def _send(self, go: Iterable[Series], timeout_s: float) -> list[protocol.Call]:
        """Write the first series as soon as it is made, and the others, all at once, after it.

        The second net is that of what is written: before, the worker has nothing to do.
        """
        calls: list[protocol.Call] = []
        others: list[bytes] = []
        try:
            for series in go:
                self._process.set_deadline(time.monotonic() + timeout_s + SECOND_NET_S)
                if calls:
                    others.append(series.data)
                else:
                    self._pipes.write(series.data)
                calls += series.calls
            self._pipes.write(b"".join(others))
        except BaseException:
            if calls:
                self._end("closed", "given up during a call")
            raise
        self._is_ahead = True
        return calls

    def _late_answer(self, name: str, ending: Ending) -> Answer:
        return self._answer(name, None, ending, 0.0)._replace(late=True)

    def carry(self, raw: Raw) -> protocol.Argument:
        """Make an argument of bytes, for the go that is made."""
        return self._process.bodies.carry(raw)

    def release(self, ids: list[str]) -> None:
        """Let the worker forget the values of these calls. A dead worker has forgotten them."""
        if self._ending is None:
            self._pipes.write(wire.encode(protocol.Release(ids=ids)))

    def settle(self) -> Ending | None:
        """Look for what happened since the last reply; end the worker if it was anything.

        A second reply, or a death between two calls, belongs to the call that was answered last.
        """
        if self._ending is not None:
            return self._ending
        try:
            for descriptor, _ in self._pipes.poll(0):
                if descriptor == self._process.requests:
                    self._pipes.write()
                elif not self._pipes.is_stop(descriptor):  # the next request heeds it
                    self._pipes.drain(descriptor)
        except wire.Violation as error:
            return self._end("protocol", str(error))
        if self._pipes.log.total_bytes and not self._keep_log:
            self.late_log_bytes += self._pipes.log.total_bytes
            self._pipes.new_log()
        if self._pipes.pending:
            return self._end("protocol", f"a second reply: {self._pipes.pending[:80]!r}")
        if self._pipes.is_over:
            return self._end("death", "the worker ended after its answer, before the next call")
        return None

    def close(self) -> Ending:
        """End the worker: politely when it is idle, else at once. Safe to call again."""
        if self._ending is not None:
            return self._ending
        if self._is_ahead:
            return self._end("closed", "given up during a call")
        if self.settle() is not None:
            return self._ending  # type: ignore[return-value]
        self._pipes.stop_writing()
        self._process.hang_up()
        self._await_ended(EXIT_GRACE_S)
        polite = self._pipes.ended is not None
        text = "closed" if polite else "the worker did not leave when asked to; killed"
        return self._end("closed", text)

    # ------------------------------------------------------------ one request

    def _exchange(
        self,
        data: bytes,
        name: str,
        kinds: Kinds,
        timeout_s: float,
        *,
        sent: float | None = None,
        is_last: bool = True,
    ) -> Answer:
        """Write the data and read until the reply, an ending or the deadline: first wins.

        `sent` is when the request was written, if not now, or a time before; `is_last` says that no
        other of its go follows it.
        """
        start = time.monotonic()
        deadline = start + timeout_s
        self._process.set_deadline(deadline + SECOND_NET_S)
        self._pipes.sampled_bytes = 0
        try:
            if data:
                self._pipes.write(data)
            reply, ending = self._converse(name, kinds, deadline, not is_last, wrote=bool(data))
        except wire.LineTooLong as error:
            reply, ending = None, self._end("reply", str(error))
        except wire.Violation as error:
            reply, ending = None, self._end("protocol", str(error))
        except BaseException:  # Ctrl-C above all: a worker in the middle of a call is not asked
            self._end("closed", "interrupted during a call")
            raise
        now = time.monotonic()
        if ending is None and (is_last or not _goes_on(reply)):
            self._process.set_deadline(0.0)
            self._process.bodies.clear()
        # A reply may have waited here while the one before it was looked at.
        elapsed = now - (start if sent is None or reply is None else sent)
        return self._answer(name, reply, ending, elapsed)

    def _converse(
        self, name: str, kinds: Kinds, deadline: float, ahead: bool, *, wrote: bool
    ) -> tuple[wire.Reply | None, Ending | None]:
        """Read as `_exchange` does; what was not written now may be answered already."""
        hung_up_at: float | None = None
        reply = None if wrote else self._reply(name, kinds)
        if reply is not None and not (ahead and _goes_on(reply)):
            self._pipes.drain(self._process.log)  # it came with the reply before it
        while True:
            if reply is None or self._is_early(kinds):
                now = time.monotonic()
                ending = self._ending_by_now(now, deadline, hung_up_at)
                if ending is not None:
                    return None, ending
                if hung_up_at is None and self._pipes.has_hung_up:
                    hung_up_at = now
                wait_ms = self._wait_ms(now, deadline, hung_up_at)
                for descriptor, _ in self._pipes.poll(wait_ms):  # replies come before the log
                    if self._pipes.is_stop(descriptor):
                        self._pipes.leave(descriptor)
                        raise KeyboardInterrupt
                    if descriptor == self._process.requests:
                        self._pipes.write()
                    elif descriptor == self._process.log and not ahead:
                        # What was written before the reply is seen with it: it is the call's.
                        self._pipes.drain(descriptor)
                    else:
                        self._pipes.read(descriptor)
                    reply = reply or self._reply(name, kinds)
                    if ahead and _goes_on(reply):
                        break  # what there is beside it is the next call's
            flooded = self._pipes.is_flooded
            ending = self._end("log", self._flood) if flooded else self._silent_kill()
            if ending is not None:
                return None, ending
            if reply is not None and not self._is_early(kinds):
                return reply, None

    def _is_early(self, kinds: Kinds) -> bool:
        """Say whether a worker that greets may not be in its control groups yet."""
        return kinds is GREETING and self._pipes.worker_pid is None

    def _ending_by_now(
        self, now: float, deadline: float, hung_up_at: float | None
    ) -> Ending | None:
        if self._pipes.is_over:
            return self._end("death", "the worker ended without an answer")
        if now >= deadline:
            stack = self._dump_stacks()
            return replace(self._end("timeout", "no answer before the deadline"), stack=stack)
        if hung_up_at is not None and now - hung_up_at > CLOSED_CHANNEL_GRACE_S:
            return self._end("protocol", "the worker's channel was closed, its process goes on")
        return None

    @property
    def _flood(self) -> str:
        return f"more than {self._max_output} bytes of output"

    def _system_killed(self) -> bool:
        return system.oom_kills() != self._system_kills

    def _silent_kill(self) -> Ending | None:
        """End a worker that lives on although the kernel killed a process of its for memory."""
        if self._limiting is None or self._limiting.oom_kills() == 0:
            return None
        return self._end("memory", "the kernel ended a process of it")

    def _dump_stacks(self) -> str | None:
        """Have the worker write where its threads are, and give it a moment to do so.

        It writes line by line: what two looks find the same is whole.
        """
        self._process.dump()
        limit = time.monotonic() + DUMP_GRACE_S
        before = None
        while not self._pipes.is_over and time.monotonic() < limit:
            written = self._process.stacks.read()
            if written is not None and written == before:
                return written
            before = written
            self._wait_a_little(limit)
        return self._process.stacks.read()

    def _wait_a_little(self, limit: float) -> None:
        """Take reports for a moment, so that a death meanwhile is seen."""
        only = select.poll()
        only.register(self._process.report, select.POLLIN)
        if only.poll(min(DUMP_LOOK_S, max(0.0, limit - time.monotonic())) * 1000):
            with contextlib.suppress(wire.Violation):
                self._pipes.read(self._process.report)

    def _wait_ms(self, now: float, deadline: float, hung_up_at: float | None) -> float:
        if hung_up_at is not None:
            deadline = min(deadline, hung_up_at + CLOSED_CHANNEL_GRACE_S)
        wait = max(0.0, deadline - now)
        if self._limiting is not None and wait > OOM_LOOK_S:
            wait = OOM_LOOK_S
        return wait * 1000 + 1

    def _reply(self, name: str, kinds: Kinds) -> wire.Reply | None:
        line = self._pipes.next_line()
        if line is None:
            return None
        reply = wire.decode_reply(line)
        if getattr(reply, "id", "") != name:
            raise wire.Violation(f"a reply to no open request: {line[:80]!r}")
        if reply.type not in kinds:
            raise wire.Violation(f"a reply of the kind {reply.type!r}, where {kinds} are due")
        return self._process.bodies.complete(reply, self._max_response)

    # ------------------------------------------------------------ the end

    def _end(self, cause: EndCause, detail: str) -> Ending:
        """End the tree, collect the evidence, give everything back."""
        self._is_ahead = False
        self._pipes.stop_writing()
        if not self._pipes.is_over:
            self._process.kill()
            self._await_ended(KILL_WAIT_S)
        swept = 0
        if self._pipes.ended is None:
            swept = self._process.sweep(self._pipes.worker_pid)
        group = self._process.group
        self._kernel = group.usage() if group is not None else None
        self._process.close()
        self._ending = self._evidence(cause, detail, swept)
        return self._ending

    def _await_ended(self, seconds: float) -> None:
        """Read reports until the last one, dropping what the worker still sends."""
        deadline = time.monotonic() + seconds
        while not self._pipes.is_over:
            wait = deadline - time.monotonic()
            if wait <= 0:
                return
            for descriptor, _ in self._pipes.poll(wait * 1000 + 1):
                with contextlib.suppress(wire.Violation):
                    self._pipes.drop_or_read(descriptor)

    def _evidence(self, cause: EndCause, detail: str, swept: int) -> Ending:
        ended = self._pipes.ended
        if ended is None:
            text = "the supervisor was killed, maybe by the handler"
            return Ending("supervisor", text, signal=SIGKILL, swept=swept)
        if isinstance(ended, protocol.NotStarted):
            return Ending("not_started", os.strerror(ended.errno))
        if self._pipes.is_flooded and cause in ("death", "timeout", "protocol"):
            cause, detail = "log", self._flood
        cause, detail = first_that_applies(ended, self._kernel, cause, detail)
        if cause == "death" and ended.signal == SIGKILL and self._system_killed():
            detail += "; meanwhile the system ended a process for want of memory, maybe this one"
        return ending_of(ended, self._kernel, cause, detail)

    def _answer(
        self, name: str, reply: wire.Reply | None, ending: Ending | None, elapsed_s: float
    ) -> Answer:
        peak = getattr(reply, "peak_memory_bytes", None)
        source = "VmHWM" if peak is not None else None
        if self._pipes.sampled_bytes > (peak or 0) and ending is None:
            peak, source = self._pipes.sampled_bytes, "pss"
        if ending is not None:
            peak, source = ending.peak_memory_bytes, ending.peak_memory_source
        log = self._pipes.log.excerpt()
        # What the import printed is shown with the first call, which has a row to show it in.
        self._keep_log = isinstance(reply, protocol.Loaded)
        if log is not None and not self._keep_log:
            self._pipes.new_log()
        return Answer(name, reply, ending, elapsed_s, peak, source, log)


def _goes_on(reply: wire.Reply | None) -> bool:
    """Say whether the worker goes on at once with the call that follows."""
    return isinstance(reply, protocol.Returned) and bool(reply.goes_on)

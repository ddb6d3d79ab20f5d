"""What a session tells of one request: a reply, or how the worker ended, with the evidence."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import worker.protocol as protocol
from harness.runtime import wire
from harness.runtime.cgroups import Usage
from harness.summaries import LogExcerpt, MemoryCurve

EndCause = Literal[
    "not_started",  # the interpreter could not be executed, or speaks another protocol
    "timeout",  # our deadline passed before a valid reply was read
    "memory",
    "processes",
    "log",  # more log than max_output_bytes
    "reply",  # a reply longer than max_response_bytes allows
    "protocol",  # bytes on the channel that no worker of ours sends, or a closed channel
    "death",  # the worker ended by itself: exit_code or signal tells how
    "supervisor",  # the supervisor was killed under us
    "closed",  # the session was closed by the tester
]


@dataclass(frozen=True)
class Ending:
    """How a worker ended, with the evidence. memory in bytes; swept and left count processes."""

    cause: EndCause
    detail: str
    exit_code: int | None = None
    signal: int | None = None
    peak_memory_bytes: int | None = None
    peak_memory_source: str | None = None
    swept: int = 0
    left: int = 0
    curve: MemoryCurve | None = None
    stack: str | None = None


class Answer(NamedTuple):
    """What came of one request: a reply, or the ending of the worker."""

    id: str  # of the request; empty for a call that was not made
    reply: wire.Reply | None
    ending: Ending | None
    elapsed_s: float
    peak_memory_bytes: int | None
    peak_memory_source: str | None
    log: LogExcerpt | None
    late: bool = False  # the ending belongs to the call that was answered before this one


def first_that_applies(
    ended: protocol.Ended, kernel: Usage | None, cause: EndCause, detail: str
) -> tuple[EndCause, str]:
    """Pick, of all that the evidence shows, what is told: a limit before how the worker ended.

    `cause` is what the tester saw first; the supervisor's last report and the kernel's counts may
    know better.
    """
    if kernel is not None and kernel.oom_kills:
        return "memory", "the kernel ended it at the limit of its control group"
    if ended.reason == "memory":
        return "memory", f"{ended.processes} processes"
    if ended.reason == "processes":
        return "processes", f"{ended.processes} processes"
    if kernel is not None and kernel.forks_refused and cause in ("death", "timeout"):
        return "processes", "the limit's worth of processes"
    if cause == "log":
        return cause, detail
    if ended.reason == "exit" and ended.exit_code == protocol.EXIT_CHANNEL_LOST:
        return "protocol", "the worker's channel was closed under it"
    if ended.reason == "deadline":
        return "timeout", "the supervisor ended it after the deadline"
    return cause, detail


def ending_of(ended: protocol.Ended, kernel: Usage | None, cause: EndCause, detail: str) -> Ending:
    """Give the ending that a supervisor's last report and the kernel's counts tell of."""
    counted = (kernel and kernel.peak_bytes) or 0
    # What a process had before it joined the group is counted by the watchdog alone.
    if counted and not (ended.reason == "memory" and ended.memory_bytes > counted):
        peak, source = counted, "cgroup"
    elif ended.reason == "memory" or ended.memory_bytes > ended.max_rss_bytes:
        peak, source = ended.memory_bytes, "pss"
    else:
        peak, source = ended.max_rss_bytes, "ru_maxrss"
    return Ending(
        cause=cause,
        detail=detail,
        exit_code=ended.exit_code,
        signal=ended.signal,
        peak_memory_bytes=peak,
        peak_memory_source=source,
        swept=ended.swept,
        left=ended.left,
        curve=_curve(ended),
    )


def _curve(ended: protocol.Ended) -> MemoryCurve | None:
    if not ended.curve:
        return None
    return MemoryCurve(step_s=ended.curve_step_s, resident_bytes=ended.curve)

"""What a session tells of one request: a reply, or how the worker ended, with the evidence."""

from dataclasses import dataclass
from typing import Literal

from harness.results import LogExcerpt
from harness.runtime import wire

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
    stack: str | None = None


@dataclass(frozen=True)
class Answer:
    """What came of one request: a reply, or the ending of the worker."""

    id: str
    reply: wire.Reply | None
    ending: Ending | None
    elapsed_s: float
    peak_memory_bytes: int | None
    peak_memory_source: str | None
    log: LogExcerpt | None
    late: bool = False  # the ending belongs to the call that was answered before this one

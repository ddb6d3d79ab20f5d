"""Messages as bytes: the strict, bounded reading of what a child sends. Other half: worker.codec.

Bytes from a child are hostile: a line is at most so long, valid UTF-8 JSON, and exactly one of the
messages of `worker.protocol`, or it is a Violation.
"""

import json
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter

from worker import protocol

Reply = protocol.Ready | protocol.Loaded | protocol.Returned | protocol.Raised | protocol.Refused
Report = protocol.Started | protocol.NotStarted | protocol.Sample | protocol.Ended

T = TypeVar("T")

_replies: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="type")])
_reports: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="type")])


class Violation(Exception):
    """A child sent what no child of ours sends."""


class LineTooLong(Violation):
    """A line passed its limit before it ended."""


def encode(message: object) -> bytes:
    """Write a message as one line. Raises ValueError for a NaN or an infinity in it."""
    text = json.dumps(protocol.plain(message), allow_nan=False, separators=(",", ":"))
    return text.encode("ascii") + b"\n"


def decode_reply(line: bytes) -> Reply:
    """Read one line of a worker. Raises Violation."""
    return _decode(_replies, line)


def decode_report(line: bytes) -> Report:
    """Read one line of a supervisor. Raises Violation."""
    return _decode(_reports, line)


def _decode(adapter: TypeAdapter[T], line: bytes) -> T:
    try:
        return adapter.validate_json(line)
    except ValueError as error:
        raise Violation(
            f"not a message: {_first_problem(error)}; it begins {line[:80]!r}"
        ) from None


def _first_problem(error: Any) -> str:
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(step) for step in problem["loc"])
    return f"{place + ': ' if place else ''}{problem['msg']}"


class LineReader:
    """Cuts a stream of bytes into lines, and never holds more than one line's limit of them."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self._lines: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Take bytes as they came. Raises LineTooLong."""
        *ended, rest = data.split(b"\n")
        for part in ended:
            self._append(part)
            self._lines.append(b"".join(self._parts))
            self._parts, self._size = [], 0
        if rest:
            self._append(rest)

    def next_line(self) -> bytes | None:
        """Give the oldest whole line that was not given yet."""
        return self._lines.pop(0) if self._lines else None

    @property
    def pending(self) -> bytes:
        """The beginning of what has come and was not given: a whole line, or a part of one."""
        return self._lines[0] if self._lines else b"".join(self._parts[:1])

    def _append(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            raise LineTooLong(f"a line of more than {self._limit} bytes")
        self._parts.append(part)

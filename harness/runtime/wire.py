"""Messages as bytes: the strict, bounded reading of what a child sends. Other half: worker.codec.

Bytes from a child are hostile: a line is at most so long, valid UTF-8 JSON, and exactly one of the
messages of `worker.protocol`, or it is a Violation.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter

from worker import protocol

Reply = protocol.Ready | protocol.Loaded | protocol.Returned | protocol.Raised | protocol.Refused
Report = protocol.Started | protocol.NotStarted | protocol.Sample | protocol.Ended

TemplateReport = protocol.Warmed | protocol.Forked | protocol.Declined | protocol.Swept

T = TypeVar("T")

_encoder = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=protocol.parts)
# What _encoder would make anew for each line, where Python is CPython.
_make: Any = getattr(json.encoder, "c_make_encoder", None)
_escape = json.encoder.encode_basestring_ascii
_pieces: Any = _encoder.iterencode
if _make is not None:
    _pieces = _make(None, protocol.parts, _escape, None, ":", ",", False, False, False)
# Without it, pydantic keeps the last 16,384 short strings that any worker ever sent.
_config = ConfigDict(cache_strings="keys")
_replies: TypeAdapter[Reply] = TypeAdapter(
    Annotated[Reply, Field(discriminator="type")], config=_config
)
_reports: TypeAdapter[Report] = TypeAdapter(
    Annotated[Report, Field(discriminator="type")], config=_config
)
_template_reports: TypeAdapter[TemplateReport] = TypeAdapter(
    Annotated[TemplateReport, Field(discriminator="type")], config=_config
)
_TEXT_OR_NOTHING = (str, type(None))
MAX_TEXTS = 50_000  # of a line: its keys, and the texts of its lists
MAX_FAULTS = 100  # to look at, of a line
_calls: TypeAdapter[protocol.Call] = TypeAdapter(protocol.Call)


class Series(NamedTuple):
    """Calls that are written at once, as bytes."""

    calls: Sequence[protocol.Call]
    data: bytes


class Violation(Exception):
    """A child sent what no child of ours sends."""


class LineTooLong(Violation):
    """A line passed its limit before it ended."""


def encode(message: object) -> bytes:
    """Write a message as one line of ASCII. Raises ValueError for what JSON cannot carry."""
    if type(message) is protocol.Call:
        line = _quickly(message)
        if line is not None:
            return line
    try:
        text = "".join(_pieces(message, 0))
        return text.encode("ascii") + b"\n"
    except RecursionError:
        raise ValueError("a value holds itself, or is nested too deeply") from None


def _quickly(call: protocol.Call) -> bytes | None:
    """Write a call in a fifth of the time, by pydantic; None where that would be another line.

    It writes text that is not ASCII as it is, and values of any kind as best it can.
    """
    for given in call.arguments:
        if type(given.json) not in _TEXT_OR_NOTHING:
            return None
    try:
        line = _calls.serializer.to_json(call, exclude_none=True)
    except ValueError:  # text that is not Unicode
        return None
    return line + b"\n" if line.isascii() else None


def series_of(calls: Sequence[protocol.Call]) -> Series:
    """Write calls that go out together. Raises ValueError as `encode` does."""
    return Series(calls, b"".join(map(encode, calls)))


def decode_reply(line: bytes) -> Reply:
    """Read one line of a worker. Raises Violation."""
    return _decode(_replies, line)


def decode_report(line: bytes) -> Report:
    """Read one line of a supervisor. Raises Violation."""
    return _decode(_reports, line)


def decode_template_report(line: bytes) -> TemplateReport:
    """Read one line of a template. Raises Violation."""
    return _decode(_template_reports, line)


def _decode(adapter: TypeAdapter[T], line: bytes) -> T:
    if len(line) > protocol.LINE_OVERHEAD_BYTES:
        _check_structure(line)
    try:
        return adapter.validator.validate_json(line)  # type: ignore[no-any-return]
    except ValueError as error:
        raise Violation(
            f"not a message: {_first_problem(error)}; it begins {line[:80]!r}"
        ) from None


def _check_structure(line: bytes) -> None:
    """Refuse a line that is long for anything but long texts, as a response's is. Raises Violation.

    To read a list takes up to a hundred times the memory of its line, and it is read as a whole
    before anything of it can be refused.
    """
    bare = line.replace(rb"\\", b"").replace(rb"\"", b"")
    texts = bare.count(b'"') // 2
    if texts > MAX_TEXTS:
        raise Violation(f"a line with {texts} texts")
    outside = sum(map(len, bare.split(b'"')[::2]))
    if outside > protocol.LINE_OVERHEAD_BYTES:
        raise Violation(f"a line with {outside} bytes beside its texts")


def _first_problem(error: Any) -> str:
    if error.error_count() > MAX_FAULTS:
        return f"{error.error_count()} faults"  # to list them takes fifty times the line's memory
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(step) for step in problem["loc"])
    return f"{place + ': ' if place else ''}{problem['msg']}"


class LineReader:
    """Cuts a stream of bytes into lines, and never holds more than one line's limit of them.

    The limit is on all that was not taken yet, so that a flood of short lines ends as well.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._parts: list[bytes] = []
        self._searched = 0  # so many parts from the first hold no line's end
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take bytes as they came. Raises LineTooLong, or Violation for too many lines."""
        if self._size + len(data) > self._limit:
            if any(b"\n" in part for part in (*self._parts[self._searched :], data)):
                raise Violation(f"lines of more than {self._limit} bytes that nothing asked for")
            raise LineTooLong(f"a line of more than {self._limit} bytes")
        if data:
            self._size += len(data)
            self._parts.append(data)

    def next_line(self) -> bytes | None:
        """Give the oldest whole line that was not given yet."""
        if len(self._parts) == 1 and self._parts[0].find(b"\n") == len(self._parts[0]) - 1:
            line = self._parts.pop()[:-1]  # nearly always
            self._searched = self._size = 0
            return line
        for number in range(self._searched, len(self._parts)):
            end, newline, rest = self._parts[number].partition(b"\n")
            if newline:
                line = b"".join((*self._parts[:number], end))
                self._parts[: number + 1] = [rest] if rest else []
                self._searched = 0
                self._size -= len(line) + 1
                return line
        self._searched = len(self._parts)
        return None

    @property
    def pending(self) -> bytes:
        """The beginning of what has come and was not given: a whole line, or a part of one."""
        return self._parts[0].partition(b"\n")[0] or b"\n" if self._parts else b""

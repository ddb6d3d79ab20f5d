"""The parts of a result: what is told of a value, a failure, an answer, the worker's surroundings.

Records as records.py promises. docs/results.md defines every field.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from pydantic import Field

from harness.records import Count, Record, Seconds, Text

_QUOTED_NAME: Final = re.compile(r"'([A-Za-z_][A-Za-z0-9_]*)'")
_OS_MODULE: Final = re.compile(r"(?:<frozen os>|/os\.py)\Z")  # as newer Pythons name it, and older


class ValueSummary(Record):
    """An object that stayed in the worker."""

    type: Text = Field(description="Name of its class")
    module: Text = Field(description="Module of its class")
    shape: list[Count] | None = Field(default=None, description="Its length in each dimension")
    dtype: Text | None = Field(default=None, description="Its element type, for arrays and tensors")
    columns: list[Text] | None = Field(
        default=None, description="Its column names, for tables; a model's feature names"
    )
    features: Count | None = Field(
        default=None, description="How many features a model was fitted on"
    )
    length: Count | None = Field(default=None, description="Its len()")
    size_bytes: Count | None = Field(default=None, description="Bytes that its data takes")
    preview: Text | None = Field(default=None, description="Its beginning, as text")
    kinds: list[Text] = Field(
        default=[], description="What it can be taken for, and the names of its classes"
    )


class FrameSummary(Record):
    """One level of a traceback."""

    file: Text = Field(description="Path of the source file, as Python names it")
    line: Count = Field(description="Line number, from 1")
    function: Text = Field(description="Name of the function")
    code: Text | None = Field(default=None, description="The line itself, where it could be read")
    in_handler: bool = Field(description="Whether the file is the handler's own")


class CauseSummary(Record):
    """One exception behind another."""

    relation: Literal["cause", "context"] = Field(
        description='cause for "raise ... from", context for raised while handling'
    )
    type: Text = Field(description="Name of the exception's class")
    message: Text = Field(description="str() of the exception")
    bases: list[Text] = Field(default=[], description="Names of the classes it derives from")


class FailureSummary(Record):
    """An exception that the handler raised."""

    type: Text = Field(description="Name of its class")
    module: Text = Field(description="Module of its class")
    message: Text = Field(description="str() of the exception")
    traceback: Text = Field(description="The traceback as Python prints it")
    frames: list[FrameSummary] = Field(default=[], description="Its frames, oldest first")
    causes: list[CauseSummary] = Field(default=[], description="The chain behind it, nearest first")
    bases: list[Text] = Field(
        default=[], description="Names of the classes that its own derives from"
    )

    @property
    def missing_variable(self) -> str | None:
        """The variable that os.environ did not have, where it was os.environ that raised."""
        name = _QUOTED_NAME.fullmatch(self.message)
        if self.type != "KeyError" or name is None or not self.frames:
            return None
        last = self.frames[-1]
        by_environ = _OS_MODULE.search(last.file) and not last.in_handler
        return name[1] if by_environ and last.function == "__getitem__" else None


class LogExcerpt(Record):
    """What the handler printed, with the middle left out when it was long."""

    head: Text = Field(description="The beginning")
    tail: Text = Field(description="The end, when it did not fit into head")
    total_bytes: Count = Field(description="Bytes printed")
    dropped_bytes: Count = Field(description="Bytes between head and tail that were not kept")


class SignalSummary(Record):
    """The signal that ended a worker."""

    number: Count = Field(description="Its number on this machine")
    name: Text = Field(description="Its name, such as SIGSEGV")


class ResponseSummary(Record):
    """What the serving container would have answered."""

    status: int | None = Field(default=None, description="HTTP status; None: no answer at all")
    content_type: Text | None = Field(default=None, description="Content-Type of the answer")
    body: Text | None = Field(default=None, description="Body, encoded as body_encoding says")
    body_encoding: Literal["utf-8", "base64"] | None = Field(
        default=None, description="How body stands for bytes"
    )
    reason: Text | None = Field(default=None, description="Why there is no answer, or this one")


class NetworkAttempt(Record):
    """Something that the handler's Python code tried to reach, from one of its lines."""

    kind: Literal["connect", "send", "resolve", "install", "other"] = Field(
        description="A connection, a datagram, the look-up of a name, packages to install; other: "
        "by a child process or native code"
    )
    target: Text = Field(description="The host; for install the command")
    port: Count | None = Field(default=None, description="The port, where there is one")
    file: Text | None = Field(default=None, description="The handler's file; None: not its own")
    line: Count | None = Field(default=None, description="The line in that file")
    count: Count = Field(description="How often it was tried")
    seconds: Seconds = Field(description="Seconds between the first time and the last")


class Diagnosis(Record):
    """A known mistake that was seen, with its code; `handlerproof explain CODE` says more."""

    code: Text = Field(description="Its code, such as HP401 (docs/diagnoses.md)")
    message: Text = Field(description="What was seen of it in this handler, in one sentence")
    function: Text | None = Field(default=None, description="The function that shows it")
    sample_name: Text | None = Field(default=None, description="The sample that shows it")
    excerpt: Text | None = Field(
        default=None, description="The line of the body that shows it, a caret below the place"
    )


class MissingLayer(Record):
    """A layer of isolation that this machine could not give."""

    layer: Text = Field(description="Name of the layer")
    reason: Text = Field(description="Why it could not be had")


class MemoryWatch(Record):
    """Who holds the memory limit, and how."""

    enforcer: Text = Field(description="What stops a handler that takes too much")
    metric: Text = Field(description="What is measured")
    interval_ms: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Milliseconds between two looks; None: the kernel watches all the time",
    )
    worst_overshoot_bytes: Count | None = Field(
        default=None,
        description="Most bytes over the limit when a worker was killed; None: none was",
    )


class MemoryCurve(Record):
    """The memory of a worker's process tree over time, from its start to its end."""

    step_s: Seconds = Field(description="Seconds that each value stands for")
    resident_bytes: list[Count] = Field(
        description="Most resident bytes in each step, as sampled; pages that processes share "
        "count for each"
    )


class IsolationSummary(Record):
    """The isolation that was really in force."""

    requested: Text = Field(description="The level asked for")
    effective: list[Text] = Field(description="The layers in force")
    missing: list[MissingLayer] = Field(description="The layers that could not be had")
    memory: MemoryWatch = Field(description="How memory was limited")
    network: Text = Field(description="What the handler could reach")
    filesystem: Text = Field(description="What the handler could read and write")
    kill: Text = Field(description="How the process tree was ended")


class EnvironmentSummary(Record):
    """The interpreter that ran the handler."""

    kind: Text = Field(description="How the environment was chosen, such as inherit")
    python_version: Text = Field(description="Its version, such as 3.11.7")
    executable: Text = Field(description="Its path")
    key: Text | None = Field(default=None, description="Key of an environment that is kept")
    start: Literal["fresh", "warm"] = Field(
        default="fresh", description="How the last worker was started"
    )
    start_reason: Text = Field(default="asked for", description="Why it was started so")

"""What came out of testing one handler; what was asked is in specs.py.

Records hold text, numbers and JSON only, never a live object, and survive a JSON round trip
exactly. To keep that promise whatever a handler or a file name contains, text that is not Unicode
is escaped and numbers that JSON cannot hold become text ("nan"). docs/results.md defines every
field.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypedDict

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    computed_field,
    model_validator,
)

from harness.errors import SpecError

FunctionName = Literal["model_fn", "input_fn", "predict_fn", "output_fn", "transform_fn"]
Phase = Literal["start", "import", "call"]
BodyVariant = Literal["as given", "one row", "two rows"]
ContentTypeVariant = Literal["as given", "with charset", "upper case", "absent", "unknown"]
AcceptVariant = Literal["as given", "absent", "any", "list", "with q"]

FUNCTION_NAMES: Final[tuple[FunctionName, ...]] = (
    "model_fn",
    "input_fn",
    "predict_fn",
    "output_fn",
)
END_TO_END: Final = "end_to_end"
_NOT_ASKED: Final = "not asked: "


class Outcome(StrEnum):
    """How a call or an end-to-end test ended."""

    passed = "passed"
    failed = "failed"
    raised = "raised"
    timed_out = "timed_out"
    memory_exceeded = "memory_exceeded"
    output_exceeded = "output_exceeded"
    processes_exceeded = "processes_exceeded"
    disk_exceeded = "disk_exceeded"
    crashed = "crashed"
    exited = "exited"
    protocol_violated = "protocol_violated"
    not_started = "not_started"
    skipped = "skipped"


class SuccessRate(TypedDict):
    """How many of the tests that were asked for passed."""

    passed: int
    total: int


class Performance(TypedDict):
    """Seconds and bytes over the tests that ran; None where none ran or nothing was measured."""

    count: int
    total_s: float
    mean_s: float | None
    min_s: float | None
    max_s: float | None
    peak_memory_bytes: int | None


class ErrorSummary(TypedDict):
    """The tests that did not pass, skipped ones left out."""

    total: int
    by_outcome: dict[str, int]
    by_function: dict[str, int]
    messages: list[str]


def not_asked(why: str) -> str:
    """Word the skip reason of a test that the user did not ask for; rates leave it out."""
    return _NOT_ASKED + why


# ---------------------------------------------------------------- kinds of fields


def _escaped(value: object) -> object:
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode(errors="backslashreplace").decode()


def _json_safe(value: object) -> object:
    if isinstance(value, str):
        return _escaped(value)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101 - a dict is told faster
        return {_escaped(key): _json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_safe(item) for item in value]
    return value


Text = Annotated[str, BeforeValidator(_escaped)]
JsonObject = Annotated[dict[str, JsonValue], BeforeValidator(_json_safe)]
Count = Annotated[int, Field(ge=0)]
# The bound keeps every sum of times finite, and is far beyond what the wire lets through.
Seconds = Annotated[float, Field(ge=0, lt=1e12, allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# ---------------------------------------------------------------- parts of results


class ValueSummary(_Record):
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


class FrameSummary(_Record):
    """One level of a traceback."""

    file: Text = Field(description="Path of the source file, as Python names it")
    line: Count = Field(description="Line number, from 1")
    function: Text = Field(description="Name of the function")
    code: Text | None = Field(default=None, description="The line itself, where it could be read")
    in_handler: bool = Field(description="Whether the file is the handler's own")


class CauseSummary(_Record):
    """One exception behind another."""

    relation: Literal["cause", "context"] = Field(
        description='cause for "raise ... from", context for raised while handling'
    )
    type: Text = Field(description="Name of the exception's class")
    message: Text = Field(description="str() of the exception")
    bases: list[Text] = Field(default=[], description="Names of the classes it derives from")


class FailureSummary(_Record):
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


class LogExcerpt(_Record):
    """What the handler printed, with the middle left out when it was long."""

    head: Text = Field(description="The beginning")
    tail: Text = Field(description="The end, when it did not fit into head")
    total_bytes: Count = Field(description="Bytes printed")
    dropped_bytes: Count = Field(description="Bytes between head and tail that were not kept")


class SignalSummary(_Record):
    """The signal that ended a worker."""

    number: Count = Field(description="Its number on this machine")
    name: Text = Field(description="Its name, such as SIGSEGV")


class ResponseSummary(_Record):
    """What the serving container would have answered."""

    status: int | None = Field(default=None, description="HTTP status; None: no answer at all")
    content_type: Text | None = Field(default=None, description="Content-Type of the answer")
    body: Text | None = Field(default=None, description="Body, encoded as body_encoding says")
    body_encoding: Literal["utf-8", "base64"] | None = Field(
        default=None, description="How body stands for bytes"
    )
    reason: Text | None = Field(default=None, description="Why there is no answer, or this one")


class NetworkAttempt(_Record):
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


class Diagnosis(_Record):
    """A known mistake that was seen, with its code; `handlerproof explain CODE` says more."""

    code: Text = Field(description="Its code, such as HP401 (docs/diagnoses.md)")
    message: Text = Field(description="What was seen of it in this handler, in one sentence")
    function: Text | None = Field(default=None, description="The function that shows it")
    sample_name: Text | None = Field(default=None, description="The sample that shows it")
    excerpt: Text | None = Field(
        default=None, description="The line of the body that shows it, a caret below the place"
    )


class MissingLayer(_Record):
    """A layer of isolation that this machine could not give."""

    layer: Text = Field(description="Name of the layer")
    reason: Text = Field(description="Why it could not be had")


class MemoryWatch(_Record):
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


class MemoryCurve(_Record):
    """The memory of a worker's process tree over time, from its start to its end."""

    step_s: Seconds = Field(description="Seconds that each value stands for")
    resident_bytes: list[Count] = Field(
        description="Most resident bytes in each step, as sampled; pages that processes share "
        "count for each"
    )


class IsolationSummary(_Record):
    """The isolation that was really in force."""

    requested: Text = Field(description="The level asked for")
    effective: list[Text] = Field(description="The layers in force")
    missing: list[MissingLayer] = Field(description="The layers that could not be had")
    memory: MemoryWatch = Field(description="How memory was limited")
    network: Text = Field(description="What the handler could reach")
    filesystem: Text = Field(description="What the handler could read and write")
    kill: Text = Field(description="How the process tree was ended")


class EnvironmentSummary(_Record):
    """The interpreter that ran the handler."""

    kind: Text = Field(description="How the environment was chosen, such as inherit")
    python_version: Text = Field(description="Its version, such as 3.11.7")
    executable: Text = Field(description="Its path")
    key: Text | None = Field(default=None, description="Key of an environment that is kept")
    start: Literal["fresh", "warm"] = Field(
        default="fresh", description="How the last worker was started"
    )
    start_reason: Text = Field(default="asked for", description="Why it was started so")


# ---------------------------------------------------------------- rows


class _Judged(_Record):
    """A row with an outcome; `success` follows from it, and may stand for it when read."""

    outcome: Outcome = Field(description="How it ended")
    skip_reason: Text | None = Field(default=None, description="Why it was skipped; else None")

    @computed_field(description="Whether the outcome is passed")  # type: ignore[prop-decorator]
    @property
    def success(self) -> bool:
        """Whether the outcome is passed."""
        return self.outcome is Outcome.passed

    @property
    def asked(self) -> bool:
        """Whether the user asked for it: not switched off, not of an unsupported type."""
        return not (self.skip_reason or "").startswith(_NOT_ASKED)

    @model_validator(mode="before")
    @classmethod
    def _agree_on_success(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "success" not in data:
            return data
        rest = {name: value for name, value in data.items() if name != "success"}
        success = data["success"]
        if not isinstance(success, bool):
            raise ValueError(f"success must be true or false, not {success!r}")
        outcome = rest.setdefault("outcome", Outcome.passed if success else Outcome.failed)
        if success is not (outcome == Outcome.passed):
            raise ValueError(f"success={success} contradicts the outcome {outcome}")
        return rest

    @model_validator(mode="after")
    def _skip_with_a_reason(self) -> Self:
        if (self.outcome is Outcome.skipped) is not bool(self.skip_reason):
            raise ValueError("skip_reason goes with the outcome skipped, and with no other")
        return self


class FunctionTestResult(_Judged):
    """One function of the handler, called once."""

    function_name: FunctionName = Field(description="Which of the functions")
    execution_time: Seconds = Field(description="Seconds that the call took")
    input_parameters: JsonObject = Field(default={}, description="Summary of what it was given")
    output_data: ValueSummary | None = Field(default=None, description="Summary of what it gave")
    output_type: Text | None = Field(default=None, description="Name of the type that it gave")
    error_message: Text | None = Field(default=None, description="What went wrong, to what")
    validation_details: JsonObject = Field(default={}, description="What the checks found")
    sample_name: Text | None = Field(default=None, description="The sample; None for model_fn")
    content_type: Text | None = Field(default=None, description="Content-Type of the request")
    accept_type: Text | None = Field(default=None, description="Accept of the request")
    phase: Phase = Field(default="call", description="How far the worker was when it ended")
    failure: FailureSummary | None = Field(default=None, description="The exception it raised")
    peak_memory_bytes: Count | None = Field(default=None, description="Most bytes held so far")
    peak_memory_source: Text | None = Field(default=None, description="How that was measured")
    exit_code: int | None = Field(default=None, description="Exit code of a worker that ended")
    signal: SignalSummary | None = Field(default=None, description="Signal that ended the worker")
    log: LogExcerpt | None = Field(default=None, description="What it printed")
    stack: Text | None = Field(
        default=None, description="Where every thread was just before a timeout ended it"
    )
    network_attempts: list[NetworkAttempt] = Field(
        default=[], description="What it tried to reach, whether or not it could"
    )


class EndToEndTestResult(_Judged):
    """One sample through all four functions, for one accept type."""

    sample_name: Text = Field(description="The sample")
    content_type: Text | None = Field(description="Content-Type of the request; None: not sent")
    accept_type: Text | None = Field(description="Accept of the request; None: not sent")
    total_execution_time: Seconds = Field(description="Seconds from the request to the response")
    model_loading_time: Seconds = Field(description="Seconds in model_fn, once for all rows")
    input_processing_time: Seconds = Field(description="Seconds in input_fn")
    prediction_time: Seconds = Field(description="Seconds in predict_fn")
    output_formatting_time: Seconds = Field(description="Seconds in output_fn")
    input_data_size: Count | None = Field(default=None, description="Bytes of the request's body")
    processed_input_type: Text | None = Field(default=None, description="Type from input_fn")
    prediction_shape: list[Count] | None = Field(
        default=None, description="Shape of what predict_fn gave"
    )
    output_data_size: Count | None = Field(default=None, description="Bytes of the response's body")
    error_message: Text | None = Field(default=None, description="What went wrong, to what")
    failed_function: Text | None = Field(default=None, description="The function to blame")
    response: ResponseSummary = Field(description="What the container would have answered")
    peak_memory_bytes: Count | None = Field(default=None, description="Most bytes held so far")


class VariantTestResult(EndToEndTestResult):
    """A sample's request, sent with another body, content type or accept type."""

    body_variant: BodyVariant = Field(description="Its body")
    content_type_variant: ContentTypeVariant = Field(description="Its Content-Type")
    accept_variant: AcceptVariant = Field(description="Its Accept")
    processed_input_shape: list[Count] | None = Field(
        default=None, description="Shape of what input_fn gave"
    )
    worker_lost: bool = Field(
        default=False, description="Whether it ended the worker; the next row has a fresh one"
    )


class CompatibilityTestResult(_Record):
    """Whether what one function or script gives suits the next."""

    script_name: Text | None = Field(default=None, description="The script; None: two functions")
    handler_name: Text = Field(description="The handler")
    source: Text = Field(description="The function or script that gives")
    destination: Text = Field(description="The function that takes")
    compatible: bool = Field(description="Whether it was taken")
    content_type_used: Text | None = Field(default=None, description="Content type it went under")
    source_type: Text | None = Field(default=None, description="Type or file format that was given")
    expected_type: Text | None = Field(
        default=None, description="What the destination seems to want, and what tells so"
    )
    sample_name: Text | None = Field(default=None, description="The sample")
    compatibility_issues: list[Text] = Field(default=[], description="What did not fit")
    test_execution_time: Seconds = Field(description="Seconds that the test took")


# ---------------------------------------------------------------- the whole


class _Saved(_Record):
    """A whole result, which can be kept in a file."""

    def save(self, path: str | Path) -> None:
        """Write the result as a JSON file. Raises: OSError."""
        Path(path).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a saved result. Raises: SpecError when the file cannot be read or is not one."""
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise SpecError(f"Cannot read the result {path}: {error.strerror}.") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the top"
            raise SpecError(f"{path} is not a saved result: {first['msg']} (at {where}).") from None


class InferenceTestResult(_Saved):
    """Everything that came out of testing one handler."""

    handler_name: Text = Field(description="The handler")
    step_name: Text = Field(description="Its node in a PipelineDAG")
    overall_success: bool = Field(description="Whether all that was asked for passed")
    total_execution_time: Seconds = Field(description="Seconds from start to end")
    model_fn_result: FunctionTestResult = Field(description="The one call of model_fn")
    input_fn_results: list[FunctionTestResult] = Field(description="One row per sample")
    predict_fn_results: list[FunctionTestResult] = Field(description="One row per sample")
    output_fn_results: list[FunctionTestResult] = Field(
        description="One row per sample and accept type"
    )
    transform_fn_results: list[FunctionTestResult] = Field(
        default=[],
        description="One row per sample and accept type; empty unless the handler defines it",
    )
    end_to_end_results: list[EndToEndTestResult] = Field(
        description="One row per sample and accept type"
    )
    compatibility_results: list[CompatibilityTestResult] = Field(
        description="Whether each function's result suits the next"
    )
    variant_results: list[VariantTestResult] = Field(
        default=[], description="Changed requests; they do not count in overall_success"
    )
    errors: list[Text] = Field(default=[], description="What makes it fail, one sentence each")
    warnings: list[Text] = Field(default=[], description="What may fail elsewhere")
    diagnoses: list[Diagnosis] = Field(default=[], description="Known mistakes that were seen")
    stack: Text = Field(default="toolkit", description="Serving stack that it was held to")
    consequences: list[Text] = Field(
        default=[], description="What the endpoint does when the handler cannot be loaded"
    )
    isolation: IsolationSummary | None = Field(
        default=None, description="The isolation in force; None: no worker was started"
    )
    environment: EnvironmentSummary | None = Field(
        default=None, description="The interpreter; None: no worker was started"
    )
    memory_curve: MemoryCurve | None = Field(
        default=None,
        description="Memory over time, of the worker that took most; None: none was sampled",
    )

    def function_results(self) -> Iterator[FunctionTestResult]:
        """Go through the rows of all functions, in the order of the functions."""
        yield self.model_fn_result
        yield from self.input_fn_results
        yield from self.predict_fn_results
        yield from self.output_fn_results
        yield from self.transform_fn_results

    def success_rates(self) -> dict[str, SuccessRate]:
        """Count, per function and end to end, what passed of what was asked for."""
        return {stage: _success_rate(rows) for stage, rows in self._rows_by_stage().items()}

    def performance_summary(self) -> dict[str, Performance]:
        """Sum up time and memory, per function and end to end, over what was not skipped."""
        return {stage: _performance(rows) for stage, rows in self._rows_by_stage().items()}

    def error_summary(self) -> ErrorSummary:
        """Count what went wrong by outcome and by function, with each distinct message once.

        End-to-end rows repeat the failures of their functions, so they count only when no function
        is to blame.
        """
        wrong = [
            (stage, row)
            for stage, rows in self._rows_by_stage().items()
            for row in rows
            if row.outcome not in (Outcome.passed, Outcome.skipped) and not _is_repetition(row)
        ]
        messages = [f"{stage}: {row.error_message or row.outcome}" for stage, row in wrong]
        return {
            "total": len(wrong),
            "by_outcome": dict(Counter(row.outcome.value for _, row in wrong)),
            "by_function": dict(Counter(stage for stage, _ in wrong)),
            "messages": list(dict.fromkeys(messages)),
        }

    def _rows_by_stage(self) -> dict[str, list[_Row]]:
        stages: dict[str, list[_Row]] = {name: [] for name in FUNCTION_NAMES}
        for row in self.function_results():
            stages.setdefault(row.function_name, []).append(row)
        stages[END_TO_END] = list(self.end_to_end_results)
        return stages


_Row = FunctionTestResult | EndToEndTestResult


def _success_rate(rows: Iterable[_Row]) -> SuccessRate:
    asked = [row for row in rows if row.asked]
    return {"passed": sum(row.success for row in asked), "total": len(asked)}


def _performance(rows: Iterable[_Row]) -> Performance:
    ran = [row for row in rows if row.outcome is not Outcome.skipped]
    times = [_seconds(row) for row in ran]
    peaks = [row.peak_memory_bytes for row in ran if row.peak_memory_bytes is not None]
    return {
        "count": len(ran),
        "total_s": math.fsum(times),
        "mean_s": math.fsum(times) / len(times) if times else None,
        "min_s": min(times, default=None),
        "max_s": max(times, default=None),
        "peak_memory_bytes": max(peaks, default=None),
    }


def _seconds(row: _Row) -> float:
    if isinstance(row, FunctionTestResult):
        return row.execution_time
    return row.total_execution_time


def _is_repetition(row: _Row) -> bool:
    return isinstance(row, EndToEndTestResult) and row.failed_function is not None

"""What came out of testing one handler; what was asked is in specs.py.

Records as records.py promises. docs/results.md defines every field.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypedDict

from pydantic import Field

from harness.records import Count, JsonObject, Judged, Outcome, Record, Saved, Seconds, Text
from harness.summaries import (
    Diagnosis,
    EnvironmentSummary,
    FailureSummary,
    IsolationSummary,
    LogExcerpt,
    MemoryCurve,
    NetworkAttempt,
    ResponseSummary,
    SignalSummary,
    ValueSummary,
)

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


# ---------------------------------------------------------------- rows


class FunctionTestResult(Judged):
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


class EndToEndTestResult(Judged):
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


class CompatibilityTestResult(Record):
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


class InferenceTestResult(Saved):
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

"""What came out of a batch of handlers; one handler's own result is in results.py.

As there, records hold plain data and survive a JSON round trip. docs/results.md defines each field.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Literal, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    computed_field,
    model_validator,
)

from harness.records import Count, Outcome, Record, Saved, Seconds, Text
from harness.results import InferenceTestResult

Fault = Literal["spec", "environment", "isolation", "tester"]
Measure = Literal["model_loading_s", "prediction_s", "memory_bytes"]
MEASURES: Final[tuple[Measure, ...]] = ("model_loading_s", "prediction_s", "memory_bytes")

# The handler answered, or raised, and a check of ours or of the sample did not hold.
OF_A_CHECK: Final = frozenset({Outcome.failed, Outcome.raised})


class Status(StrEnum):
    """What became of one handler of a batch."""

    passed = "passed"
    flaky = "flaky"
    failed = "failed"
    error = "error"


class Derived(Record):
    """A record of which some is derived; that is dumped, and must agree when it is read."""

    @model_validator(mode="wrap")
    @classmethod
    def _agree_on_what_is_derived(cls, data: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, Mapping):
            return read(data)
        derived = {name: data[name] for name in cls.model_computed_fields if name in data}
        record = read({name: value for name, value in data.items() if name not in derived})
        for name, value in derived.items():
            if getattr(record, name) != value:
                raise ValueError(f"{name} is {value!r}, which the rest contradicts")
        return record


class Finding(Record):
    """A measure of one handler held to a budget, or to an earlier run."""

    kind: Literal["budget", "baseline"] = Field(description="What it was held to")
    measure: Measure = Field(description="What was measured")
    holds: bool = Field(description="Whether it is within the budget, or no worse than before")
    message: Text = Field(description="The figures, in one sentence")
    values: list[float] = Field(description="What each run gave, in seconds or bytes")
    bound: float = Field(description="The budget; of a baseline the median of its runs")
    ratio: float | None = Field(default=None, description="Median now by median then")
    ratio_low: float | None = Field(
        default=None, description="Lower end of that ratio's confidence interval"
    )
    ratio_high: float | None = Field(default=None, description="Its upper end")


class Change(Record):
    """An outcome that is not what it was in an earlier run."""

    place: Text = Field(description="The function or request, as in the errors of a result")
    before: Text = Field(description="Its outcome in the earlier run; absent: there was none")
    now: Text = Field(description="Its outcome now; absent: there is none any more")


class BatchEntry(Derived):
    """One handler of a batch."""

    result: InferenceTestResult = Field(description="Its result, of the last attempt")
    fault: Fault | None = Field(
        default=None, description="Why it could not be tested at all; None: it was tested"
    )
    earlier_attempts: list[Text] = Field(
        default=[], description="Outcomes of attempts that crashed and were made again"
    )
    runs: dict[Measure, list[float]] = Field(
        default={}, description="What each run measured, in seconds and bytes"
    )
    findings: list[Finding] = Field(default=[], description="Measures held to bounds")
    changes: list[Change] = Field(default=[], description="Outcomes that the baseline has not")
    reproduce: Text | None = Field(default=None, description="The command that runs it alone")

    @property
    def name(self) -> str:
        """The handler's name, unique in its batch."""
        return self.result.handler_name

    @computed_field(description="What became of it")  # type: ignore[prop-decorator]
    @property
    def status(self) -> Status:
        """What became of it."""
        if self.result.overall_success and all(item.holds for item in self.findings):
            return Status.flaky if self.earlier_attempts else Status.passed
        wrong = self.outcomes - {Outcome.passed, Outcome.skipped}
        return Status.error if self.fault or wrong - OF_A_CHECK else Status.failed

    @property
    def success(self) -> bool:
        """Whether it counts as good: passed, or flaky, which is told apart."""
        return self.status in (Status.passed, Status.flaky)

    @property
    def outcomes(self) -> set[Outcome]:
        """Every outcome of its calls and requests."""
        rows = (*self.result.function_results(), *self.result.end_to_end_results)
        return {row.outcome for row in rows}

    @property
    def peak_memory_bytes(self) -> int | None:
        """The largest peak of its calls; None where none was measured."""
        peaks = [row.peak_memory_bytes for row in self.result.function_results()]
        return max((peak for peak in peaks if peak is not None), default=None)


class NotRun(Record):
    """A handler of a batch that was not tested."""

    handler_name: Text = Field(description="The handler")
    reason: Text = Field(description="Why not")


class BatchResult(Derived, Saved):
    """Everything that came out of a batch, in the order in which the handlers were given."""

    KIND = "result of a batch"

    entries: list[BatchEntry] = Field(description="The handlers that were tested")
    not_run: list[NotRun] = Field(default=[], description="Those that were not")
    interrupted: bool = Field(default=False, description="Whether it was ended by Ctrl-C")
    jobs: Count = Field(description="Most handlers at one time")
    elapsed_s: Seconds = Field(description="Seconds from start to end")
    warnings: list[Text] = Field(default=[], description="What may be of interest")

    @computed_field(description="Whether every handler was tested and is good")  # type: ignore[prop-decorator]
    @property
    def success(self) -> bool:
        """Whether every handler was tested and is good."""
        return bool(self.entries) and not self.not_run and all(e.success for e in self.entries)

    @property
    def results(self) -> list[InferenceTestResult]:
        """The result of each handler that was tested."""
        return [entry.result for entry in self.entries]

    def counts(self) -> dict[Status, int]:
        """Count the handlers by what became of them."""
        statuses = [entry.status for entry in self.entries]
        return {status: statuses.count(status) for status in Status}

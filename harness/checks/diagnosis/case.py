"""All that a diagnosis may look at: the result, the spec, what the package showed before it ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.checks import signatures
from harness.results import (
    Diagnosis,
    EndToEndTestResult,
    FailureSummary,
    FunctionTestResult,
    InferenceTestResult,
)
from harness.specs import InferenceHandlerSpec

FLASK = ("sklearn", "xgboost")
TEXT_TYPES = ("application/json", "text/csv")


@dataclass(frozen=True)
class Look:
    """What the package shows before any of its code runs: afterwards it is the handler's to change.

    `layout` are the mistakes of where things lie, `required` the distributions that it lists.
    """

    definitions: Mapping[str, signatures.Definition]
    layout: tuple[Diagnosis, ...]
    required: frozenset[str]


@dataclass(frozen=True)
class Case:
    """One handler and what came out of testing it."""

    result: InferenceTestResult
    spec: InferenceHandlerSpec
    look: Look

    def failures(self, function: str | None = None) -> Iterator[tuple[Row, FailureSummary]]:
        """Go through the rows that raised, of one function or of all."""
        for row in self.result.function_results():
            if row.failure is not None and function in (None, row.function_name):
                yield row, row.failure

    def row_of(self, function: str, like: Row) -> Row | None:
        """Find another function's row of the same sample."""
        rows = (row for row in self.result.function_results() if row.function_name == function)
        return next((row for row in rows if row.sample_name == like.sample_name), None)

    def answers(self) -> Iterator[tuple[EndToEndTestResult, Row | None]]:
        """Go through the requests, each with the row of the function that answered it."""
        rows = {
            (row.sample_name, row.accept_type): row
            for row in self.result.function_results()
            if row.function_name in ("output_fn", "transform_fn")
        }
        for end in self.result.end_to_end_results:
            yield end, rows.get((end.sample_name, end.accept_type))


Row = FunctionTestResult


def is_default(row: Row) -> bool:
    """Say whether a row is of the stack's own function, in place of one that is not defined."""
    return row.validation_details.get("default") is True


def essence(content_type: str | None) -> str:
    """Give a media type without its parameters, in lower case."""
    return (content_type or "").partition(";")[0].strip().lower()

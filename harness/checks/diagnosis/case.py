"""All that a diagnosis may look at: the result, the spec, the package and its source."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.artifacts.package import Package
from harness.checks import signatures
from harness.results import (
    EndToEndTestResult,
    FailureSummary,
    FunctionTestResult,
    InferenceTestResult,
)
from harness.specs import InferenceHandlerSpec

FLASK = ("sklearn", "xgboost")
TEXT_TYPES = ("application/json", "text/csv")


@dataclass(frozen=True)
class Case:
    """One handler and what came out of testing it."""

    result: InferenceTestResult
    spec: InferenceHandlerSpec
    package: Package
    definitions: Mapping[str, signatures.Definition]

    @classmethod
    def of(cls, result: InferenceTestResult, spec: InferenceHandlerSpec, package: Package) -> Case:
        """Gather what there is; a module that cannot be read defines nothing."""
        definitions: Mapping[str, signatures.Definition] = {}
        file = package.handler_file
        if file is not None and file.suffix == ".py":
            with contextlib.suppress(OSError, SyntaxError, ValueError, RecursionError):
                definitions = signatures.of_source(file.read_bytes())
        return cls(result, spec, package, definitions)

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

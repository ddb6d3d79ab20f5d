"""Whether a sample went as it should: the expected error, and what the response must hold."""

import base64
import csv
import io
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from harness.checks import schemas
from harness.checks.row_counts import row_count
from harness.media_types import essence
from harness.records import Outcome
from harness.results import FunctionTestResult
from harness.specs import FieldTolerance, InferenceTestSample
from harness.summaries import ResponseSummary

TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "string": (str,),
    "int": (int,),
    "integer": (int,),
    "float": (float, int),
    "number": (float, int),
    "bool": (bool,),
    "boolean": (bool,),
    "list": (list,),
    "array": (list,),
    "dict": (dict,),
    "object": (dict,),
}
UNPARSED = object()
MAX_PROBLEMS = 5
MAX_CHARS = 120
MAX_SENTENCE = 400


def as_expected_error(sample: InferenceTestSample, row: FunctionTestResult) -> FunctionTestResult:
    """Judge the row of a stage that refused a sample which should not succeed.

    It passes when the stage raised, or its answer could not be sent, it is one of the stages
    expected, and the pattern is found in "ErrorType: message" (case-insensitively, "." matching
    newlines too). A hang or a crash is never what was expected.
    """
    if row.outcome not in (Outcome.raised, Outcome.failed):
        return row
    said = row.error_message or ""
    stages = sample.expected_stages
    if stages is not None and row.function_name not in stages:
        wanted = " or ".join(stages)
        told = f"refused by {row.function_name}, not by {wanted} as expected: {said}"
        return row.model_copy(update={"outcome": Outcome.failed, "error_message": told})
    pattern = sample.error_message_pattern
    if pattern is not None and not re.search(pattern, said, re.IGNORECASE | re.DOTALL):
        return row.model_copy(
            update={
                "outcome": Outcome.failed,
                "error_message": f"raised as expected, but {pattern!r} is not found in: {said}",
            }
        )
    details = {**row.validation_details, "expected_error": said}
    return row.model_copy(
        update={"outcome": Outcome.passed, "error_message": None, "validation_details": details}
    )


def problems_with(sample: InferenceTestSample, response: ResponseSummary) -> list[str]:
    """List how a response differs from what the sample expects; empty when it does not."""
    return [cut(problem) for problem in _problems_with(sample, response)]


def cut(sentence: str) -> str:
    """Leave out the middle of a sentence that a long or deep response has made long."""
    half = MAX_SENTENCE // 2
    return sentence if len(sentence) <= 2 * half else f"{sentence[:half]} ... {sentence[-half:]}"


def _problems_with(sample: InferenceTestSample, response: ResponseSummary) -> list[str]:
    problems = _row_problems(sample, response) if sample.same_row_count else []
    wanted = (sample.expected_output_structure, sample.response_schema, sample.expected_body)
    if all(item is None for item in wanted):
        return problems
    parsed = parse(response)
    if parsed is UNPARSED:
        told = f"the response does not parse as {response.content_type}: {_shown(response.body)}"
        return [*problems, told]
    if sample.expected_output_structure is not None:
        problems += _first(mismatches(sample.expected_output_structure, parsed, "response"))
    if sample.response_schema is not None:
        problems += schemas.problems(sample.response_schema, parsed, MAX_PROBLEMS)
    if sample.expected_body is not None:
        expected: Any = sample.expected_body
        if isinstance(expected, str) and isinstance(parsed, list):
            expected = _rows(expected)
        problems += _first(differences(expected, parsed, "response", Closeness.of(sample)))
    return problems


def parse(response: ResponseSummary) -> Any:
    """Parse a response by its content type: JSON, CSV (rows of str), else its text or bytes."""
    body = response.body or ""
    kind = essence(response.content_type)
    if response.body_encoding == "base64":
        return base64.b64decode(body)
    try:
        if kind == "application/json":
            return json.loads(body)
        if kind == "text/csv":
            return _rows(body)
    except (ValueError, csv.Error, RecursionError):
        return UNPARSED
    return body


def mismatches(expected: Any, actual: Any, place: str) -> Iterator[str]:
    """Match a structure as a subset: keys must be there, [x] is every element, a name is a type."""
    if expected is None:
        return
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            yield f"{place} is {_kind(actual)}, not an object"
            return
        for key, inner in expected.items():
            if key in actual:
                yield from mismatches(inner, actual[key], f"{place}.{key}")
            else:
                yield f"{place} lacks the key {key!r}"
    elif isinstance(expected, list):
        if not isinstance(actual, list):
            yield f"{place} is {_kind(actual)}, not a list"
            return
        for number, element in enumerate(actual if expected else ()):
            yield from mismatches(expected[0], element, f"{place}[{number}]")
    elif isinstance(expected, str) and expected in TYPES:
        fits = isinstance(actual, TYPES[expected])
        if isinstance(actual, bool) and bool not in TYPES[expected]:
            fits = False
        if not fits:
            yield f"{place} is {_kind(actual)}, not {expected}"
    elif expected != actual:
        yield f"{place} is {_shown(actual)}, not {_shown(expected)}"


@dataclass(frozen=True)
class Closeness:
    """How near numbers must be, by default and by field (keys from the top, joined by dots)."""

    default: FieldTolerance
    fields: Mapping[str, FieldTolerance]

    @classmethod
    def of(cls, sample: InferenceTestSample) -> Self:
        """Take what a sample says."""
        default = FieldTolerance(absolute=sample.tolerance, relative=sample.tolerance)
        return cls(default, sample.tolerances)

    def suits(self, expected: float, actual: float, field: str) -> bool:
        """Say whether a number is near enough."""
        allowed = self.fields.get(field, self.default)
        try:
            near = math.isclose(
                expected, actual, rel_tol=allowed.relative, abs_tol=allowed.absolute
            )
            return near or (math.isnan(expected) and math.isnan(actual))
        except OverflowError:  # an integer beyond every float
            return expected == actual


EXACTLY = Closeness(FieldTolerance(), {})


def differences(
    expected: Any, actual: Any, place: str, closeness: Closeness, field: str = ""
) -> Iterator[str]:
    """Compare a body in full; numbers that are near enough, also in cells of CSV, are equal."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        odd = sorted(set(expected) ^ set(actual))
        if odd:
            yield f"{place} differs in the keys {_shown(odd)}"
            return
        for key, inner in expected.items():
            below = f"{field}.{key}".lstrip(".")
            yield from differences(inner, actual[key], f"{place}.{key}", closeness, below)
        return
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{place} has {len(actual)} elements, not {len(expected)}"
            return
        for number, (inner, element) in enumerate(zip(expected, actual, strict=True)):
            yield from differences(inner, element, f"{place}[{number}]", closeness, field)
        return
    numbers = _numbers(expected, actual)
    if numbers is not None:
        same = closeness.suits(*numbers, field)
    else:
        same = type(expected) is type(actual) and expected == actual
    if not same:
        yield f"{place} is {_shown(actual)}, not {_shown(expected)}"


def _first(problems: Iterator[str]) -> list[str]:
    """Take the first few of what may be millions, in a response that may be of any depth."""
    found: list[str] = []
    try:
        found += itertools.islice(problems, MAX_PROBLEMS)
        more = next(problems, None)
    except RecursionError:
        return [*found, "response is too deep to be compared"]
    return found if more is None else [*found, "and more"]


def _numbers(expected: Any, actual: Any) -> tuple[float, float] | None:
    """Give both as numbers, if both are; a cell of CSV may be one as text."""
    if _is_number(expected) and _is_number(actual):
        return expected, actual
    if isinstance(actual, Cell):
        try:
            return float(expected), float(actual)
        except (TypeError, ValueError, OverflowError):
            return None
    return None


class Cell(str):
    """A cell of CSV: text that may stand for a number."""

    __slots__ = ()


def _rows(text: str) -> list[list[str]]:
    return [[Cell(cell) for cell in row] for row in csv.reader(io.StringIO(text)) if row]


def _row_problems(sample: InferenceTestSample, response: ResponseSummary) -> list[str]:
    sent = row_count(_bytes(sample.request_body), sample.content_type)
    body = response.body or ""
    answer = base64.b64decode(body) if response.body_encoding == "base64" else _bytes(body)
    came = row_count(answer, response.content_type)
    if sent is None:
        return [
            f"same_row_count: the rows of the request ({sample.content_type}) cannot be counted"
        ]
    if came is None:
        return [
            f"same_row_count: the rows of the response ({response.content_type}) cannot be counted"
        ]
    return [] if sent == came else [f"the response has {came} rows, the request {sent}"]


def _bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body


def _shown(value: Any) -> str:
    """Show a value of a response, which may be long or deep."""
    try:
        text = repr(value)
    except RecursionError:
        return f"a deep {_kind(value)}"
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}..."


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__

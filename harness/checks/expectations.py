"""Whether a sample went as it should: the expected error, and what the response must hold."""

import base64
import csv
import io
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from harness.checks.row_counts import row_count
from harness.errors import SpecError
from harness.media_types import essence
from harness.results import FunctionTestResult, Outcome, ResponseSummary
from harness.specs import FieldTolerance, InferenceTestSample

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
    problems = _row_problems(sample, response) if sample.same_row_count else []
    wanted = (sample.expected_output_structure, sample.response_schema, sample.expected_body)
    if all(item is None for item in wanted):
        return problems
    parsed = parse(response)
    if parsed is UNPARSED:
        return [*problems, f"the response does not parse as {response.content_type}"]
    if sample.expected_output_structure is not None:
        problems += mismatches(sample.expected_output_structure, parsed, "response")
    if sample.response_schema is not None:
        problems += _schema_problems(sample.response_schema, parsed)
    if sample.expected_body is not None:
        expected: Any = sample.expected_body
        if isinstance(expected, str) and isinstance(parsed, list):
            expected = _rows(expected)
        problems += differences(expected, parsed, "response", Closeness.of(sample))
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


def mismatches(expected: Any, actual: Any, place: str) -> list[str]:
    """Match a structure as a subset: keys must be there, [x] is every element, a name is a type."""
    if expected is None:
        return []
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return [f"{place} is {_kind(actual)}, not an object"]
        return [
            problem
            for key, inner in expected.items()
            for problem in (
                mismatches(inner, actual[key], f"{place}.{key}")
                if key in actual
                else [f"{place} lacks the key {key!r}"]
            )
        ]
    if isinstance(expected, list):
        if not isinstance(actual, list):
            return [f"{place} is {_kind(actual)}, not a list"]
        if not expected:
            return []
        return [
            problem
            for number, element in enumerate(actual)
            for problem in mismatches(expected[0], element, f"{place}[{number}]")
        ]
    if isinstance(expected, str) and expected in TYPES:
        fits = isinstance(actual, TYPES[expected])
        if isinstance(actual, bool) and bool not in TYPES[expected]:
            fits = False
        return [] if fits else [f"{place} is {_kind(actual)}, not {expected}"]
    return [] if expected == actual else [f"{place} is {actual!r}, not {expected!r}"]


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
        return math.isclose(
            expected, actual, rel_tol=allowed.relative, abs_tol=allowed.absolute
        ) or (math.isnan(expected) and math.isnan(actual))


EXACTLY = Closeness(FieldTolerance(), {})


def differences(
    expected: Any, actual: Any, place: str, closeness: Closeness, field: str = ""
) -> list[str]:
    """Compare a body in full; numbers that are near enough, also in cells of CSV, are equal."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        odd = sorted(set(expected) ^ set(actual))
        if odd:
            return [f"{place} differs in the keys {odd}"]
        return [
            problem
            for key, inner in expected.items()
            for problem in differences(
                inner, actual[key], f"{place}.{key}", closeness, f"{field}.{key}".lstrip(".")
            )
        ]
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return [f"{place} has {len(actual)} elements, not {len(expected)}"]
        return [
            problem
            for number, (inner, element) in enumerate(zip(expected, actual, strict=True))
            for problem in differences(inner, element, f"{place}[{number}]", closeness, field)
        ]
    numbers = _numbers(expected, actual)
    if numbers is not None:
        near = closeness.suits(*numbers, field)
        return [] if near else [f"{place} is {actual!r}, not {expected!r}"]
    same = type(expected) is type(actual) and expected == actual
    return [] if same else [f"{place} is {actual!r}, not {expected!r}"]


def _numbers(expected: Any, actual: Any) -> tuple[float, float] | None:
    """Give both as numbers, if both are; a cell of CSV may be one as text."""
    if _is_number(expected) and _is_number(actual):
        return expected, actual
    if isinstance(actual, Cell):
        try:
            return float(expected), float(actual)
        except (TypeError, ValueError):
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


def _schema_problems(schema: dict[str, Any], parsed: Any) -> list[str]:
    try:
        import jsonschema
    except ImportError:
        raise SpecError(
            "response_schema needs the jsonschema package; install handlerproof[schema]"
        ) from None
    try:
        validator = jsonschema.validators.validator_for(schema)
        validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise SpecError(f"response_schema is no JSON Schema: {error.message}") from None
    found = sorted(validator(schema).iter_errors(parsed), key=lambda error: error.json_path)
    return [f"response{error.json_path[1:]}: {error.message}" for error in found]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__

"""Whether a sample went as it should: the expected error, and what the response must hold."""

import base64
import csv
import io
import json
import math
import re
from typing import Any

from harness.errors import SpecError
from harness.results import FunctionTestResult, Outcome, ResponseSummary
from harness.specs import InferenceTestSample

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
    wanted = (sample.expected_output_structure, sample.response_schema, sample.expected_body)
    if all(item is None for item in wanted):
        return []
    parsed = parse(response)
    if parsed is UNPARSED:
        return [f"the response does not parse as {response.content_type}"]
    problems = []
    if sample.expected_output_structure is not None:
        problems += mismatches(sample.expected_output_structure, parsed, "response")
    if sample.response_schema is not None:
        problems += _schema_problems(sample.response_schema, parsed)
    if sample.expected_body is not None:
        problems += differences(sample.expected_body, parsed, sample.tolerance, "response")
    return problems


def parse(response: ResponseSummary) -> Any:
    """Parse a response by its content type: JSON, CSV (rows of str), else its text or bytes."""
    body = response.body or ""
    kind = (response.content_type or "").partition(";")[0].strip().lower()
    if response.body_encoding == "base64":
        return base64.b64decode(body)
    try:
        if kind == "application/json":
            return json.loads(body)
        if kind == "text/csv":
            return [row for row in csv.reader(io.StringIO(body)) if row]
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


def differences(expected: Any, actual: Any, tolerance: float, place: str) -> list[str]:
    """Compare a body in full; numbers within the tolerance, absolute or relative, are equal."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        odd = sorted(set(expected) ^ set(actual))
        if odd:
            return [f"{place} differs in the keys {odd}"]
        return [
            problem
            for key, inner in expected.items()
            for problem in differences(inner, actual[key], tolerance, f"{place}.{key}")
        ]
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return [f"{place} has {len(actual)} elements, not {len(expected)}"]
        return [
            problem
            for number, (inner, element) in enumerate(zip(expected, actual, strict=True))
            for problem in differences(inner, element, tolerance, f"{place}[{number}]")
        ]
    if _is_number(expected) and _is_number(actual):
        close = math.isclose(expected, actual, rel_tol=tolerance, abs_tol=tolerance)
        return [] if close else [f"{place} is {actual!r}, not {expected!r}"]
    same = type(expected) is type(actual) and expected == actual
    return [] if same else [f"{place} is {actual!r}, not {expected!r}"]


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

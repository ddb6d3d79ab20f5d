"""Answers that are errors in truth: status 200, and a body that no client can use.

Two kinds may be wrong, and are looked for where the spec's `suspect` asks for them: predictions
that are the same whatever is sent, and a header that was scored as a row.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any, Final

from harness.checks import excerpts, expectations
from harness.checks.diagnosis.case import FLASK, Case, Row, Seen, essence
from harness.records import Outcome
from harness.results import EndToEndTestResult
from harness.summaries import Diagnosis, ResponseSummary

MAX_CHARS: Final = 16 << 20
LINES: Final = ("application/jsonlines", "application/x-ndjson", "application/jsonl")
_ERRORS: Final = {"error", "errors", "exception", "traceback", "errormessage", "errortype"}
_STATUS: Final = {"status", "statuscode"}
_WORDS: Final = {"error", "failed", "failure", "exception"}
_MESSAGES: Final = {"message", "msg", "detail", "details", "reason"}
_SENTINELS: Final = {"", "none", "null", "nan", "n/a", "error", "exception", "-999", "-9999"}
_TRACEBACK: Final = "Traceback (most recent call last)"


def find(case: Case) -> Iterator[Diagnosis]:
    """Find them in the answers."""
    for end, code, message, function in seen(case):
        yield Diagnosis(code=code, message=message, function=function, sample_name=end.sample_name)


def seen(case: Case) -> Iterator[Seen]:
    """Find them, each with the request that shows it."""
    inner = _inner(case)
    for end, row in case.answers():
        function = row.function_name if row else None
        if end.outcome is not Outcome.skipped:
            handed_on = inner.get(end.sample_name)
            yield from _of_response_objects(case.result.stack, end, row, handed_on)
        if _answered(end):
            for code, message in _of_body(end.response):
                yield end, code, message, function
            if "scored_header" in case.spec.suspect:
                yield from _of_header(case, end)
    if "constant_predictions" in case.spec.suspect:
        yield from _of_constants(case)


def _answered(end: EndToEndTestResult) -> bool:
    """Say whether a client would take it for an answer."""
    return end.outcome in (Outcome.passed, Outcome.failed) and end.response.status == 200


def _of_response_objects(
    stack: str, end: EndToEndTestResult, last: Row | None, inner: Row | None
) -> Iterator[Seen]:
    """Find Flask's Response and its like where the stack takes it for data."""
    if inner is not None:
        told = f"{inner.function_name} returned {_shown(inner)}, which goes on as data"
        yield end, "HP621", told, inner.function_name
    elif last is not None and is_response(last) and stack not in FLASK:
        told = f"{last.function_name} returned {_shown(last)}, of which the server knows nothing"
        yield end, "HP621", told, last.function_name


def _inner(case: Case) -> dict[str | None, Row]:
    """Give the first function of each sample that handed on such an object."""
    found: dict[str | None, Row] = {}
    for row in case.result.function_results():
        if row.function_name in ("input_fn", "predict_fn") and is_response(row):
            found.setdefault(row.sample_name, row)
    return found


def is_response(row: Row) -> bool:
    """Say whether a function returned an object that stands for an HTTP response."""
    return row.output_data is not None and "Response" in row.output_data.kinds


def _shown(row: Row) -> str:
    assert row.output_data is not None
    preview = row.output_data.preview
    return f"a {row.output_type}" + (f" ({preview[:100]})" if preview else "")


def _of_body(response: ResponseSummary) -> Iterator[tuple[str, str]]:
    body, kind = response.body or "", essence(response.content_type)
    if len(body) > MAX_CHARS:
        return
    if not body.strip():
        yield "HP623", "the body is empty"
    elif (wrong := _unlike(response, kind)) is not None:
        yield "HP623", f"the content type is {response.content_type}, and {wrong}"
    elif response.body_encoding != "base64":
        value = _parsed(body)
        if (error := _error_in(value)) is not None:
            yield "HP620", f"the status is 200, and the body tells of an error: {error[:160]}"
        elif _is_sentinel(value):
            yield "HP622", f"the whole answer is {body.strip()[:80]!r}"


def _unlike(response: ResponseSummary, kind: str) -> str | None:
    """Say how a body is not what its content type says; None where nothing shows it."""
    body = response.body or ""
    if response.body_encoding == "base64":
        data = expectations.parse(response.model_copy(update={"content_type": None}))
        spot = excerpts.of_binary(kind, data) if isinstance(data, bytes) else None
        return None if spot is None else str(spot)
    if kind == "application/json":
        spot = excerpts.of_json(body)
        return None if spot is None else f"the body is no JSON: {spot}: {_line(body, spot)!r}"
    if kind in LINES:
        bad = (excerpts.of_json(line) for line in body.splitlines() if line.strip())
        return next((f"a line is no JSON: {spot}" for spot in bad if spot is not None), None)
    if kind == "text/csv" and body.lstrip()[:1] in ("[", "{") and excerpts.of_json(body) is None:
        return f"the body is JSON: {body.strip()[:60]!r}"
    spot = excerpts.of_binary(kind, body.encode())
    return None if spot is None else str(spot)


def _line(body: str, spot: excerpts.Spot) -> str:
    return body.split("\n")[max(0, spot.line - 1)][:60]


def _parsed(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body


def _error_in(value: Any) -> str | None:
    """Give the error that an answer tells of, where it cannot be a prediction.

    A number under "error" may be a measure, and a status without a message a label.
    """
    if isinstance(value, str):
        first = value.strip().partition(":")[0]
        named = first.replace(".", "").isidentifier() and first.endswith(("Error", "Exception"))
        return value.strip() if named or _TRACEBACK in value else None
    if isinstance(value, list) and len(value) == 1:
        return _error_in(value[0]) if isinstance(value[0], dict) else None
    items = value.items() if isinstance(value, dict) else ()
    plain = {str(name).lower().replace("_", "").replace("-", ""): item for name, item in items}
    for key, item in plain.items():
        if _tells_error(key, item, explained=not _MESSAGES.isdisjoint(plain)):
            return f"{key} = {item!r}"
    return None


def _tells_error(key: str, item: Any, *, explained: bool) -> bool:
    if key in _ERRORS:
        return item is True or (isinstance(item, str | dict | list) and bool(item))
    if key in _STATUS and isinstance(item, int) and not isinstance(item, bool):
        return 400 <= item < 600
    if key in _STATUS:
        return explained and isinstance(item, str) and item.lower() in _WORDS
    return explained and key in ("success", "ok") and item is False


def _is_sentinel(value: Any) -> bool:
    if value is None or value in ([], {}):
        return True
    if isinstance(value, str):
        return value.strip().lower() in _SENTINELS
    if isinstance(value, list):
        return all(item is None for item in value)
    return isinstance(value, int | float) and str(value).removesuffix(".0") in _SENTINELS


# ---------------------------------------------------------------- what may be wrong


def _of_constants(case: Case) -> Iterator[Seen]:
    """Find that every request that differs got the same body."""
    groups: dict[tuple[str | None, str | None], list[EndToEndTestResult]] = {}
    for end, _ in case.answers():
        if _answered(end):
            groups.setdefault((end.content_type, end.accept_type), []).append(end)
    for ends in groups.values():
        sent = {case.body_of(end.sample_name) for end in ends} - {None}
        got = {end.response.body for end in ends}
        if len(sent) > 1 and len(got) == 1:
            body = (ends[0].response.body or "")[:80]
            for end in ends:
                told = f"{len(sent)} different requests, and one answer to all: {body}"
                yield end, "HP624", told, "predict_fn"


def _of_header(case: Case, end: EndToEndTestResult) -> Iterator[Seen]:
    """Find as many predictions as there are lines, the first of which names the columns."""
    body = case.body_of(end.sample_name)
    if essence(end.content_type) != "text/csv" or body is None or len(body) > MAX_CHARS:
        return
    rows = [row for row in csv.reader(body.decode("utf-8", "replace").splitlines()) if row]
    if len(rows) > 1 and excerpts.is_header(rows) and _count(end) == len(rows):
        told = f"{len(rows)} predictions for {len(rows) - 1} rows and a header {rows[0]}"
        yield end, "HP625", told[:240], "input_fn"


def _count(end: EndToEndTestResult) -> int | None:
    """Count the predictions of an answer: by predict_fn's shape, else by its body."""
    if end.prediction_shape:
        return end.prediction_shape[0]
    parsed = expectations.parse(end.response)
    if isinstance(parsed, dict) and len(parsed) == 1:
        (parsed,) = parsed.values()
    return len(parsed) if isinstance(parsed, list) else None

"""Mistakes in what is returned: what cannot be sent, or is sent as something else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from harness.checks.diagnosis.body_faults import WRITERS
from harness.checks.diagnosis.case import FLASK, Case, Row, Seen, essence, is_default, link
from harness.checks.diagnosis.swallowed_faults import is_response
from harness.records import Outcome
from harness.results import EndToEndTestResult
from harness.summaries import Diagnosis, ResponseSummary

# json's own words; an async function's coroutine is a matter of its own
_NOT_JSON = re.compile(
    r"^(?!.*(coroutine|generator)).*not JSON serializable|^keys must be str, int"
)


def find(case: Case) -> Iterator[Diagnosis]:
    """Find them in the responses."""
    for writer, failure in case.failures():
        found = link(failure, "TypeError") if writer.function_name in WRITERS else None
        if found is not None and _NOT_JSON.search(found.message):
            yield Diagnosis(
                code="HP611",
                message=f"{writer.function_name}: {found.message[:160]}",
                function=writer.function_name,
                sample_name=writer.sample_name,
            )
    for end, code, message, function in seen(case):
        yield Diagnosis(code=code, message=message, function=function, sample_name=end.sample_name)


def seen(case: Case) -> Iterator[Seen]:
    """Find what the answers show, each with its request."""
    for end, row in case.answers():
        if end.outcome is not Outcome.skipped:
            for code, message, function in _of(case.result.stack, end, row):
                yield end, code, message, function


_Told = tuple[str, str, str | None]


def _of(stack: str, end: EndToEndTestResult, row: Row | None) -> Iterator[_Told]:
    response, reason = end.response, end.response.reason or ""
    function = row.function_name if row else end.failed_function
    returned = row.output_type if row else None
    if reason.startswith("Worker died: ") and "ASCII" in reason:
        yield "HP606", reason.removeprefix("Worker died: "), end.failed_function
    elif row is not None and row.failure is not None:
        yield from _of_default(row)
    elif reason.startswith("Worker died: the response has"):
        yield "HP609", reason.removeprefix("Worker died: "), function
    elif row is not None and stack not in FLASK and is_response(row):
        pass  # swallowed_faults tells it
    elif response.status == 503 or (stack in FLASK and response.status == 500 and returned):
        told = f"the client gets {response.status}: {reason}"
        yield "HP601", f"{function} returned a {returned}; {told}", function
    elif reason.startswith("Worker died: ") and returned == "tuple":
        yield "HP602", f"{function} returned a tuple: {reason}", function
    if stack in FLASK and response.status == 500 and end.failed_function and not returned:
        told = f"the client gets a page without a word of: {(end.error_message or '')[:200]}"
        yield "HP607", told, end.failed_function
    if response.status == 200:
        yield from _of_answer(stack, end, response, returned, function)


def _of_default(row: Row) -> Iterator[_Told]:
    assert row.failure is not None
    if is_default(row) and row.failure.type == "UnsupportedFormatError":
        told = f"no output_fn is defined, and the default does not write {row.accept_type}"
        yield "HP610", told, row.function_name


def _of_answer(
    stack: str,
    end: EndToEndTestResult,
    response: ResponseSummary,
    returned: str | None,
    function: str | None,
) -> Iterator[_Told]:
    sent, asked = response.content_type, end.accept_type
    if stack == "huggingface" and returned == "tuple":
        yield (
            "HP603",
            f"{function} returned a tuple, sent as {(response.body or '')[:80]}",
            function,
        )
    elif stack in FLASK and returned in ("str", "bytes") and essence(sent) == "text/html":
        yield "HP604", f"{function} returned a bare {returned}, sent as {sent}", function
    elif sent and ("," in sent or ";q=" in sent.replace(" ", "")):
        yield "HP605", f"the response's content type is the whole list {sent!r}", function
    elif asked and "*" not in asked and "," not in asked and essence(sent) != essence(asked):
        yield "HP605", f"{asked} was asked for, and {sent} is the answer", function
    if essence(sent) == "application/json" and _has_no_number(response):
        yield "HP608", "the body holds NaN or Infinity", function


def _has_no_number(response: ResponseSummary) -> bool:
    """Say whether a body is JSON but for its NaN and Infinity."""
    found: list[str] = []
    try:
        json.loads(response.body or "", parse_constant=found.append)
    except (ValueError, RecursionError):
        return False
    return bool(found)

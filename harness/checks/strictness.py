"""With `strict`, an answer that is an error in truth fails its request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from harness.checks.diagnosis import response_faults, swallowed_faults
from harness.checks.diagnosis.case import Case, Seen
from harness.diagnoses import TABLE
from harness.records import Outcome
from harness.results import EndToEndTestResult, InferenceTestResult

# Each is answered with status 200, and no client can use the answer.
SWALLOWED: Final = frozenset(
    {"HP603", "HP604", "HP605", "HP608", "HP620", "HP621", "HP622", "HP623", "HP624", "HP625"}
)


def enforced(case: Case) -> InferenceTestResult:
    """Give the result with every request failed that passed with such an answer."""
    told: dict[tuple[str, str | None], list[str]] = {}
    for end, code, message, _ in _seen(case):
        if code in SWALLOWED and end.success:
            text = f"{code} {TABLE[code].title}: {message}"
            told.setdefault((end.sample_name, end.accept_type), []).append(text)
    if not told:
        return case.result
    ends = [_failed(end, told) for end in case.result.end_to_end_results]
    errors = [
        f"end_to_end[{end.sample_name}, {end.accept_type}]: {end.error_message}"
        for end in ends
        if (end.sample_name, end.accept_type) in told
    ]
    return case.result.model_copy(
        update={
            "end_to_end_results": ends,
            "errors": [*case.result.errors, *errors],
            "overall_success": False,
        }
    )


def _seen(case: Case) -> Iterator[Seen]:
    yield from response_faults.seen(case)
    yield from swallowed_faults.seen(case)


def _failed(
    end: EndToEndTestResult, told: dict[tuple[str, str | None], list[str]]
) -> EndToEndTestResult:
    problems = told.get((end.sample_name, end.accept_type))
    if problems is None:
        return end
    said = "; ".join(dict.fromkeys(problems))
    return end.model_copy(update={"outcome": Outcome.failed, "error_message": said})

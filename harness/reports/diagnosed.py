"""Diagnoses in words: what was seen, of which function and sample, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from harness.diagnoses import TABLE, Entry
from harness.reports.text import shortened
from harness.results import EndToEndTestResult, FunctionTestResult, InferenceTestResult
from harness.summaries import Diagnosis

MESSAGE_CHARS = 240
UNKNOWN = Entry("a mistake that this version does not know", "", "See the version that saw it.", "")
SANDBOX = "HP9"  # the codes of what this test's sandbox refused


@dataclass(frozen=True)
class Told:
    """One mistake: a line that says what was seen, the line of a body that shows it, the fix."""

    text: str
    excerpt: str
    fix: str

    def __str__(self) -> str:
        return f"{self.text}; fix: {self.fix}"


def each(result: InferenceTestResult) -> list[Told]:
    """Give each mistake once for a function, with its first sample."""
    alike: dict[tuple[str, str | None], list[Diagnosis]] = {}
    for seen in result.diagnoses:
        alike.setdefault((seen.code, seen.function), []).append(seen)
    return [_told(seen, len(others)) for seen, *others in alike.values()]


def of_row(result: InferenceTestResult, row: FunctionTestResult | EndToEndTestResult) -> list[Told]:
    """Give the mistakes that one row shows."""
    function = row.function_name if isinstance(row, FunctionTestResult) else row.failed_function
    found = [
        seen
        for seen in result.diagnoses
        if seen.function == function and seen.sample_name in (None, row.sample_name)
    ]
    return [_told(seen, 0) for seen in found]


def of_sandbox(result: InferenceTestResult, row: FunctionTestResult) -> str | None:
    """Give the code of what the sandbox refused, where that is why a function failed."""
    codes = (told.text[:5] for told in of_row(result, row))
    return next((code for code in codes if code.startswith(SANDBOX)), None)


def _told(seen: Diagnosis, others: int) -> Told:
    entry = TABLE.get(seen.code, UNKNOWN)
    message = shortened(seen.message, MESSAGE_CHARS)
    place = [seen.function] if seen.function and seen.function not in message else []
    place += [f"sample {seen.sample_name}"] if seen.sample_name else []
    place += [f"{others} more"] if others else []
    where = f" ({', '.join(place)})" if place else ""
    return Told(f"{seen.code} {entry.title}: {message}{where}", seen.excerpt or "", entry.fix)

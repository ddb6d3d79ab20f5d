"""What a container may allow, and the sandbox of this test does not."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks.diagnosis.case import Case
from harness.summaries import Diagnosis


def find(case: Case) -> Iterator[Diagnosis]:
    """Find functions that failed for what the sandbox refused."""
    for row, refusal in case.refused():
        yield Diagnosis(
            code=refusal.code,
            message=refusal.message,
            function=row.function_name,
            sample_name=row.sample_name,
        )

"""Known mistakes, recognised in what was seen of one handler; never claimed on a guess.

The codes and their explanations are in `harness.diagnoses`.
"""

from __future__ import annotations

from harness.checks.diagnosis import (
    body_faults,
    loading_faults,
    package_faults,
    platform_faults,
    prediction_faults,
    request_faults,
    response_faults,
    sandbox_faults,
    swallowed_faults,
    variant_faults,
)
from harness.checks.diagnosis.case import Case
from harness.summaries import Diagnosis

_FAULTS = (
    package_faults,
    loading_faults,
    request_faults,
    body_faults,
    prediction_faults,
    response_faults,
    swallowed_faults,
    variant_faults,
    platform_faults,
    sandbox_faults,
)


def diagnose(case: Case) -> list[Diagnosis]:
    """Give every mistake that a result and its package show, each once, by its code."""
    found: dict[tuple[str, str | None, str], Diagnosis] = {}
    for faults in _FAULTS:
        for seen in faults.find(case):
            found.setdefault((seen.code, seen.function, seen.message), seen)
    return sorted(found.values(), key=lambda seen: seen.code)

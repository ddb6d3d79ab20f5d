"""Known mistakes, recognised in what was seen of one handler; never claimed on a guess.

The codes and their explanations are in `harness.diagnoses`.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.checks.diagnosis import (
    body_faults,
    loading_faults,
    package_faults,
    platform_faults,
    prediction_faults,
    request_faults,
    response_faults,
    variant_faults,
)
from harness.checks.diagnosis.case import Case, Look
from harness.results import Diagnosis, InferenceTestResult
from harness.specs import InferenceHandlerSpec, InferenceTestSample

_FAULTS = (
    package_faults,
    loading_faults,
    request_faults,
    body_faults,
    prediction_faults,
    response_faults,
    variant_faults,
    platform_faults,
)


def diagnose(
    result: InferenceTestResult,
    spec: InferenceHandlerSpec,
    look: Look,
    samples: Iterable[InferenceTestSample] = (),
) -> list[Diagnosis]:
    """Give every mistake that the result and the package show, each once, by its code.

    `samples` are the requests that were made, for what their bodies show.
    """
    case = Case(result, spec, look, {sample.sample_name: sample for sample in samples})
    found: dict[tuple[str, str | None, str], Diagnosis] = {}
    for faults in _FAULTS:
        for seen in faults.find(case):
            found.setdefault((seen.code, seen.function, seen.message), seen)
    return sorted(found.values(), key=lambda seen: seen.code)

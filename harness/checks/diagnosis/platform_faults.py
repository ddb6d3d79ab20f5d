"""What the handler does well here, and the platform will not let it do."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks.diagnosis.case import FLASK, Case, link
from harness.records import Outcome
from harness.summaries import Diagnosis

INVOCATION_S = 60.0
MUCH_MEMORY = 1 << 30


def find(case: Case) -> Iterator[Diagnosis]:
    """Find requests over the platform's time and size, and models that will not fit often."""
    for end in case.result.end_to_end_results:
        if end.total_execution_time > INVOCATION_S:
            told = f"the request took {end.total_execution_time:.0f} s; an endpoint waits 60 s"
            yield Diagnosis(code="HP701", message=told, sample_name=end.sample_name)
        if end.response.status == 413:
            told = end.response.reason or "the request is too large"
            yield Diagnosis(code="HP702", message=told, sample_name=end.sample_name)
    yield from _of_many_models(case)
    yield from _of_memory(case)
    loaded = case.result.model_fn_result.peak_memory_bytes or 0
    if loaded > MUCH_MEMORY:
        gib = loaded / 2**30
        told = f"loading takes {gib:.1f} GiB; four workers of a server take {4 * gib:.1f} GiB"
        yield Diagnosis(code="HP703", message=told, function="model_fn")


def _of_memory(case: Case) -> Iterator[Diagnosis]:
    for row in case.result.function_results():
        ran_out = row.failure is not None and link(row.failure, "MemoryError", "OutOfMemoryError")
        if ran_out or row.outcome is Outcome.memory_exceeded:
            told = (row.error_message or "").partition("\n")[0][:240]
            yield Diagnosis(
                code="HP705",
                message=f"{row.function_name}: {told}",
                function=row.function_name,
                sample_name=row.sample_name,
            )


def _of_many_models(case: Case) -> Iterator[Diagnosis]:
    if case.spec.environ_vars.get("SAGEMAKER_MULTI_MODEL", "").lower() not in ("true", "1"):
        return
    if case.spec.stack in FLASK:
        told = "the package's own code is not used: one module serves every model"
        yield Diagnosis(code="HP704", message=told)
    elif case.look.required:
        told = f"code/requirements.txt ({', '.join(sorted(case.look.required))}) is not installed"
        yield Diagnosis(code="HP704", message=told)

"""Results that no handler gave, for what only looks at results."""

from __future__ import annotations

from typing import Any

from harness import EndToEndTestResult, FunctionTestResult, InferenceTestResult, Outcome
from harness.batch_results import BatchEntry, BatchResult
from harness.summaries import FailureSummary, LogExcerpt, MemoryCurve, ResponseSummary


def row(function: str = "predict_fn", outcome: str = "passed", **fields: Any) -> FunctionTestResult:
    given = {"function_name": function, "outcome": outcome, "execution_time": 0.01} | fields
    if outcome == "skipped":
        given.setdefault("skip_reason", "predict_fn failed")
    elif outcome != "passed":
        given.setdefault("error_message", f"{function} {outcome}")
    return FunctionTestResult.model_validate(given)


def end(sample: str = "rows", outcome: str = "passed", **fields: Any) -> EndToEndTestResult:
    times = dict.fromkeys(
        (
            "total_execution_time",
            "model_loading_time",
            "input_processing_time",
            "prediction_time",
            "output_formatting_time",
        ),
        0.01,
    )
    given: dict[str, Any] = {
        "sample_name": sample,
        "content_type": "text/csv",
        "accept_type": "application/json",
        "outcome": outcome,
        "response": ResponseSummary(status=200 if outcome == "passed" else 500),
        **times,
    }
    if outcome == "skipped":
        given["skip_reason"] = "predict_fn failed"
    return EndToEndTestResult.model_validate(given | fields)


def result(
    name: str = "churn", outcome: str = "passed", *, log: str = "", message: str = "", **fields: Any
) -> InferenceTestResult:
    """Make a result of one sample whose predict_fn ended as `outcome`."""
    good = outcome == "passed"
    after = "passed" if good else "skipped"
    text = message or f"predict_fn {outcome}"
    more: dict[str, Any] = {} if good else {"error_message": text}
    if outcome == "raised":
        more["failure"] = FailureSummary(
            type="ValueError", module="builtins", message=text, traceback=f"Traceback: {text}\n"
        )
    if log:
        more["log"] = LogExcerpt(head=log, tail="", total_bytes=len(log), dropped_bytes=0)
    sample = {"sample_name": "rows", "content_type": "text/csv"}
    given: dict[str, Any] = {
        "handler_name": name,
        "step_name": name,
        "overall_success": good,
        "total_execution_time": 0.5,
        "model_fn_result": row("model_fn", peak_memory_bytes=10 * 2**20),
        "input_fn_results": [row("input_fn", **sample, peak_memory_bytes=11 * 2**20)],
        "predict_fn_results": [row("predict_fn", outcome, **sample, **more)],
        "output_fn_results": [row("output_fn", after, **sample, accept_type="application/json")],
        "end_to_end_results": [
            end(outcome=outcome, error_message=None if good else text, failed_function=None)
        ],
        "memory_curve": MemoryCurve(step_s=0.02, resident_bytes=[8 << 20, 11 << 20, 9 << 20]),
        "compatibility_results": [],
        "errors": [] if good else [f"predict_fn[rows]: {text}"],
    }
    return InferenceTestResult.model_validate(given | fields)


def entry(name: str = "churn", outcome: str = "passed", **fields: Any) -> BatchEntry:
    own = {key: fields.pop(key) for key in ("log", "message") if key in fields}
    command = f"handlerproof batch handlers --handler {name!r}"
    return BatchEntry(result=result(name, outcome, **own), **{"reproduce": command} | fields)


def batch(*entries: BatchEntry, **fields: Any) -> BatchResult:
    given = {"entries": list(entries), "jobs": 2, "elapsed_s": 1.5} | fields
    return BatchResult.model_validate(given)


OUTCOMES = [outcome.value for outcome in Outcome if outcome is not Outcome.skipped]

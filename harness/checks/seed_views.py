"""The seed's dictionaries: other shapes of the same results, never another run."""

from typing import Any

from harness.records import Outcome
from harness.results import FunctionTestResult, InferenceTestResult


def function_view(row: FunctionTestResult) -> dict[str, Any]:
    """Give what `test_inference_function` promises: `result` and `validation`, or `error`."""
    view: dict[str, Any] = {
        "function_name": row.function_name,
        "success": row.success,
        "execution_time": row.execution_time,
    }
    if not row.success:
        return view | {"error": row.error_message or row.skip_reason, "outcome": row.outcome.value}
    result = row.output_data.model_dump() if row.output_data else None
    return view | {"result": result, "validation": dict(row.validation_details)}


def pipeline_view(result: InferenceTestResult) -> dict[str, Any]:
    """Give what `test_inference_pipeline` promises, from a test of the whole handler."""
    model = function_view(result.model_fn_result)
    functions: dict[str, Any] = {
        "model_fn": {"artifacts": model.pop("result", None), **model},
        "input_fn": [_sample_view(row) for row in result.input_fn_results],
        "predict_fn": [_sample_view(row) for row in result.predict_fn_results],
        "output_fn": [_sample_view(row) for row in result.output_fn_results],
        "pipeline": {
            "success": result.overall_success,
            "passed": sum(row.success for row in result.end_to_end_results),
            "total": sum(
                row.outcome is not Outcome.skipped or row.failed_function is not None
                for row in result.end_to_end_results
            ),
        },
    }
    return {
        "handler_name": result.handler_name,
        "step_name": result.step_name,
        "pipeline_success": result.overall_success,
        "function_results": functions,
        "errors": list(result.errors),
    }


def _sample_view(row: FunctionTestResult) -> dict[str, Any]:
    return {
        "sample_name": row.sample_name,
        "content_type": row.content_type,
        "accept_type": row.accept_type,
        **function_view(row),
    }

"""Results of many handlers as one dictionary: the seed's report for CI."""

from collections.abc import Sequence
from typing import Any

from harness.results import FunctionTestResult, InferenceTestResult


def generate(results: Sequence[InferenceTestResult]) -> dict[str, Any]:
    """Sum up. Keys: summary, performance_metrics (seconds; 0.0: no results), detailed_results.

    Of model_fn it tells whether it passed, of the other functions how many rows passed.
    """
    passed = sum(result.overall_success for result in results)
    times = [result.total_execution_time for result in results]
    return {
        "summary": {
            "total_handlers": len(results),
            "passed": passed,
            "failed": len(results) - passed,
            "success_rate": passed / len(results) if results else 0.0,
        },
        "performance_metrics": {
            "avg_execution_time": sum(times) / len(times) if times else 0.0,
            "max_execution_time": max(times, default=0.0),
            "min_execution_time": min(times, default=0.0),
        },
        "detailed_results": [_detail(result) for result in results],
    }


def _detail(result: InferenceTestResult) -> dict[str, Any]:
    return {
        "handler_name": result.handler_name,
        "success": result.overall_success,
        "execution_time": result.total_execution_time,
        "function_results": {
            "model_fn": result.model_fn_result.success,
            "input_fn": _passed(result.input_fn_results),
            "predict_fn": _passed(result.predict_fn_results),
            "output_fn": _passed(result.output_fn_results),
        },
        "errors": list(result.errors),
    }


def _passed(rows: list[FunctionTestResult]) -> int:
    return sum(row.success for row in rows)

"""The seed's dictionaries of a pipeline: other shapes of the same result, never another run."""

from typing import Any

from harness.checks.seed_views import pipeline_view
from harness.pipeline_results import PipelineTestResult


def flow_view(result: PipelineTestResult) -> dict[str, Any]:
    """Give what `test_pipeline_flow_with_spec` and `test_pipeline_with_inference` promise.

    Keys: pipeline_success, script_results and inference_results by node, data_flow_results by
    "source -> destination", execution_order, errors, result.
    """
    scripts = {row.node: row.script for row in result.node_results if row.script is not None}
    handlers = {
        row.node: pipeline_view(row.handler)
        for row in result.node_results
        if row.handler is not None
    }
    return {
        "pipeline_success": result.pipeline_success,
        "script_results": scripts,
        "inference_results": handlers,
        "data_flow_results": {
            f"{row.script_a} -> {row.script_b}": row for row in result.edge_results
        },
        "execution_order": [row.node for row in result.node_results],
        "errors": list(result.errors),
        "result": result,
    }

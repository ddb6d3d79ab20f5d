"""JSON Schemas of what this package writes and reads: results of a handler, of a batch; specs."""

from typing import Any

from pydantic import BaseModel

from harness.batch_results import BatchResult
from harness.results import InferenceTestResult
from harness.specs import InferenceHandlerSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
KINDS: dict[str, type[BaseModel]] = {
    "batch": BatchResult,
    "result": InferenceTestResult,
    "spec": InferenceHandlerSpec,
}


def schema(kind: str) -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of one kind: of results as written, of specs as read."""
    model = KINDS[kind]
    mode = "validation" if kind == "spec" else "serialization"
    return {"$schema": DIALECT, **model.model_json_schema(mode=mode)}  # type: ignore[arg-type]

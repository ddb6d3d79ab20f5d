"""The result has the memory of the worker's tree over time, in a bounded number of values."""

from __future__ import annotations

from typing import Any

from harness import InferenceHandlerSpec, InferenceTestResult, InferenceTestSample, RuntimeTester
from harness.summaries import MemoryCurve
from tests.conftest import MakePackage
from worker import protocol

MIB = 1 << 20
SAMPLE = InferenceTestSample(sample_name="row", content_type="text/csv", request_body="1,2")

# It holds 200 MiB for longer than sixty of the supervisor's looks take, and lets them go.
HOLDS_FOR_A_WHILE = """
import mmap, time

def model_fn(model_dir):
    time.sleep(0.3)
    held = mmap.mmap(-1, 200 << 20)
    held[::4096] = b"x" * len(held[::4096])
    time.sleep(0.5)
    held.close()
    time.sleep(0.3)

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return prediction
"""


def run(package: MakePackage, code: str, **fields: Any) -> InferenceTestResult:
    spec = InferenceHandlerSpec(
        handler_name="handler",
        supported_accept_types=("text/csv",),
        packaged_model_path=str(package({"code/inference.py": code})),
        **({"test_data_samples": (SAMPLE,)} | fields),
    )
    return RuntimeTester().test_inference_handler(spec)


def curve_of(result: InferenceTestResult) -> MemoryCurve:
    assert result.memory_curve is not None
    return result.memory_curve


def test_memory_over_time_rises_and_falls_in_at_most_sixty_values(package: MakePackage) -> None:
    for start in ("fresh", "warm"):
        result = run(package, HOLDS_FOR_A_WHILE, start=start)
        assert result.overall_success, result.errors
        curve = curve_of(result)
        values = curve.resident_bytes
        assert curve.step_s >= 0.02, "the first sixty looks take less than a second"
        assert 20 <= len(values) <= protocol.MAX_CURVE
        at = values.index(max(values))
        assert max(values) - values[1] >= 190 * MIB
        assert max(values) - values[-1] >= 190 * MIB
        assert at * curve.step_s >= 0.25, "not before it asked for the memory"
        assert len(values) * curve.step_s <= result.total_execution_time + 2 * curve.step_s
        assert InferenceTestResult.model_validate_json(result.model_dump_json()) == result


TAKES_AND_LEAVES = """
import mmap, os, time

def predict_fn(data, model):
    if data == "much":
        held = mmap.mmap(-1, 200 << 20)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(0.3)
        os._exit(3)
    return data
"""


def test_of_several_workers_the_one_that_took_most_is_drawn(package: MakePackage) -> None:
    samples = [
        InferenceTestSample(sample_name=text, content_type="text/csv", request_body=text)
        for text in ("little", "much", "a little")
    ]
    code = HOLDS_FOR_A_WHILE.replace("200 << 20", "20 << 20") + TAKES_AND_LEAVES
    result = run(package, code, test_data_samples=samples)
    assert [row.outcome for row in result.predict_fn_results] == ["passed", "exited", "passed"]
    assert max(curve_of(result).resident_bytes) >= 200 * MIB

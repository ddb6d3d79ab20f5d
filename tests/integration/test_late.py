"""What a worker loads late can be had late, and is never the handler's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness import InferenceHandlerSpec, InferenceTestResult, InferenceTestSample, RuntimeTester
from tests.conftest import MakePackage

SAMPLE = InferenceTestSample(sample_name="row", content_type="text/csv", request_body="1,2")
FUNCTIONS = """
import os, sys

def model_fn(model_dir):
    assert not {"inspect", "json", "pickle", "traceback"} & set(sys.modules)

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return {"given": prediction}
"""
SPOILS = {
    "nothing": "pass",
    "all descriptors taken": "while True: KEPT.append(os.open(os.devnull, os.O_RDONLY))",
    "no path to import from": "sys.path[:] = []",
    "another path to import from": "sys.path = ()",
}
SPOILT = """
KEPT = []

def spoil():
    try:
        %s
    except OSError:
        pass

def predict_fn(data, model):
    spoil()
    if data == "raise":
        raise ValueError("of the handler's own")
    return data
"""


def run(package: MakePackage, files: dict[str, str | bytes], **fields: Any) -> InferenceTestResult:
    spec = InferenceHandlerSpec(
        handler_name="handler",
        packaged_model_path=str(package(files)),
        supported_accept_types=("application/json",),
        **({"test_data_samples": (SAMPLE,)} | fields),
    )
    return RuntimeTester().test_inference_handler(spec)


@pytest.mark.parametrize("start", ["fresh", "warm"])
@pytest.mark.parametrize("how", SPOILS)
def test_answers_and_tracebacks_are_whole_whatever_the_handler_took(
    how: str, start: str, package: MakePackage
) -> None:
    code = FUNCTIONS + SPOILT % SPOILS[how]
    samples = [SAMPLE, SAMPLE.model_copy(update={"sample_name": "bad", "request_body": "raise"})]
    result = run(package, {"code/inference.py": code}, test_data_samples=samples, start=start)
    good, bad = result.end_to_end_results
    assert good.success, good.error_message
    assert json.loads(good.response.body or "") == {"given": "1,2"}
    failure = result.predict_fn_results[1].failure
    assert failure is not None
    assert [frame.function for frame in failure.frames] == ["predict_fn"]
    # Without a descriptor nobody can read the line of the source.
    line = "" if "descriptors" in how else '\n    raise ValueError("of the handler\'s own")'
    assert f"in predict_fn{line}\nValueError: of the handler's own" in failure.traceback
    assert "of the handler's own\nTraceback (most recent call last):" in (bad.response.body or "")


@pytest.mark.parametrize("name", ["traceback", "json", "inspect", "re", "tokenize"])
def test_a_module_of_the_handlers_own_never_stands_for_one_of_ours(
    name: str, package: MakePackage
) -> None:
    code = f"import {name}\nassert {name}.OWN\n" + FUNCTIONS.replace("    assert not", "    not")
    code += "\ndef predict_fn(data, model):\n    raise ValueError('seen')\n"
    files: dict[str, str | bytes] = {f"code/{name}.py": "OWN = True\n", "code/inference.py": code}
    result = run(package, files)
    (row,) = result.predict_fn_results
    assert row.failure is not None
    assert row.failure.type == "ValueError"
    assert "raise ValueError('seen')" in row.failure.traceback

"""Correct handlers pass, as a directory and as an archive, with the answers that they must give."""

from __future__ import annotations

import io
import json

import numpy
import pytest

from harness import InferenceHandlerSpec, InferenceTestSample, RuntimeTester
from tests.conftest import MakePackage
from tests.handlers.good import packages


def npy(rows: list[list[float]]) -> bytes:
    file = io.BytesIO()
    numpy.save(file, numpy.array(rows))
    return file.getvalue()


LINEAR = (
    InferenceTestSample(
        sample_name="csv",
        content_type="text/csv",
        request_body=b"1,2\n3,4\n",
        accept_types=("application/json", "text/csv"),
    ),
    InferenceTestSample(
        sample_name="json",
        content_type="application/json",
        request_body=json.dumps({"rows": [[1, 2], [3, 4]]}),
        accept_types=("application/json",),
        expected_body={"predictions": [4.0, 9.0]},
    ),
)
NPY = InferenceTestSample(
    sample_name="npy",
    content_type="application/x-npy",
    request_body=npy([[1, 2], [3, 4]]),
    accept_types=("application/json",),
    expected_body={"predictions": [4.0, 9.0]},
)
CREDIT = (
    InferenceTestSample(
        sample_name="csv",
        content_type="text/csv",
        request_body=b"900,10\n10,900\n",
        accept_types=("application/json",),
        expected_output_structure={"probabilities": [["number"]]},
    ),
    InferenceTestSample(
        sample_name="json",
        content_type="application/json",
        request_body=json.dumps([{"amount": 900, "age_days": 10}]),
        accept_types=("application/json", "text/csv"),
    ),
)
SAMPLES = {"plain": LINEAR, "numpy": (*LINEAR, NPY), "sklearn": CREDIT}


@pytest.mark.parametrize("as_archive", [False, True], ids=["directory", "archive"])
@pytest.mark.parametrize("name", packages.MODELS)
def test_good_handler_passes(name: str, as_archive: bool, package: MakePackage) -> None:
    samples = SAMPLES[name]
    spec = InferenceHandlerSpec(
        handler_name=name,
        packaged_model_path=str(package(packages.files(name), as_archive=as_archive)),
        test_data_samples=samples,
    )
    with RuntimeTester() as tester:
        result = tester.test_inference_handler(spec)
    assert result.overall_success, result.errors
    assert {row.outcome for row in result.function_results()} == {"passed"}
    asked = [(item.sample_name, accept) for item in samples for accept in item.accept_types or ()]
    got = [(row.sample_name, row.accept_type) for row in result.end_to_end_results]
    assert got == asked
    for row in result.end_to_end_results:
        assert (row.response.status, row.response.content_type) == (200, row.accept_type)


def test_trained_model_tells_the_classes_apart(package: MakePackage) -> None:
    spec = InferenceHandlerSpec(
        handler_name="sklearn",
        packaged_model_path=str(package(packages.files("sklearn"))),
        test_data_samples=CREDIT[:1],
    )
    with RuntimeTester() as tester:
        (row,) = tester.test_inference_handler(spec).end_to_end_results
    first, second = json.loads(row.response.body or "")["probabilities"]
    assert first[1] > 0.9 > 0.1 > second[1]

"""What a sample expects of its answer and of its request, judged on real workers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import InferenceHandlerSpec, InferenceTestResult, InferenceTestSample, RuntimeTester
from tests.conftest import MakePackage

# Doubles rows of numbers; answers as asked.
HANDLER = """
import csv, io, itertools, json, mmap, os, random, time
calls = itertools.count()

def model_fn(model_dir):
    return 2.0

def input_fn(body, content_type):
    if content_type.startswith("text/csv"):
        rows = [row for row in csv.reader(io.StringIO(body)) if row]
        return [[float(cell) for cell in row] for row in rows if row[0] != "name"]
    if content_type == "application/x-npy":
        import numpy
        return numpy.load(io.BytesIO(body)).tolist()
    data = json.loads(body)
    return data["instances"] if isinstance(data, dict) else data

def predict_fn(rows, model):
    PREDICT
    return [sum(row) * model for row in rows]

def output_fn(prediction, accept):
    if accept == "text/csv":
        return "\\n".join("%.6f" % value for value in prediction), accept
    scores = [{"score": value, "rank": 1.0} for value in prediction]
    return json.dumps({"predictions": scores}), accept
"""
CSV, JSON = "text/csv", "application/json"


@pytest.fixture
def tested(package: MakePackage) -> Any:
    """Test the handler with a sample of these fields; `predict` comes before its own lines."""

    def test(predict: str = "pass", accept: str = JSON, **fields: Any) -> InferenceTestResult:
        code = HANDLER.replace("PREDICT", predict)
        given = {"sample_name": "s", "content_type": CSV, "request_body": "1,2\n3,4\n", **fields}
        spec = InferenceHandlerSpec(
            handler_name="h",
            packaged_model_path=str(package({"code/inference.py": code})),
            test_data_samples=(InferenceTestSample(**given),),
            supported_accept_types=[accept],
            timeout_seconds=60,
        )
        return RuntimeTester().test_inference_handler(spec)

    return test


def problem(result: InferenceTestResult) -> str | None:
    """Give what was found wrong with the only request; the functions themselves did their work."""
    (end,) = result.end_to_end_results
    assert [row.outcome for row in result.function_results()] == ["passed"] * 4, result.errors
    assert result.overall_success is (end.error_message is None)
    assert end.outcome == ("passed" if end.error_message is None else "failed")
    return end.error_message


def answer(first: float, rank: float = 1.0) -> dict[str, Any]:
    return {"predictions": [{"score": first, "rank": rank}, {"score": 14.0, "rank": 1.0}]}


@pytest.mark.parametrize(
    ("expected", "tolerances", "found"),
    [
        (answer(6.05), {"predictions.score": {"absolute": 0.1}}, None),
        (answer(6.05), {"predictions.score": {"relative": 0.01}}, None),
        (answer(6.5), {"predictions.score": {"relative": 0.01}}, "[0].score is 6.0, not 6.5"),
        (answer(6.05, 1.05), {"predictions.score": {"absolute": 0.1}}, "[0].rank is 1.0, not 1.05"),
        (answer(6.05), {"score": {"absolute": 1.0}}, "[0].score is 6.0, not 6.05"),
    ],
)
def test_each_field_has_its_tolerance(
    expected: Any, tolerances: Any, found: str | None, tested: Any
) -> None:
    said = problem(tested(expected_body=expected, tolerances=tolerances))
    assert (said is None) if found is None else (found in said)


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("6.0\n14\n", None),
        ([[6.0], ["14.000001"]], None),
        ("6.0\n15\n", "response[1][0] is '14.000000', not '15'"),
        ("6.0\n", "response has 2 elements, not 1"),
    ],
)
def test_cells_of_csv_are_compared_as_numbers(
    expected: Any, found: str | None, tested: Any
) -> None:
    said = problem(tested(accept=CSV, expected_body=expected))
    assert (said is None) if found is None else (found in said)


def npy(rows: int) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones((rows, 2)))
    return file.getvalue()


ROWS: dict[str, tuple[str, str | bytes]] = {
    "csv": (CSV, "1,2\n3,4\n"),
    "csv with a header": (CSV, "name,size\n1,2\n3,4\n"),
    "list": (JSON, "[[1, 2], [3, 4]]"),
    "instances": (JSON, '{"instances": [[1, 2], [3, 4]], "signature_name": "x"}'),
    "npy": ("application/x-npy", npy(2)),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_in_are_rows_out(name: str, tested: Any) -> None:
    kind, body = ROWS[name]
    given = {"content_type": kind, "request_body": body, "same_row_count": True}
    assert problem(tested(**given)) is None
    said = problem(tested("rows = rows[:1]", **given))
    assert said == "the response has 1 rows, the request 2"


def test_rows_that_cannot_be_counted_are_told(tested: Any) -> None:
    body = '{"instances": [[1]], "others": [1, 2]}'
    said = problem(tested(content_type=JSON, request_body=body, same_row_count=True))
    assert said == "same_row_count: the rows of the request (application/json) cannot be counted"


def test_the_same_request_is_answered_alike(tested: Any) -> None:
    assert problem(tested(deterministic=True)) is None
    said = problem(tested("rows = [[next(calls)]]", deterministic=True))
    assert said is not None
    assert "the same request again is answered differently: response.predictions[0].score" in said
    assert problem(tested("rows = [[next(calls)]]")) is None, "nobody asked"


def test_a_second_request_that_fails_is_told_with_its_function(tested: Any) -> None:
    predict = "assert next(calls) == 0, 'only once'"
    said = problem(tested(predict, deterministic=True))
    assert said == "the same request again: predict_fn raised: AssertionError: only once"


def test_too_slow_is_slow_each_time(tested: Any) -> None:
    """One slow call is noise, as in `budgets`: the request is made again before it fails."""
    assert problem(tested(max_seconds=30.0)) is None
    assert problem(tested("next(calls) or time.sleep(1.5)", max_seconds=1.4)) is None
    said = problem(tested("time.sleep(0.02)", max_seconds=0.01))
    assert said is not None
    assert said.startswith("the request took 0.0")
    assert said.endswith("s, at best of 3 times; max_seconds is 0.01")


def test_memory_of_a_request(tested: Any) -> None:
    assert problem(tested(max_memory_mb=4096)) is None
    said = problem(tested("data = b'x' * (300 << 20); del data", max_memory_mb=200))
    assert said is not None
    assert "max_memory_mb is 200" in said


def test_samples_toml_says_all_of_it(package: MakePackage, tmp_path: Path) -> None:
    payloads = tmp_path / "payloads"
    payloads.mkdir()
    (payloads / "rows.csv").write_text("1,2\n3,4\n")
    (payloads / "samples.toml").write_text(
        """
["rows.csv"]
deterministic = true
same_row_count = true
max_seconds = 30.0
max_memory_mb = 4096
expected_body = {predictions = [{score = 6.2, rank = 1.0}, {score = 14.0, rank = 1.0}]}
tolerances = {"predictions.score" = {absolute = 0.1}}
"""
    )
    spec = InferenceHandlerSpec(
        handler_name="h",
        packaged_model_path=str(package({"code/inference.py": HANDLER.replace("PREDICT", "pass")})),
        payload_samples_path=str(payloads),
        supported_accept_types=[JSON],
        timeout_seconds=60,
    )
    said = problem(RuntimeTester().test_inference_handler(spec))
    assert said == "response.predictions[0].score is 6.0, not 6.2"

"""Changed requests: the negotiation and the probes, what they claim, and what they leave alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness import InferenceHandlerSpec, InferenceTestResult, Outcome, RuntimeTester
from harness import VariantTestResult as Row
from tests.conftest import MakePackage
from tests.integration.test_cli import handlerproof

CSV, JSON = "text/csv", "application/json"

# Answers what its samples hold, and nothing else.
NARROW = """
import io, json
import numpy
from sklearn.linear_model import LinearRegression

def model_fn(model_dir):
    return LinearRegression().fit([[1, 2], [2, 1], [3, 3]], [1, 2, 3])

def input_fn(body, content_type):
    if content_type != "text/csv":
        raise ValueError(f"unsupported content type {content_type}")
    return numpy.loadtxt(io.StringIO(body), delimiter=",", skiprows=1)

def predict_fn(data, model):
    return model.predict(data)

def output_fn(prediction, accept):
    if accept != "application/json":
        raise ValueError(f"unsupported accept {accept}")
    return json.dumps(prediction.tolist()), accept
"""

# Takes every content type, accept type and number of rows.
WIDE = """
import io, json
import numpy
from sklearn.linear_model import LinearRegression

def model_fn(model_dir):
    return LinearRegression().fit([[1, 2], [2, 1], [3, 3]], [1, 2, 3])

def input_fn(body, content_type):
    text = body if isinstance(body, str) else bytes(body).decode()
    return numpy.loadtxt(io.StringIO(text), delimiter=",", skiprows=1, ndmin=2)

def predict_fn(data, model):
    return model.predict(data)

def output_fn(prediction, accept):
    return json.dumps(prediction.tolist()), "application/json"
"""

DIES_OF_A_CHARSET = """
import json, os

def model_fn(model_dir):
    return os.getpid()

def input_fn(body, content_type):
    if content_type and "charset" in content_type:
        os._exit(3)
    return body

def predict_fn(data, model):
    return model

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""


def run(package: MakePackage, code: str, **fields: Any) -> InferenceTestResult:
    sample = {"sample_name": "rows", "content_type": CSV, "request_body": "a,b\n1,2\n3,4\n5,6\n"}
    spec = {
        "handler_name": "model",
        "packaged_model_path": package({"code/inference.py": code}),
        "supported_accept_types": [JSON],
        "test_data_samples": [sample],
        **fields,
    }
    return RuntimeTester().test_inference_handler(InferenceHandlerSpec.model_validate(spec))


def codes(result: InferenceTestResult) -> set[str]:
    return {diagnosis.code for diagnosis in result.diagnoses} & {"HP401", "HP402"}


def cell(result: InferenceTestResult, kind: str, accept: str) -> Row:
    rows = [
        row
        for row in result.variant_results
        if (row.content_type_variant, row.accept_variant) == (kind, accept)
    ]
    assert len(rows) == 1
    return rows[0]


def test_nothing_is_changed_unless_asked(package: MakePackage) -> None:
    result = run(package, NARROW)
    assert result.overall_success
    assert result.variant_results == []
    assert codes(result) == set()


def test_negotiation_shows_what_else_is_answered_and_does_not_count(package: MakePackage) -> None:
    result = run(package, NARROW, negotiate=True)
    assert result.overall_success, result.errors
    statuses = {
        (row.content_type_variant, row.accept_variant): row.response.status
        for row in result.variant_results
    }
    kinds = ("as given", "with charset", "upper case", "absent", "unknown")
    accepts = ("as given", "absent", "any", "list", "with q")
    answered = {("as given", accept) for accept in ("as given", "absent", "any")}
    expected = {
        (kind, accept): 200 if (kind, accept) in answered else 500
        for kind in kinds
        for accept in accepts
    }
    assert statuses == expected
    assert {row.content_type for row in result.variant_results} == {
        CSV, "text/csv; charset=utf-8", "TEXT/CSV", None, "application/x-unknown",
    }  # fmt: skip
    assert {row.accept_type for row in result.variant_results} == {
        JSON, None, "*/*", "application/json, text/csv", "application/json;q=0.9",
    }  # fmt: skip
    assert cell(result, "as given", "list").failed_function == "output_fn"
    assert cell(result, "absent", "as given").failed_function == "input_fn"
    assert codes(result) == {"HP402"}


def test_a_handler_that_takes_everything_is_green_and_nothing_is_claimed(
    package: MakePackage,
) -> None:
    result = run(package, WIDE, negotiate=True, probe=True)
    assert {row.response.status for row in result.variant_results} == {200}
    assert codes(result) == set()


def test_probes_prove_a_lost_dimension_and_a_refused_charset(package: MakePackage) -> None:
    result = run(package, NARROW, probe=True)
    assert result.overall_success, result.errors
    shapes = {
        (row.body_variant, row.content_type_variant): row.processed_input_shape
        for row in result.variant_results
    }
    assert shapes == {
        ("as given", "as given"): [3, 2],
        ("as given", "with charset"): None,
        ("one row", "as given"): [2],
        ("two rows", "as given"): [2, 2],
    }
    claims = {found.code: found for found in result.diagnoses}
    assert claims.keys() == {"HP401", "HP402"}
    assert "(2,) for one row and (2, 2) for two rows" in claims["HP401"].message
    assert "predict_fn raised (ValueError: Expected 2D array" in claims["HP401"].message
    assert "'text/csv; charset=utf-8' input_fn raised (ValueError" in claims["HP402"].message
    assert {found.sample_name for found in claims.values()} == {"rows"}


def test_a_sample_that_fails_as_given_proves_nothing_of_its_charset(package: MakePackage) -> None:
    code = NARROW.replace("return model.predict(data)", "raise RuntimeError('always')")
    result = run(package, code, probe=True)
    assert not result.overall_success
    assert codes(result) == set()


def test_a_worker_that_is_lost_is_replaced_and_its_row_says_so(package: MakePackage) -> None:
    result = run(package, DIES_OF_A_CHARSET, negotiate=True)
    assert result.overall_success, result.errors
    lost = [row for row in result.variant_results if row.worker_lost]
    assert [(row.content_type_variant, row.outcome) for row in lost] == [
        ("with charset", Outcome.exited)
    ]
    rest = [row for row in result.variant_results if row.content_type_variant == "with charset"]
    assert {row.outcome for row in rest} == {Outcome.exited, Outcome.skipped}
    workers = {
        row.content_type_variant: row.response.body for row in result.variant_results if row.success
    }
    assert workers["as given"] != workers["upper case"] == workers["unknown"]
    before = {row.response.body for row in result.end_to_end_results}
    assert before == {workers["as given"]}, "negotiation needs no worker of its own"


def test_a_sample_that_shall_be_refused_is_not_changed(package: MakePackage) -> None:
    sample = {
        "sample_name": "broken",
        "content_type": CSV,
        "request_body": "a,b\nx,y\n",
        "should_succeed": False,
    }
    result = run(package, NARROW, negotiate=True, probe=True, test_data_samples=[sample])
    assert result.overall_success, result.errors
    assert result.variant_results == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_command_shows_the_map_without_colour(package: MakePackage, form: str) -> None:
    model = package({"code/inference.py": NARROW})
    rows = package({"rows.csv": "a,b\n1,2\n3,4\n"})
    ran = handlerproof(
        "run", model, "--payloads", rows, "--accept", JSON, "--matrix", "--probe", "--format", form
    )
    assert ran.returncode == 0, ran.stderr
    report = ran.stdout if form == "text" else ran.stderr
    assert "\x1b" not in report
    line = next(line for line in report.splitlines() if "as given: text/csv" in line)
    cells = [cell.strip() for cell in line.split("│")[2:-1]]
    assert cells == ["200", "200", "200", "500", "500"]
    assert "HP401" in report
    assert "HP402" in report
    if form == "json":
        told = json.loads(ran.stdout)
        assert len(told["variant_results"]) == 5 * 5 + 2
        assert InferenceTestResult.model_validate(told).variant_results

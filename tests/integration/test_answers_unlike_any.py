"""Answers that no honest handler gives, held to what a sample expects: told in few words."""

from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import (
    InferenceHandlerSpec,
    InferenceTestResult,
    InferenceTestSample,
    RuntimeTester,
    SpecError,
)
from tests.conftest import MakePackage

# Answers what the request holds, as the type that it names; TURN differs from time to time.
ECHO = """
import itertools, json
turns = itertools.count()

def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return json.loads(body)[0]

def predict_fn(asked, model):
    return asked

def output_fn(asked, accept):
    return asked["body"].replace("TURN", str(next(turns))), asked["type"]
"""
JSON, NPY, MANY = "application/json", "application/x-npy", 200_000
DEEP = "[" * 900 + "TURN" + "]" * 900
NESTED = {"type": "array", "items": {"$ref": "#"}}
Expected = dict[str, Any]
CASES: dict[str, tuple[str, str, Expected, str]] = {
    "an integer beyond every float": (
        str(10**400), JSON, {"expected_body": 1.5}, "response is 1000"),
    "a list as long as it is wrong": (
        json.dumps([0] * MANY), JSON, {"expected_output_structure": ["str"]},
        "response[4] is int, not str; and more"),
    "a text as long": (
        json.dumps("x" * MANY), JSON, {"expected_body": "y"}, f"response is '{'x' * 119}..., not"),
    "a text as long, by a schema": (
        json.dumps("x" * MANY), JSON, {"response_schema": {"maxLength": 3}}, "is too long"),
    "a list as long, by a schema": (
        json.dumps([0] * MANY), JSON, {"response_schema": {"items": {"type": "string"}}},
        "response[4]: 0 is not of type 'string'"),
    "depth, by a schema": (
        DEEP, JSON, {"response_schema": NESTED}, "response is too deep for response_schema"),
    "depth, twice": (
        DEEP, JSON, {"deterministic": True}, "answered differently: "),
    "depth, shown": (DEEP, JSON, {"expected_body": 1}, "not 1"),
    "a page": ("<html>", JSON, {"expected_body": 1}, "as application/json: '<html>'"),
    "an npy head that is no dict": (
        "\x93NUMPY", NPY, {"same_row_count": True}, "rows of the response"),
    "rows that are words": (
        "\x93NUMPY {'shape': ('a', 2)}", NPY, {"same_row_count": True}, "rows of the response"),
}  # fmt: skip


def spec_of(package: Path, *samples: InferenceTestSample) -> InferenceHandlerSpec:
    return InferenceHandlerSpec(
        handler_name="echo",
        packaged_model_path=str(package),
        test_data_samples=samples,
        supported_accept_types=[JSON],
    )


def outcome_of(spec: InferenceHandlerSpec) -> InferenceTestResult:
    with RuntimeTester() as tester:
        return tester.test_inference_handler(spec)


def sample(name: str, body: str, kind: str, expected: Expected) -> InferenceTestSample:
    asked = json.dumps([{"body": body, "type": kind}])
    return InferenceTestSample(sample_name=name, content_type=JSON, request_body=asked, **expected)


def test_it_is_told_in_few_words(package: MakePackage) -> None:
    samples = [sample(name, *case[:3]) for name, case in CASES.items()]
    result = outcome_of(spec_of(package({"code/inference.py": ECHO}), *samples))
    told = {row.sample_name: row.error_message or "" for row in result.end_to_end_results}
    for name, (_, _, _, problem) in CASES.items():
        assert problem in told[name], (name, told[name][:300])
        assert len(told[name]) < 2000, name


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "nothing"}, "response_schema is no JSON Schema: 'nothing' is not valid"),
        ({"$ref": "http://127.0.0.1:1/x.json"}, "response_schema refers to what is not in it"),
    ],
)
def test_schema_that_cannot_be_used_is_refused(
    schema: Expected, problem: str, package: MakePackage
) -> None:
    made = package({"code/inference.py": ECHO})
    with pytest.raises(SpecError, match=problem):
        outcome_of(spec_of(made, sample("a", "1", JSON, {"response_schema": schema})))


def test_schema_without_its_package_says_what_to_install_before_anything_runs(
    package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "jsonschema"]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "jsonschema":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    made = package({"code/inference.py": "while True: pass"})
    with pytest.raises(SpecError, match=r"install handlerproof\[schema\]"):
        outcome_of(spec_of(made, sample("a", "1", JSON, {"response_schema": {}})))

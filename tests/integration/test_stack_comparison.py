"""One handler under every stack: what differs is told, what does not is not."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from harness import InferenceHandlerSpec, RuntimeTester, StackComparison
from harness.specs import Stack
from tests.conftest import MakePackage
from tests.integration.test_cli import handlerproof

STACKS = get_args(Stack)
PLAIN = """
def model_fn(model_dir):
    return 2

def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]

def predict_fn(data, model):
    return [model * cell for cell in data]

def output_fn(prediction, accept):
    {answer}
"""
TUPLE = PLAIN.format(answer="return str(prediction[0]), accept")
BYTES = PLAIN.format(answer="return b'4'")
FAILS = PLAIN.format(answer="raise ValueError('no such answer')")
BROKEN = (
    "def model_fn(model_dir):\n    raise OSError('no model')\n" + TUPLE.partition("return 2")[2]
)


def compared(package: MakePackage, code: str) -> StackComparison:
    spec: dict[str, Any] = {
        "handler_name": "model",
        "packaged_model_path": package({"code/inference.py": code}),
        "supported_accept_types": ["application/json"],
        "test_data_samples": [
            {"sample_name": "row", "content_type": "text/csv", "request_body": "1,2"}
        ],
    }
    return RuntimeTester().compare_stacks(InferenceHandlerSpec.model_validate(spec))


def test_a_tuple_is_a_list_on_one_stack_only(package: MakePackage, tmp_path: Any) -> None:
    comparison = compared(package, TUPLE)
    assert comparison.overall_success
    assert tuple(comparison.results) == STACKS
    assert [result.stack for result in comparison.results.values()] == list(STACKS)
    (difference,) = comparison.differences
    assert difference.parts == ["body"]
    answers = {tuple(answer.stacks): answer.response.body for answer in difference.answers}
    assert answers == {
        ("toolkit", "pytorch", "sklearn", "xgboost"): "2.0",
        ("huggingface",): '[\n  "2.0",\n  "application/json"\n]',
    }
    comparison.save(tmp_path / "comparison.json")
    assert StackComparison.load(tmp_path / "comparison.json") == comparison


def test_an_error_differs_by_status_and_body_but_not_by_the_run(package: MakePackage) -> None:
    comparison = compared(package, FAILS)
    assert not comparison.overall_success
    (difference,) = comparison.differences
    assert {"status", "content_type", "body"} == set(difference.parts)
    statuses = {tuple(answer.stacks): answer.response.status for answer in difference.answers}
    assert statuses == {
        ("toolkit", "pytorch"): 500,
        ("huggingface",): 400,
        ("sklearn", "xgboost"): 500,
    }


@pytest.mark.parametrize(
    ("code", "expected", "exit_code"),
    [
        (TUPLE, ("1 of 1 requests", "passed under toolkit, pytorch, huggingface"), 0),
        (FAILS, ("no such answer", "passed under no stack"), 1),
        (BROKEN, ("toolkit: not loaded", "sklearn: not loaded", "/ping"), 1),
    ],
)
def test_command_prints_what_differs(
    package: MakePackage, code: str, expected: tuple[str, ...], exit_code: int
) -> None:
    model = package({"code/inference.py": code})
    rows = package({"row.csv": "1,2"})
    given = ("run", model, "--payloads", rows, "--accept", "application/json", "--stack", "all")
    ran = handlerproof(*given)
    assert ran.returncode == exit_code, ran.stderr
    for words in expected:
        assert words in ran.stdout
    assert json.loads(handlerproof(*given, "--format", "json").stdout)["results"].keys() == {
        *STACKS
    }


def test_only_the_parts_that_differ_are_named(package: MakePackage) -> None:
    comparison = compared(package, BYTES)
    (difference,) = comparison.differences
    assert difference.parts == ["content_type"]
    kinds = {tuple(answer.stacks): answer.response.content_type for answer in difference.answers}
    assert kinds == {
        ("toolkit", "pytorch", "huggingface"): "application/json",
        ("sklearn", "xgboost"): "text/html; charset=utf-8",
    }

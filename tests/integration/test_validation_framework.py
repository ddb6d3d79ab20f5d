"""Signatures by the stack's rule, from source and worker; what suits the next function."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import scipy.sparse

from harness import (
    InferenceHandlerSpec,
    InferenceTestSample,
    InferenceValidationFramework,
    RuntimeTester,
    SpecError,
)
from tests.conftest import MakePackage
from tests.handlers.good import packages

FUNCTIONS = ["model_fn", "input_fn", "predict_fn", "output_fn"]
GOOD = """
def model_fn(anything): return {}
def input_fn(body, kind): return body
def predict_fn(rows, artifacts): return rows
def output_fn(scores, accept): return scores
"""
HIDDEN = """
import functools

def counted(function):
    @functools.wraps(function)
    def inner(*given):
        return function(*given)
    return inner

@counted
def model_fn(model_dir, device, threads): return {}

def load_it(body, content_type):
    yield body

input_fn = functools.partial(load_it)

class Predictor:
    async def __call__(self, data, model):
        return data

predict_fn = Predictor()
output_fn = functools.partial(lambda prediction, accept, digits: prediction, digits=3)
"""
CONTEXTS = """
def model_fn(model_dir, context): return {}
def input_fn(body, kind, context): return body
def predict_fn(rows, artifacts, context): return rows
def output_fn(scores, accept, context): return scores
"""


def verdicts(source: Any, **options: Any) -> dict[str, Any]:
    return dict(InferenceValidationFramework.validate_function_signatures(source, **options))


def handler(folder: Path, code: str) -> Path:
    file = folder / "handler" / "inference.py"
    file.parent.mkdir()
    file.write_text(code)
    return file


# ---------------------------------------------------------------- signatures


@pytest.mark.parametrize("run", [True, False])
@pytest.mark.parametrize("code", [GOOD, CONTEXTS])
def test_names_do_not_matter_and_the_context_may_be_there(
    tmp_path: Path, code: str, run: bool
) -> None:
    found = verdicts(handler(tmp_path, code), run=run)
    assert list(found) == FUNCTIONS
    for verdict in found.values():
        assert verdict == {"exists": True, "signature_valid": True, "issues": []}


@pytest.mark.parametrize("name", packages.MODELS)
def test_real_handlers_are_valid(package: MakePackage, name: str) -> None:
    found = verdicts(package(packages.files(name)))
    assert all(verdict["signature_valid"] for verdict in found.values()), found


@pytest.mark.parametrize(
    ("old", "new", "function", "valid", "words"),
    [
        ("def model_fn", "def load_fn", "model_fn", False, ["Function not found", "load_fn: did"]),
        ("(rows, artifacts)", "(rows)", "predict_fn", False,
         ["Missing required parameters: model; predict_fn has 1 parameters"]),
        ("(rows, artifacts)", "(model, data)", "predict_fn", True, ["the other way round"]),
        ("(scores, accept)", "(scores, accept, digits=2)", "output_fn", True,
         ["'digits' gets the server's context"]),
        ("def input_fn", "async def input_fn", "input_fn", False, ["an async function"]),
        ("return scores", "yield scores", "output_fn", False, ["a generator"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("run", [True, False])
def test_fault_is_told_of_its_function_alone(
    tmp_path: Path, old: str, new: str, function: str, valid: bool, words: list[str], run: bool
) -> None:
    assert old in GOOD
    found = verdicts(handler(tmp_path, GOOD.replace(old, new)), run=run)
    assert found[function]["signature_valid"] is valid
    assert found[function]["exists"] is (words[0] != "Function not found")
    for word, issue in zip(words, found[function]["issues"], strict=True):
        assert word in issue
    others = [verdict for name, verdict in found.items() if name != function]
    assert all(verdict["signature_valid"] and not verdict["issues"] for verdict in others)


def test_what_the_source_does_not_show_the_functions_do(tmp_path: Path) -> None:
    place = handler(tmp_path, HIDDEN)
    found = verdicts(place)
    assert "model_fn has 3 parameters" in found["model_fn"]["issues"][0]
    assert "a generator" in found["input_fn"]["issues"][0]
    assert "an async function" in found["predict_fn"]["issues"][0]
    assert "output_fn has 3 parameters" not in str(found["output_fn"])
    assert not any(found[name]["signature_valid"] for name in FUNCTIONS[:3])
    # The source alone claims nothing of what only a run shows.
    assert all(verdict["signature_valid"] for verdict in verdicts(place, run=False).values())


def test_stack_decides(tmp_path: Path) -> None:
    """The sagemaker-containers stacks just call, and know no context."""
    place = handler(tmp_path, CONTEXTS)
    fields = {"handler_name": "h", "handler_path": str(place), "stack": "sklearn"}
    found = verdicts(InferenceHandlerSpec.model_validate(fields))
    assert not any(verdict["signature_valid"] for verdict in found.values())


def test_import_that_fails_leaves_the_source(tmp_path: Path) -> None:
    found = verdicts(handler(tmp_path, GOOD + "import not_there_1\n"))
    for verdict in found.values():
        assert verdict["exists"]
        assert verdict["signature_valid"]
        assert "cannot be imported: ModuleNotFoundError" in verdict["issues"][0]


def test_transform_fn_stands_for_three(tmp_path: Path) -> None:
    code = "def model_fn(d): return 1\ndef transform_fn(m, body, kind, accept): return body\n"
    found = verdicts(handler(tmp_path, code))
    assert list(found) == [*FUNCTIONS, "transform_fn"]
    assert found["transform_fn"]["signature_valid"]
    assert found["predict_fn"]["issues"] == ["Function not found: transform_fn stands for it"]


def test_modules_and_live_handlers_are_handlers_too(tmp_path: Path) -> None:
    module = types.ModuleType("made_by_hand")
    exec(GOOD, vars(module))
    with RuntimeTester() as tester, tester.open_handler(handler(tmp_path, GOOD)) as live:
        assert verdicts(live) == verdicts(module)


# ---------------------------------------------------------------- data


TABLE = pandas.DataFrame({"a": [1, 2]})


@pytest.mark.parametrize(
    ("value", "fits", "fits_not"),
    [
        (TABLE, ["DataFrame", "pd.DataFrame", "pandas.DataFrame | None", "Any"], ["dict", "list"]),
        (numpy.ones((2, 3)), ["ndarray", "np.ndarray", "npt.NDArray | ndarray"],
         ["DataFrame", "bytes", "csr_matrix"]),
        (scipy.sparse.eye(3).tocsr(), ["sparse", "scipy.sparse.csr_matrix"], ["ndarray"]),
        ({"a": 1}, ["dict", "Dict[str, float]", "Mapping", "Optional[dict]"], ["records", "str"]),
        ([{"a": 1}], ["records", "list[dict]", "List[Dict[str, Any]]", "Sequence"], ["dict"]),
        ([[1.0]], ["list", "Union[np.ndarray, list]"], ["records", "ndarray"]),
        (b"PAR1", ["bytes", "bytearray"], ["str"]),
        ("text", ["str", '"str"'], ["bytes", "dict"]),
    ],
)  # fmt: skip
def test_value_is_held_against_a_type(value: Any, fits: list[str], fits_not: list[str]) -> None:
    with RuntimeTester() as tester, tester.open_handler(HANDS_ON) as live:
        row = live.predict_fn(value, None)
    for wanted in fits + fits_not:
        found = InferenceValidationFramework.validate_data_compatibility(row, wanted)
        assert found["compatible"] is (wanted in fits), found
        assert bool(found["issues"]) is (wanted in fits_not)
        assert found["expected_dest_type"] == wanted
        assert found["source_type"] == type(value).__name__


def test_value_that_is_here_is_looked_at_in_a_worker() -> None:
    judge = InferenceValidationFramework.validate_data_compatibility
    assert judge(TABLE, "DataFrame")["compatible"]
    assert judge([1.5], "ndarray")["issues"] == ["Expected array-like object with shape, got list"]
    with pytest.raises(SpecError, match="cannot be sent"):
        judge((item for item in "ab"), "list")


def test_row_without_a_value_is_a_clear_error(tmp_path: Path) -> None:
    code = GOOD.replace("return body", "raise ValueError('no')")
    with RuntimeTester() as tester, tester.open_handler(handler(tmp_path, code)) as live:
        row = live.input_fn(b"x")
    with pytest.raises(SpecError, match="did not return"):
        InferenceValidationFramework.validate_data_compatibility(row, "dict")


@pytest.mark.parametrize(
    ("predict", "expected"),
    [
        ("def predict_fn(rows, model): return rows.columns",
         "DataFrame-like object: it asks for .columns"),
        ("def predict_fn(rows: 'numpy.ndarray', model): return rows + 1",
         "array-like object with shape: its parameter is annotated numpy.ndarray"),
        ("def predict_fn(rows, model): return rows['a']",
         "dictionary object: list indices must be integers or slices, not str"),
        ("def predict_fn(rows, model):\n"
         "    try: return rows.shape\n"
         "    except AttributeError as error: raise ValueError('bad rows') from error",
         "array-like object with shape: it asks for .shape"),
        ("def predict_fn(rows, model): return model.columns", None),
    ],
)  # fmt: skip
def test_result_says_what_the_next_function_wanted(
    tmp_path: Path, predict: str, expected: str | None
) -> None:
    code = GOOD.replace("return body", "return [1, 2]").replace(
        "def predict_fn(rows, artifacts): return rows", predict
    )
    sample = InferenceTestSample(sample_name="s", content_type="text/csv", request_body="1")
    spec = InferenceHandlerSpec(
        handler_name="h", handler_path=str(handler(tmp_path, code)), test_data_samples=(sample,)
    )
    with RuntimeTester() as tester:
        (found,) = tester.test_inference_handler(spec).compatibility_results
    assert not found.compatible
    assert found.expected_type == expected


HANDS_ON = types.ModuleType("hands_on")
exec("def model_fn(d): return None\ndef predict_fn(data, model): return data\n", vars(HANDS_ON))

"""test_inference_function: one function, given parameters, from whatever stands for a handler."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import threading
import types
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from harness import FunctionTestResult, InferenceHandlerSpec, RuntimeTester
from tests.conftest import MakePackage

CODE = '''
"""Says what it was given."""

def kind(value):
    return type(value).__module__ + "." + type(value).__qualname__

def model_fn(directory):
    return {"directory": directory}

def input_fn(payload, mime):
    return [kind(payload), mime]

def predict_fn(rows, regressor):
    return regressor(rows) if callable(regressor) else [kind(rows), rows, kind(regressor)]

def output_fn(result, wanted):
    return repr(result) + " as " + wanted
'''
# What each function is given, by the contract's names and by its own, and what it then returns.
CALLS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "input_fn": (
        [
            {"request_body": "[1]", "content_type": "application/json"},
            {"payload": b"[1]", "mime": "application/json"},
            {"body": bytearray(b"[1]"), "request_content_type": "application/json"},
        ],
        "['builtins.str', 'application/json']",
    ),
    "predict_fn": (
        [
            {"input_object": [1, 2], "model": None},
            {"rows": [1, 2], "regressor": None},
            {"model_artifacts": None, "input_data": [1, 2]},
        ],
        "['builtins.list', [1, 2], 'builtins.NoneType']",
    ),
    "output_fn": (
        [
            {"prediction": {"a": 1}, "accept": "text/csv"},
            {"result": {"a": 1}, "wanted": "text/csv"},
            {"accept_type": "text/csv", "predictions": {"a": 1}},
        ],
        "\"{'a': 1} as text/csv\"",
    ),
}


class Doubling:
    """A model whose class no worker can import."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, rows: list[float]) -> list[float]:
        return [halved(self.factor * 2 * row) for row in rows]


def halved(value: float) -> float:
    return value / 2


@contextmanager
def sources(package: MakePackage, tester: RuntimeTester) -> Iterator[dict[str, Any]]:
    """Give everything that may stand for the handler."""
    folder = package({"code/inference.py": CODE})
    archive = package({"code/inference.py": CODE}, as_archive=True)
    file = folder / "code" / "inference.py"
    spec = InferenceHandlerSpec(handler_name="h", packaged_model_path=str(folder))
    with_file = importlib.util.module_from_spec(
        importlib.util.spec_from_file_location("handler_of_the_test", file)  # type: ignore[arg-type]
    )
    exec(CODE, vars(with_file))
    without_file = types.ModuleType("nowhere")
    exec(CODE, vars(without_file))
    with tester.open_handler(spec) as live:
        yield {
            "file": str(file),
            "path object": file,
            "directory": folder,
            "archive": str(archive),
            "spec": spec,
            "spec of a file": InferenceHandlerSpec(handler_name="h", handler_path=str(file)),
            "module": with_file,
            "module without a file": without_file,
            "live handler": live,
        }


def test_each_function_of_every_source_by_either_name(package: MakePackage) -> None:
    with RuntimeTester() as tester, sources(package, tester) as handlers:
        for name, handler in handlers.items():
            for function, (spellings, expected) in CALLS.items():
                for parameters in spellings if name in ("file", "live handler") else spellings[1:2]:
                    got = tester.test_inference_function(handler, function, parameters)
                    assert got["success"], (name, function, got)
                    assert set(got) == {
                        "function_name",
                        "success",
                        "execution_time",
                        "result",
                        "validation",
                    }
                    assert got["function_name"] == function
                    assert got["result"]["preview"] == expected, name
                    assert 0 <= got["execution_time"] < 5
                    json.dumps(got, allow_nan=False)


def test_model_fn_gets_a_private_copy_of_the_callers_directory(
    package: MakePackage, tmp_path: Path
) -> None:
    (tmp_path / "weights.txt").write_text("7")
    code = """
import os

def model_fn(directory):
    with open(os.path.join(directory, "weights.txt")) as file:
        weights = file.read()
    os.remove(os.path.join(directory, "weights.txt"))
    return weights, os.path.realpath(directory) == os.getcwd()
"""
    handler = package({"inference.py": code}) / "inference.py"
    with RuntimeTester() as tester:
        for name in ("model_dir", "directory"):
            got = tester.test_inference_function(handler, "model_fn", {name: str(tmp_path)})
            assert got["success"], got
            assert got["result"]["preview"] == "('7', True)", name
        assert tester.test_inference_function(handler, "model_fn", {"model_dir": tmp_path})[
            "success"
        ]
    assert (tmp_path / "weights.txt").read_text() == "7"


def test_validation_says_what_each_function_gave(package: MakePackage) -> None:
    folder = package({"code/inference.py": CODE})
    with RuntimeTester() as tester, tester.open_handler(folder) as live:
        model = tester.test_inference_function(live, "model_fn", {"model_dir": "somewhere"})
        given = {name: calls[0][0] for name, calls in CALLS.items()}
        got = {name: tester.test_inference_function(live, name, given[name]) for name in given}
    assert model["validation"] == {
        "function_type": "model_fn",
        "result_type": "dict",
        "has_model_artifacts": True,
        "is_dict": True,
    }
    assert model["result"]["preview"] == "{'directory': 'somewhere'}"
    assert {name: view["validation"] for name, view in got.items()} == {
        "input_fn": {
            "function_type": "input_fn",
            "result_type": "list",
            "has_processed_input": True,
            "input_type": "list",
        },
        "predict_fn": {
            "function_type": "predict_fn",
            "result_type": "list",
            "has_predictions": True,
            "prediction_type": "list",
        },
        "output_fn": {
            "function_type": "output_fn",
            "result_type": "str",
            "has_response": True,
            "response_type": "str",
        },
    }


# ---------------------------------------------------------------- what crosses, and how

CROSSING: dict[str, tuple[Any, str]] = {
    "DataFrame": (pandas.DataFrame({"a": [1, 2]}), "pandas"),
    "array": (numpy.arange(6).reshape(2, 3), "numpy.ndarray"),
    "numpy scalar": (numpy.float32(1.5), "numpy.float32"),
    "NaN": (math.nan, "builtins.float"),
    "infinity within": ([{"a": math.inf}], "builtins.list"),
    "tuple": ((1, 2), "builtins.tuple"),
    "set": ({1, 2}, "builtins.set"),
    "keys that are no str": ({1: 2, None: 3}, "builtins.dict"),
    "bytes": (b"\x00\xff", "builtins.bytes"),
    "bytearray": (bytearray(b"ab"), "builtins.bytearray"),
    "surrogate": ("\ud800", "builtins.str"),
    "U+2028 and NUL": ("\u2028\0", "builtins.str"),
    "large number": (2**100, "builtins.int"),
    "number of 4000 digits": (10**4000, "builtins.int"),
    "bool": (True, "builtins.bool"),
    "minus zero": (-0.0, "builtins.float"),
    "deep list": ([[[[[[[[[[1]]]]]]]]]], "builtins.list"),
}
ECHO = """
def kind(value):
    return type(value).__module__ + "." + type(value).__qualname__

def model_fn(model_dir):
    return None

def predict_fn(value, expected):
    return kind(value), expected(value)
"""


@pytest.mark.parametrize(("value", "kind"), CROSSING.values(), ids=CROSSING)
def test_parameter_arrives_as_what_it_is(value: Any, kind: str, package: MakePackage) -> None:
    text = repr(value)

    def same(arrived: Any) -> bool:
        return repr(arrived) == text

    with RuntimeTester() as tester:
        got = tester.test_inference_function(
            package({"code/inference.py": ECHO}), "predict_fn", {"value": value, "expected": same}
        )
    assert got["success"], got
    told, arrived = eval(got["result"]["preview"])
    assert told.startswith(kind)
    assert arrived is True


def test_function_and_class_of_the_callers_own_module_cross(
    package: MakePackage, tmp_path: Path
) -> None:
    """They go by value, with what they refer to: a bare environment cannot import this module."""
    venv.create(tmp_path / "bare", with_pip=False)
    spec = InferenceHandlerSpec(
        handler_name="bare",
        packaged_model_path=str(package({"code/inference.py": CODE})),
        environment={"python": str(tmp_path / "bare" / "bin" / "python")},
    )
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        row = live.predict_fn([1.0, 2.5], Doubling(3.0))
        assert row.success, row.error_message
        assert row.output_data is not None
        assert row.output_data.preview == "[3.0, 7.5]"
        plain = live.predict_fn(8.0, halved)
        assert plain.output_data is not None
        assert plain.output_data.preview == "4.0"


def test_sending_leaves_nothing_registered_with_cloudpickle(package: MakePackage) -> None:
    import cloudpickle

    before = cloudpickle.list_registry_pickle_by_value()
    with RuntimeTester() as tester:
        tester.test_inference_function(
            package({"code/inference.py": CODE}), "predict_fn", {"rows": 1, "regressor": halved}
        )
    assert cloudpickle.list_registry_pickle_by_value() == before


def test_module_without_a_file_keeps_its_imports_and_helpers(package: MakePackage) -> None:
    module = types.ModuleType("made_by_hand")
    source = """
import json as parser
from collections import Counter

FACTOR = 3

class Model:
    def predict(self, rows):
        return [FACTOR * row for row in rows]

def model_fn(model_dir):
    return Model()

def input_fn(body, content_type):
    return helper(body)

def helper(body):
    return parser.loads(body)

def predict_fn(data, model):
    return model.predict(data), Counter("aab")["a"]
"""
    exec(source, vars(module))
    with RuntimeTester() as tester:
        for registered in (False, True):
            with pytest.MonkeyPatch.context() as patch:
                if registered:
                    patch.setitem(sys.modules, "made_by_hand", module)
                with tester.open_handler(module) as live:
                    assert live.model_fn().success
                    assert live.input_fn("[1, 2]", "application/json").success
                    row = live.predict_fn()
            assert row.output_data is not None, row.error_message
            assert row.output_data.preview == "([3, 6], 2)"


def test_nothing_of_the_testers_packages_is_visible_but_cloudpickle(
    package: MakePackage, tmp_path: Path
) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    code = """
import importlib.util

def model_fn(model_dir):
    return None

def predict_fn(names, function):
    return [name for name in names if importlib.util.find_spec(name)], function(2)
"""
    names = ["cloudpickle", "pydantic", "numpy", "psutil", "click", "harness", "worker", "tests"]
    spec = InferenceHandlerSpec(
        handler_name="bare",
        packaged_model_path=str(package({"code/inference.py": code})),
        environment={"python": str(tmp_path / "bare" / "bin" / "python")},
    )
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        row = live.predict_fn(names, halved)
    assert row.output_data is not None, row.error_message
    assert row.output_data.preview == "(['cloudpickle'], 1.0)"


def test_value_that_the_worker_cannot_have_is_an_error_in_words(
    package: MakePackage, tmp_path: Path
) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    spec = InferenceHandlerSpec(
        handler_name="bare",
        packaged_model_path=str(package({"code/inference.py": ECHO})),
        environment={"python": str(tmp_path / "bare" / "bin" / "python")},
    )
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        row = live.predict_fn(numpy.arange(3), None)
        assert row.outcome == "failed"
        assert "No module named 'numpy'" in (row.error_message or "")
        assert "send plain data" in (row.error_message or "")
        assert live.running, "the handler is not to blame, and goes on"


# ---------------------------------------------------------------- what makes no sense

ROW = {"input_object": [1], "model": None}
NONSENSE: dict[str, tuple[str, dict[str, Any], str]] = {
    "unknown function": ("train_fn", ROW, "there is no function 'train_fn'"),
    "unknown name": ("predict_fn", {**ROW, "modle": 1}, "has no parameter 'modle'"),
    "missing": ("predict_fn", {"input_object": [1]}, "needs model as well"),
    "nothing": ("predict_fn", {}, "needs input_object, model as well"),
    "twice": ("predict_fn", {**ROW, "rows": [2]}, "'rows' and another name give parameter 1"),
    "body that is none": (
        "input_fn",
        {"request_body": {"a": 1}, "content_type": "application/json"},
        "request_body must be str or bytes, got dict",
    ),
    "body that is not Unicode": (
        "input_fn",
        {"request_body": "\ud800", "content_type": "application/json"},
        "request_body must be str or bytes, got text that is not Unicode",
    ),
    "content type that is a number": (
        "input_fn",
        {"request_body": "", "content_type": math.nan},
        "content_type must be a str or None, got '<float>'",
    ),
    "accept that is a list": (
        "output_fn",
        {"prediction": 1, "accept": ["text/csv"]},
        "accept must be a str or None, got ['text/csv']",
    ),
    "model_dir that is a number": ("model_fn", {"model_dir": 7}, "model_dir must be a path"),
}


@pytest.mark.parametrize(
    ("function", "parameters", "said"),
    NONSENSE.values(),
    ids=NONSENSE,
)
def test_parameters_that_make_no_sense_are_an_error_in_words(
    function: str, parameters: dict[str, Any], said: str, package: MakePackage
) -> None:
    folder = package({"code/inference.py": CODE})
    with RuntimeTester() as tester, tester.open_handler(folder) as live:
        for handler in (folder, live):
            got = tester.test_inference_function(handler, function, parameters)
            assert got["success"] is False
            assert said in got["error"]
            assert "result" not in got
            assert "validation" not in got


def test_value_that_cannot_be_pickled_is_an_error_in_words(package: MakePackage) -> None:
    folder = package({"code/inference.py": CODE})
    with RuntimeTester() as tester:
        parameters = {"rows": threading.Lock(), "regressor": 1}
        got = tester.test_inference_function(folder, "predict_fn", parameters)
    assert not got["success"]
    assert "type lock cannot be sent to the worker" in got["error"]


def test_handler_that_is_not_there_or_is_broken_is_an_error_in_words(
    package: MakePackage, tmp_path: Path
) -> None:
    broken = package({"inference.py": "import nowhere_at_all\ndef predict_fn(a, b): return 1\n"})
    wrong: dict[Any, str] = {
        tmp_path / "not_there.py": "no such file",
        "not/there.tar.gz": "No such file",
        package({"weights.bin": b""}): "no module 'inference'",
        broken: "ModuleNotFoundError: No module named 'nowhere_at_all'",
        42: "a handler is a path, a spec, a module",
    }
    with RuntimeTester() as tester:
        for handler, said in wrong.items():
            got = tester.test_inference_function(handler, "predict_fn", {"a": 1, "b": 2})
            assert got["success"] is False, handler
            assert said in got["error"], got
            assert got["function_name"] == "predict_fn"


@pytest.mark.parametrize(
    ("body", "outcome", "said"),
    [
        ("raise ValueError('no')", "raised", "ValueError: no"),
        ("raise SystemExit(3)", "raised", "SystemExit: 3"),
        ("import os; os._exit(3)", "exited", "exit code 3"),
        ("import os; os.kill(os.getpid(), 11)", "crashed", "SIGSEGV"),
        ("while True: pass", "timed_out", "timed out after"),
    ],
    ids=lambda item: str(item)[:20],
)
def test_whatever_the_function_does_is_in_the_answer(
    body: str, outcome: str, said: str, package: MakePackage
) -> None:
    code = f"def model_fn(model_dir):\n    {body}\n"
    spec = InferenceHandlerSpec(
        handler_name="h",
        packaged_model_path=str(package({"code/inference.py": code})),
        timeout_seconds=1,
    )
    with RuntimeTester() as tester:
        got = tester.test_inference_function(spec, "model_fn", {"model_dir": "x"})
    assert (got["success"], got["outcome"]) == (False, outcome)
    assert said in got["error"]
    assert got["execution_time"] < 5


def test_result_of_one_call_is_a_parameter_of_the_next(package: MakePackage) -> None:
    """By `function` as by the function's own method: the value never leaves the worker."""
    folder = package({"code/inference.py": CODE})
    with RuntimeTester() as tester, tester.open_handler(folder) as live:
        rows = live.function("predict_fn", {"rows": [1, 2], "regressor": None})
        assert isinstance(rows, FunctionTestResult)
        assert rows.input_parameters == {"rows": [1, 2], "regressor": None}
        again = live.function("predict_fn", {"rows": rows, "regressor": None})
        assert again.output_data is not None
        assert (again.output_data.preview or "").startswith("['builtins.list', ['builtins.list'")

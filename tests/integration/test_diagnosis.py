"""Every diagnosis is made of a real handler that has the mistake, and of no correct one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness import InferenceHandlerSpec, InferenceTestResult, InferenceTestSample, RuntimeTester
from harness.artifacts.package import open_package
from harness.artifacts.workspace import RunDirectory
from harness.checks.diagnosis import diagnose
from harness.checks.diagnosis.case import Case
from harness.checks.diagnosis.package_faults import look
from tests.conftest import MakePackage
from tests.handlers.good import packages
from tests.integration.test_good_handlers import SAMPLES

GOOD = """
import json

def model_fn(model_dir):
    return 2.0

def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]

def predict_fn(data, model):
    return [cell * model for cell in data]

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""
ARRAYS = """
import io, json
import numpy

class Model:
    n_features_in_ = 3
    def predict(self, rows):
        if rows.ndim != 2:
            raise ValueError("Expected 2D array, got %dD array instead" % rows.ndim)
        if rows.shape[1] != 3:
            raise ValueError("X has %d features, expecting 3" % rows.shape[1])
        return rows.sum(axis=1)

def model_fn(model_dir):
    return Model()

def input_fn(body, content_type):
    return numpy.loadtxt(io.StringIO(body), delimiter=",")

def predict_fn(data, model):
    return model.predict(data)

def output_fn(prediction, accept):
    return json.dumps(prediction.tolist())
"""


def with_(old: str, new: str, code: str = GOOD) -> str:
    assert old in code
    return code.replace(old, new)


def returning(expression: str) -> str:
    return with_("return json.dumps(prediction)", f"return {expression}")


def raising(statement: str) -> str:
    return with_("    return [cell * model for cell in data]", f"    {statement}")


@dataclass(frozen=True)
class Fault:
    """A handler, a request, and what is to be said of it: its codes, and words of the first."""

    code: str
    codes: tuple[str, ...]
    words: str
    content_type: str | None = "text/csv"
    body: bytes | str = "1,2,3"
    accept: str | None = "application/json"
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    name: str = "code/inference.py"


SKLEARN = {"stack": "sklearn"}
HUGGINGFACE = {"stack": "huggingface"}
OF_MAIN = b"\x80\x04\x8c\x08__main__\x94\x8c\x05Model\x94\x93)R."
OF_ANOTHER = b"\x80\x04\x8c\x09fractions\x94\x8c\x08NoSuchOf\x94\x93)R."
# As a pickle of scikit-learn begins: the version, under its key.
OF_SKLEARN = b"\x80\x04\x8c\x10_sklearn_version\x94\x8c\x060.24.2\x9400" + OF_ANOTHER[2:]
UNPICKLES = with_(
    "return 2.0", "import pickle; return pickle.load(open(model_dir + '/model.pkl', 'rb'))"
)
FAULTS = {
    "a file of another name": Fault(GOOD, ("HP101",), "no module 'inference'; serve.py was run",
                                    name="code/serve.py"),
    "no file at all": Fault(GOOD, ("HP101", "HP201", "HP205"), "the stack's defaults run",
                            name="code/notes.txt", spec={"stack": "toolkit"}),
    "a path as program": Fault(GOOD, ("HP102",), "'code/inference.py'; a module's name",
                               spec={"environ_vars": {"SAGEMAKER_PROGRAM": "code/inference.py"}}),
    "resource forks": Fault(GOOD, ("HP104",), "1 '._' files", files={"._weights": b"\0"}),
    "requirements at the root": Fault(GOOD, ("HP105",), "no server installs it",
                                      files={"requirements.txt": "x"}),
    "a listed package": Fault("import not_there_1\n" + GOOD, ("HP106", "HP201"), "lists not_the",
                              files={"code/requirements.txt": "not-there-1>=2  # so\n"}),
    "an unlisted package": Fault("import not_there_1\n" + GOOD, ("HP107", "HP201"), "nor listed"),
    "a package of AWS": Fault("import sagemaker_containers\n" + GOOD, ("HP108", "HP201"), "only"),
    "no Python": Fault("def model_fn(:\n", ("HP109", "HP201"), "SyntaxError: invalid syntax"),
    "a pickle of __main__": Fault(UNPICKLES, ("HP201", "HP202"), "loading fails: AttributeError",
                                  files={"model.pkl": OF_MAIN}),
    "a pickle of another version": Fault(
        "import fractions\nimport pickle\nclass Unpickler(pickle._Unpickler): pass\n"
        + with_("return 2.0", "return Unpickler(open(model_dir + '/model.pkl', 'rb')).load()"),
        ("HP201", "HP203"), "loading fails: AttributeError", files={"model.pkl": OF_ANOTHER}),
    "a model of another scikit-learn": Fault(
        UNPICKLES, ("HP201", "HP203"), "loading fails: AttributeError",
        files={"model.pkl": OF_SKLEARN}),
    "no model_fn": Fault(with_("def model_fn", "def get_it"), ("HP201", "HP205"),
                         "loading fails: NotImplementedError"),
    "pip at import": Fault(
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-m', 'pip', 'install', 'x', '--no-index'])\n" + GOOD,
        ("HP206",), "pip install x"),
    "a file that is not there": Fault(with_("return 2.0", "return open(model_dir + '/weights')"),
                                      ("HP201", "HP207"), "loading fails: FileNotFoundError"),
    "a parameter too few": Fault(with_("(data, model)", "(data)"), ("HP301",),
                                 "predict_fn has 1 parameters"),
    "a name of its own": Fault(with_("def model_fn", "def load_model"), ("HP201", "HP205", "HP302"),
                               "loading fails"),
    "async": Fault(with_("def predict_fn", "async def predict_fn"), ("HP303",), "an async func"),
    "a threshold": Fault(with_("(prediction, accept)", "(prediction, accept, digits=3)"),
                         ("HP304",), "'digits' gets the server's context"),
    "the other way round": Fault(with_("(data, model)", "(model, data)"), ("HP305",),
                                 "the other way round"),
    "transform_fn and three others": Fault(
        GOOD + "def transform_fn(model, body, content_type, accept): return body\n",
        ("HP201", "HP306"), "Cannot use transform_fn"),
    "one row": Fault(ARRAYS, ("HP401",), "ndarray of shape (3,)"),
    "with a charset": Fault(
        with_("    return [float", "    if content_type != 'text/csv': raise ValueError('type')\n"
              "    return [float"),
        ("HP402",), "refuses 'text/csv; charset=utf-8'", content_type="text/csv; charset=utf-8"),
    "bytes taken for text": Fault(GOOD, ("HP403",), "a body of text/plain arrives as bytes",
                                  content_type="text/plain"),
    "text taken for bytes": Fault(with_("body.split", "body.decode().split"), ("HP404",),
                                  "a body of text/csv arrives as str"),
    "a form": Fault(GOOD, ("HP405",), "got None",
                    content_type="application/x-www-form-urlencoded"),
    "a type that defaults do not read": Fault(
        with_("def input_fn", "def other_fn"), ("HP406",), "does not read image/png",
        content_type="image/png"),
    "another number of features": Fault(ARRAYS, ("HP501",), "fitted on 3 features",
                                        body="1,2\n3,4\n"),
    "an object": Fault(returning("object()"), ("HP601",), "output_fn returned a object"),
    "an object on Flask": Fault(returning("object()"), ("HP601",), "the client gets 500",
                                spec=SKLEARN),
    "a status in the tuple": Fault(returning("('x', 200)"), ("HP602",), "the content type is 200"),
    "a tuple on huggingface": Fault(returning("('x', accept)"), ("HP603",), "returned a tuple",
                                    spec=HUGGINGFACE),
    "a bare text on Flask": Fault(GOOD, ("HP604",), "a bare str", spec=SKLEARN),
    "a list of types": Fault(GOOD, ("HP605",), "the whole list", accept="text/csv, text/plain"),
    "JSON where CSV was asked": Fault(returning("(json.dumps(prediction), 'application/json')"),
                                      ("HP605",), "text/csv was asked for", accept="text/csv"),
    "a message that is not ASCII": Fault(raising("raise ValueError('naïve')"), ("HP606",), "ASCII"),
    "an error on Flask": Fault(raising("raise ValueError('x')"), ("HP607",), "without a word",
                               spec=SKLEARN),
    "NaN": Fault(returning("json.dumps([float('nan')])"), ("HP608",), "NaN or Infinity"),
    "too long an answer": Fault(returning("'x' * 6553501"), ("HP609",), "6553501 bytes"),
    "a type that defaults do not write": Fault(
        with_("def output_fn", "def other_fn"), ("HP610",), "does not write image/png",
        accept="image/png"),
    "many models, one module": Fault(
        returning("(json.dumps(prediction), accept)"), ("HP704",), "one module serves every model",
        spec={"stack": "sklearn", "environ_vars": {"SAGEMAKER_MULTI_MODEL": "true"}}),
    "many models, no requirements": Fault(
        GOOD, ("HP704",), "(six) is not installed", files={"code/requirements.txt": "six"},
        spec={"environ_vars": {"SAGEMAKER_MULTI_MODEL": "true"}}),
    "too long a request": Fault(GOOD, ("HP702",), "6553501 bytes", body=b"1" * 6_553_501),
}  # fmt: skip


def outcome_of(package: Path, fault: Fault) -> InferenceTestResult:
    sample = InferenceTestSample(
        sample_name="s", content_type=fault.content_type, request_body=fault.body
    )
    spec = InferenceHandlerSpec(
        handler_name="fault",
        packaged_model_path=str(package),
        test_data_samples=(sample,),
        supported_accept_types=[fault.accept],
        timeout_seconds=60,
        **fault.spec,
    )
    with RuntimeTester() as tester:
        return tester.test_inference_handler(spec)


@pytest.mark.parametrize("name", FAULTS)
def test_mistake_is_seen_and_no_other(package: MakePackage, name: str) -> None:
    fault = FAULTS[name]
    result = outcome_of(package({fault.name: fault.code, **fault.files}), fault)
    assert tuple(seen.code for seen in result.diagnoses) == fault.codes, result
    assert fault.words in result.diagnoses[0].message


@pytest.mark.parametrize("stack", ["toolkit", "pytorch"])
def test_correct_handler_has_none(package: MakePackage, stack: str) -> None:
    fault = Fault(GOOD, (), "", spec={"stack": stack})
    assert outcome_of(package({"code/inference.py": GOOD}), fault).diagnoses == []


@pytest.mark.parametrize("name", SAMPLES)
def test_good_handlers_have_none(package: MakePackage, name: str) -> None:
    spec = InferenceHandlerSpec(
        handler_name=name,
        packaged_model_path=str(package(packages.files(name))),
        test_data_samples=SAMPLES[name],
    )
    with RuntimeTester() as tester:
        assert tester.test_inference_handler(spec).diagnoses == []


def test_what_takes_too_long_or_too_much_is_told(package: MakePackage, tmp_path: Path) -> None:
    """The times and sizes of a real result, made long and large: nobody waits a minute for them."""
    place = package({"code/inference.py": GOOD})
    fault = Fault(GOOD, (), "")
    result = outcome_of(place, fault)
    model = result.model_fn_result.model_copy(
        update={"execution_time": 61.0, "peak_memory_bytes": 3 << 30}
    )
    (end,) = result.end_to_end_results
    slow = result.model_copy(
        update={
            "model_fn_result": model,
            "end_to_end_results": [end.model_copy(update={"total_execution_time": 60.5})],
        }
    )
    spec = InferenceHandlerSpec(handler_name="slow", packaged_model_path=str(place))
    with RunDirectory(tmp_path) as run:
        found = diagnose(Case(slow, spec, look(spec, open_package(spec, run))))
    assert [seen.code for seen in found] == ["HP204", "HP701", "HP703"]
    assert "four workers of a server take 12.0 GiB" in found[2].message


def test_what_a_handler_does_to_its_package_is_not_looked_at(package: MakePackage) -> None:
    """A diagnosis that read the package again would wait for the pipe for ever."""
    code = GOOD + (
        "import os\nos.makedirs('code', exist_ok=True)\nos.mkfifo('code/requirements.txt')\n"
        "os.remove(__file__)\nimport not_there_1\n"
    )
    fault = Fault(code, (), "")
    result = outcome_of(package({"code/inference.py": code, "weights": ""}), fault)
    assert [seen.code for seen in result.diagnoses] == ["HP107", "HP201"]


def test_report_says_the_code_and_the_fix(
    package: MakePackage, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    from harness.reports import console

    result = outcome_of(package({"code/inference.py": ARRAYS}), FAULTS["one row"])
    Console(width=200).print(console.render(result))
    shown = capsys.readouterr().out
    assert "HP401 a single row becomes one-dimensional: input_fn gave a ndarray of shape" in shown
    assert "fix: Reshape in input_fn" in shown

"""A handler finds the modules, the directory and the names that it has on a server."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import FunctionTestResult, InferenceHandlerSpec, RuntimeTester
from tests.conftest import MakePackage

OUR_NAMES = (
    *("worker", "protocol", "harness", "calls", "codec", "profiles", "handler", "values", "wire"),
    *("failures", "streams", "supervisor", "records", "parameters", "toolkit", "usage", "libc"),
    *("json", "pickle", "traceback", "inspect", "linecache", "ast", "numpy", "cloudpickle"),
)

TELL = """
import json, os, sys

def told(value):
    return json.dumps(value)
"""


def call(
    package: MakePackage, files: dict[str, str | bytes], **fields: Any
) -> tuple[FunctionTestResult, Any]:
    """Run model_fn of a package; give its row and what it told as JSON."""
    spec = InferenceHandlerSpec(
        handler_name="names", packaged_model_path=str(package(files)), **fields
    )
    with RuntimeTester() as tester, tester.open_handler(spec) as handler:
        row = handler.model_fn()
    assert row.success, row.error_message
    assert row.log is not None, "it tells by print"
    return row, json.loads(row.log.head)


@pytest.mark.parametrize("name", OUR_NAMES)
def test_module_beside_the_entry_point_wins(name: str, package: MakePackage) -> None:
    _, told = call(
        package,
        {
            f"code/{name}.py": 'OWNER = "handler"\n',
            "code/inference.py": f"""
import {name}

def model_fn(model_dir):
    print('"' + {name}.OWNER + '"')
""",
        },
    )
    assert told == "handler"


def test_all_of_them_at_once_and_every_function_still_works(package: MakePackage) -> None:
    files = {f"code/{name}.py": f'OWNER = "{name}"\n' for name in OUR_NAMES}
    files["code/inference.py"] = (
        "".join(f"import {name}\n" for name in OUR_NAMES)
        + f"""
NAMES = {OUR_NAMES!r}

def model_fn(model_dir):
    return [globals()[name].OWNER for name in NAMES]

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    assert model == list(NAMES), model
    raise ValueError(data)

def output_fn(prediction, accept):
    return str(prediction)
"""
    )
    spec = InferenceHandlerSpec(handler_name="names", packaged_model_path=str(package(files)))
    with RuntimeTester() as tester, tester.open_handler(spec) as handler:
        assert handler.model_fn().success
        assert handler.input_fn("text", "text/csv").success
        raised = handler.predict_fn()
        assert (raised.outcome, raised.error_message) == ("raised", "ValueError: text")
        assert handler.output_fn([1]).success


def test_package_beside_the_entry_point_wins_too(package: MakePackage) -> None:
    _, told = call(
        package,
        {
            "code/worker/__init__.py": "",
            "code/worker/protocol.py": 'OWNER = "handler"\n',
            "code/inference.py": """
from worker import protocol

def model_fn(model_dir):
    print('"' + protocol.OWNER + '"')
""",
        },
    )
    assert told == "handler"


def test_main_module_is_empty_and_argv_is_nobodys(package: MakePackage) -> None:
    code = TELL + (
        """
def model_fn(model_dir):
    import __main__
    print(told([sorted(n for n in vars(__main__) if not n.startswith("__")), sys.argv]))
"""
    )
    _, told = call(package, {"code/inference.py": code})
    assert told == [[], ["handler"]]


def test_import_path_is_code_then_root_then_extra_entries(
    package: MakePackage, tmp_path: Path
) -> None:
    for name in ("extra", "by variable"):
        (tmp_path / name).mkdir()
    code = TELL + (
        """
def model_fn(model_dir):
    print(told([model_dir, sys.path[:4], os.environ["PYTHONPATH"], ""  in sys.path]))
"""
    )
    extra, variable = str(tmp_path / "extra"), str(tmp_path / "by variable")
    _, (model_dir, path, python_path, has_empty) = call(
        package,
        {"code/inference.py": code},
        sys_path=(extra,),
        environ_vars={"PYTHONPATH": variable},
    )
    assert path == [f"{model_dir}/code", model_dir, extra, variable]
    assert python_path == f"{model_dir}/code:{variable}"
    assert not has_empty


def test_nearer_directory_wins(package: MakePackage, tmp_path: Path) -> None:
    (tmp_path / "third.py").write_text('PLACE = "extra"\n')
    (tmp_path / "second.py").write_text('PLACE = "extra"\n')
    code = TELL + (
        """
import first, second, third

def model_fn(model_dir):
    print(told([first.PLACE, second.PLACE, third.PLACE]))
"""
    )
    files = {
        "code/inference.py": code,
        "code/first.py": 'PLACE = "code"\n',
        "first.py": 'PLACE = "root"\n',
        "second.py": 'PLACE = "root"\n',
    }
    _, told = call(package, files, sys_path=(str(tmp_path),))
    assert told == ["code", "root", "extra"]


def test_current_directory_is_model_dir(package: MakePackage) -> None:
    code = TELL + (
        """
with open("labels.txt") as file:  # at import already
    LABELS = file.read()

def model_fn(model_dir):
    print(told([os.getcwd() == os.path.realpath(model_dir), LABELS, open("labels.txt").read()]))
"""
    )
    _, told = call(package, {"code/inference.py": code, "labels.txt": "a b"})
    assert told == [True, "a b", "a b"]


def test_entry_module_goes_by_the_name_it_has_on_the_server(package: MakePackage) -> None:
    code = TELL + (
        """
def model_fn(model_dir):
    print(told([__name__, sys.modules[__name__].model_fn is model_fn, os.path.basename(__file__)]))
"""
    )
    _, told = call(package, {"code/inference.py": code})
    assert told == ["inference", True, "inference.py"]
    _, told = call(package, {"code/serve.py": code}, entry_point="serve.py")
    assert told == ["serve", True, "serve.py"]


def test_pickled_model_finds_its_class_in_the_module_inference(
    package: MakePackage, tmp_path: Path
) -> None:
    """A model that was pickled by the same file names its class inference.Scale."""
    code = """
import pickle

class Scale:
    def __init__(self, factor):
        self.factor = factor

def model_fn(model_dir):
    with open(model_dir + "/model.pkl", "rb") as file:
        model = pickle.load(file)
    assert type(model) is Scale
    print(model.factor)
    return model
"""
    (tmp_path / "inference.py").write_text(code)
    train = "import inference, pickle, sys; pickle.dump(inference.Scale(3), sys.stdout.buffer)"
    trained = subprocess.run(
        [sys.executable, "-c", train], cwd=tmp_path, stdout=subprocess.PIPE, check=True
    )
    assert b"inference" in trained.stdout
    assert pickle.PROTO in trained.stdout
    row, told = call(package, {"code/inference.py": code, "model.pkl": trained.stdout})
    assert (row.output_type, told) == ("Scale", 3)
    assert row.output_data is not None
    assert row.output_data.module == "inference"


def test_rest_of_the_path_is_that_of_the_interpreter(package: MakePackage) -> None:
    """Nothing of the tester's own path: this very process has the project's folder on it."""
    code = TELL + (
        """
def model_fn(model_dir):
    print(told([model_dir, sys.path]))
"""
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend("/added/by/the/tester")
        _, (model_dir, path) = call(package, {"code/inference.py": code})
    ask = [sys.executable, "-I", "-c", "import json, sys; print(json.dumps(sys.path))"]
    asked = subprocess.run(ask, stdout=subprocess.PIPE, check=True)
    assert path == [f"{model_dir}/code", model_dir, *json.loads(asked.stdout)]


def test_handlers_modules_are_not_compiled_into_the_package(package: MakePackage) -> None:
    """As on a server, whose model directory may be read-only."""
    code = TELL + (
        """
import helper

def model_fn(model_dir):
    print(told([root for root, _, _ in os.walk(model_dir) if "__pycache__" in root]))
"""
    )
    _, told = call(package, {"code/inference.py": code, "code/helper.py": ""})
    assert told == []

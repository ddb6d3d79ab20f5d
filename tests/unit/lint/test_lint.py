"""Every rule of lint finds its fault, and correct packages are silent."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import joblib
import numpy
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

from harness import InferenceHandlerSpec
from harness.cli import main
from harness.lint import package as linter
from harness.lint.finding import Finding
from harness.lint.pickles import globals_of
from tests.conftest import Files, MakePackage
from tests.handlers.good import packages

GOOD = """
def model_fn(model_dir): return {}
def input_fn(body, content_type): return body
def predict_fn(data, model): return data
def output_fn(prediction, accept): return prediction
"""


def pickled(module: str, name: str, protocol: int) -> bytes:
    """Give a pickle that refers to a name, as pickle itself writes one, without having it."""
    if protocol < 4:
        return b"\x80\x02c%s\n%s\n)R." % (module.encode(), name.encode())
    first, second = module.encode(), name.encode()
    return b"\x80\x04\x8c%c%s\x94\x8c%c%s\x94\x93)R." % (len(first), first, len(second), second)


def torch_archive(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", data)
        archive.writestr("model/data/0", b"\0" * 64)
    return file.getvalue()


def elf(machine: int) -> bytes:
    return b"\x7fELF\x02\x01\x01" + b"\0" * 9 + struct.pack("<HH", 3, machine) + b"\0" * 40


def lint(place: Path, **fields: Any) -> list[Finding]:
    return linter.lint(
        InferenceHandlerSpec(handler_name="lint", packaged_model_path=str(place), **fields)
    )


def with_code(code: str) -> Files:
    return {"code/inference.py": code}


AWS = "AKIA" + "ABCDEFGHIJKLMNOP"
FAULTS: dict[str, tuple[Files, str]] = {
    "pickle that runs a command": (
        {**with_code(GOOD), "model.pkl": pickled("posix", "system", 4)}, "HP801",
    ),
    "old pickle that runs a command": (
        {**with_code(GOOD), "model.pkl": pickled("os", "popen", 2)}, "HP801",
    ),
    "pickle that evaluates": (
        {**with_code(GOOD), "model.joblib": pickled("builtins", "eval", 4)}, "HP801",
    ),
    "torch archive that runs a command": (
        {**with_code(GOOD), "model.pt": torch_archive(pickled("subprocess", "Popen", 2))}, "HP801",
    ),
    "pickle of __main__": (
        {**with_code(GOOD), "model.pkl": pickled("__main__", "Model", 4)}, "HP202",
    ),
    "macOS library": (
        {**with_code(GOOD), "code/lib/a.so": b"\xcf\xfa\xed\xfe" + b"\0" * 60}, "HP803",
    ),
    "Windows library": ({**with_code(GOOD), "code/a.pyd": b"MZ" + b"\0" * 60}, "HP803"),
    "two processors": (
        {**with_code(GOOD), "code/a.so": elf(0x3E), "code/b.so": elf(0xB7)}, "HP804",
    ),
    "two Pythons": (
        {
            **with_code(GOOD),
            "code/a.cpython-310-x86_64-linux-gnu.so": elf(0x3E),
            "code/b.cpython-312-x86_64-linux-gnu.so": elf(0x3E),
        },
        "HP804",
    ),
    "repository": ({**with_code(GOOD), ".git/HEAD": "ref: refs/heads/main"}, "HP805"),
    "notebook's copies": ({**with_code(GOOD), "code/.ipynb_checkpoints/a.py": ""}, "HP805"),
    "resource forks": ({**with_code(GOOD), "code/._inference.py": b"\0\5"}, "HP104"),
    "key in code": (with_code(GOOD + f'KEY = "{AWS}"\n'), "HP806"),
    "private key": (
        {**with_code(GOOD), "key.txt": "-----BEGIN RSA " + "PRIVATE KEY-----"}, "HP806",
    ),
    "password in a URL": (with_code(GOOD + 'DB = "postgres://me:s3cret@db/x"\n'), "HP806"),
    "requirements at the root": ({**with_code(GOOD), "requirements.txt": "numpy"}, "HP105"),
    "root folder": ({"model/code/inference.py": GOOD, "model/weights": "1"}, "HP103"),
    "syntax error": (with_code("def model_fn(model_dir:\n"), "HP109"),
    "null byte": (with_code(GOOD + "\0"), "HP109"),
    "one parameter too few": (with_code(GOOD.replace("(data, model)", "(data)")), "HP301"),
    "two parameters too many": (
        with_code(GOOD.replace("(data, model)", "(data, model, a=1, b=2)")), "HP301",
    ),
    "any keyword": (with_code(GOOD.replace("(data, model)", "(data, model, **k)")), "HP301"),
    "keyword only": (
        with_code(GOOD.replace("(body, content_type)", "(body, *, content_type)")), "HP301",
    ),
    "threshold gets the context": (
        with_code(GOOD.replace("(data, model)", "(data, model, threshold=0.5)")), "HP304",
    ),
    "async": (with_code(GOOD.replace("def predict_fn", "async def predict_fn")), "HP303"),
    "generator": (with_code(GOOD.replace("model): return data", "model): yield data")), "HP303"),
    "the other way round": (
        with_code(GOOD.replace("predict_fn(data, model)", "predict_fn(model, data)")), "HP305",
    ),
    "called load_fn": (with_code(GOOD.replace("model_fn", "load_fn")), "HP302"),
    "called predict": (with_code(GOOD.replace("predict_fn", "predict")), "HP302"),
    "called preprocess": (with_code(GOOD.replace("input_fn", "preprocess")), "HP302"),
    "a typing mistake": (with_code(GOOD.replace("output_fn", "ouput_fn")), "HP302"),
    "transform_fn and predict_fn": (
        with_code(GOOD + "def transform_fn(model, body, content_type, accept): return body\n"),
        "HP306",
    ),
    "no model_fn": (with_code(GOOD.replace("model_fn", "get_it")), "HP205"),
}  # fmt: skip

CORRECT: dict[str, Files] = {
    "four functions": with_code(GOOD),
    "with context": with_code(GOOD.replace("(data, model)", "(data, model, context)")),
    "with an optional context": with_code(GOOD.replace("(model_dir)", "(model_dir, ctx=None)")),
    "any arguments": with_code(GOOD.replace("(data, model)", "(*args, **kwargs)")),
    "rest": with_code(GOOD.replace("(data, model)", "(data, *rest)")),
    "a lambda": with_code(
        GOOD.replace("def predict_fn(data, model): return data", "predict_fn = lambda d, m: d")
    ),
    "functions of a helper": {
        "code/inference.py": "from helper import *\n", "code/helper.py": GOOD,
    },
    "only model_fn": with_code("def model_fn(model_dir): return {}\n"),
    "decorated": with_code("import functools\n" + GOOD.replace(
        "def predict_fn", "@functools.cache\ndef predict_fn"
    )),
    "helpers of other names": with_code(GOOD + "def load_weights(path): return path\n"),
    "defined under a condition": with_code(
        "try:\n    import numpy\nexcept ImportError:\n    numpy = None\nif numpy is None:\n"
        "    def model_fn(model_dir): return {}\nelse:\n    def model_fn(model_dir): return []\n"
    ),
    "inner generator": with_code(
        GOOD.replace(
            "def predict_fn(data, model): return data",
            "def predict_fn(data, model):\n    def rows():\n        yield data\n"
            "    return list(rows())",
        )
    ),
    "transform_fn alone": with_code(
        "def model_fn(model_dir): return {}\n"
        "def transform_fn(model, body, content_type, accept): return body\n"
    ),
    "own classes pickled": {**with_code(GOOD), "model.pkl": pickled("inference", "Model", 4)},
    "requirements in code": {**with_code(GOOD), "code/requirements.txt": "numpy\n"},
    "a Linux library": {**with_code(GOOD), "code/a.so": elf(0x3E)},
    "a URL without a password": with_code(GOOD + 'DB = "postgres://db.example/x"\n'),
    "a user in a template": with_code(GOOD + 'DB = "postgres://{user}:{word}@db"\n'),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_found_and_nothing_else(package: MakePackage, name: str) -> None:
    files, code = FAULTS[name]
    found = lint(package(files))
    assert {finding.code for finding in found} == {code}, found
    assert all(AWS not in finding.message for finding in found)


@pytest.mark.parametrize("name", CORRECT)
def test_correct_package_is_silent(package: MakePackage, name: str) -> None:
    assert lint(package(CORRECT[name])) == []


@pytest.mark.parametrize("name", ["plain", "numpy", "sklearn"])
def test_good_handlers_are_silent(package: MakePackage, name: str) -> None:
    assert lint(package(packages.files(name))) == []


def test_counting_is_a_matter_of_the_stack(package: MakePackage) -> None:
    signature = "(data, model, a=1, b=2)"
    place = package(with_code(GOOD.replace("(data, model)", signature)))
    assert [finding.code for finding in lint(place, stack="toolkit")] == ["HP301"]


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3)])
def test_globals_of_a_real_model(tmp_path: Path, compress: Any) -> None:
    rows = numpy.random.default_rng(1).normal(size=(20, 3))
    model = LogisticRegression().fit(rows, rows[:, 0] > 0)
    joblib.dump(model, tmp_path / "model.joblib", compress=compress)
    found = globals_of(tmp_path / "model.joblib")
    assert ("sklearn.linear_model._logistic", "LogisticRegression") in found


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_globals_are_those_that_loading_looks_up(tmp_path: Path, protocol: int) -> None:
    value = [Path("a"), Path("b"), {"x": numpy.float64, "y": pickle.PicklingError}, Path]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
    looked_up: set[tuple[str, str]] = set()

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            looked_up.add((module, name))
            return super().find_class(module, name)

    Unpickler(io.BytesIO((tmp_path / "a.pkl").read_bytes())).load()

    def as_3(item: tuple[str, str]) -> tuple[str, str]:
        return (item[0].replace("__builtin__", "builtins").replace("copy_reg", "copyreg"), item[1])

    assert set(map(as_3, globals_of(tmp_path / "a.pkl"))) == set(map(as_3, looked_up))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 100, b"\x80\x04\x8c", b"PK\x03\x04"])
def test_what_is_no_pickle_has_no_globals(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.pkl").write_bytes(data)
    assert globals_of(tmp_path / "a.pkl") == []


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["lint", *arguments])
    return done.exit_code, done.output


def test_command(package: MakePackage) -> None:
    good, bad = package(with_code(GOOD)), package(FAULTS["pickle of __main__"][0])
    assert run(str(good)) == (0, "0 errors, 0 warnings and notes\n")
    code, text = run(str(bad))
    assert code == 1
    assert "HP202  model.pkl: it refers to __main__.Model" in text
    code, text = run(str(bad), "--format", "json")
    assert [finding["code"] for finding in json.loads(text)] == ["HP202"]
    code, text = run(str(package(FAULTS["async"][0])), "--format", "sarif")
    (result,) = json.loads(text)["runs"][0]["results"]
    assert result["ruleId"] == "HP303"
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 4}


def test_nothing_there() -> None:
    code, text = run("/nowhere/model.tar.gz")
    assert code == 1
    assert "HP101" in text

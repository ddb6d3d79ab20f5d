"""Every rule of lint finds its fault, and correct packages are silent."""

from __future__ import annotations

import io
import json
import pickle
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
from tests.conftest import MakePackage
from tests.handlers.good import packages
from tests.planted.package_faults import AWS, CORRECT, FAULTS, GOOD, with_code


def lint(place: Path, **fields: Any) -> list[Finding]:
    return linter.lint(
        InferenceHandlerSpec(handler_name="lint", packaged_model_path=str(place), **fields)
    )


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_found_and_nothing_else(package: MakePackage, name: str) -> None:
    fault = FAULTS[name]
    found = lint(package(fault.files))
    assert {finding.code for finding in found} == {fault.codes[0]}, found
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


def test_what_is_there_is_a_matter_of_the_stack(package: MakePackage) -> None:
    files = {**with_code("import xgboost, sklearn\n" + GOOD), "code/requirements.txt": "six\n"}
    place = package(files)
    assert lint(place, stack="xgboost") == []
    (found,) = lint(place, stack="sklearn")
    assert (found.code, found.place()) == ("HP107", "code/inference.py:1")
    assert "xgboost is imported" in found.message


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
    good, bad = package(with_code(GOOD)), package(FAULTS["pickle of __main__"].files)
    assert run(str(good)) == (0, "0 errors, 0 warnings and notes\n")
    code, text = run(str(bad))
    assert code == 1
    assert "HP202  model.pkl: it refers to __main__.Model" in text
    assert text.endswith("\n1 error, 0 warnings and notes\n")
    code, text = run(str(bad), "--format", "json")
    assert [finding["code"] for finding in json.loads(text)] == ["HP202"]
    code, text = run(str(package(FAULTS["async"].files)), "--format", "sarif")
    (result,) = json.loads(text)["runs"][0]["results"]
    assert result["ruleId"] == "HP303"
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 4}


@pytest.mark.parametrize("form", ["text", "json", "sarif"])
def test_what_cannot_be_opened_is_bad_input_as_for_run(tmp_path: Path, form: str) -> None:
    (tmp_path / "model.tar.gz").write_text("no archive")
    for place in ("/nowhere/model.tar.gz", str(tmp_path / "model.tar.gz")):
        done = CliRunner().invoke(main, ["lint", place, "--format", form])
        ran = CliRunner().invoke(main, ["run", place])
        assert (done.exit_code, done.output) == (ran.exit_code, ran.output)
        assert done.exit_code == 2
        assert place in done.stderr


def test_package_without_a_handler_is_a_finding(package: MakePackage) -> None:
    code, text = run(str(package({"weights.bin": "1"})))
    assert code == 1
    assert text.startswith("error    HP101  ")

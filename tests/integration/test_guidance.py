"""What is said of real exceptions of real code, in results and by the error handler."""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from sklearn.linear_model import LogisticRegression

from harness import (
    InferenceErrorHandler,
    InferenceHandlerSpec,
    InferenceTestSample,
    RuntimeTester,
)
from harness.diagnoses import TABLE
from tests.conftest import MakePackage
from tests.integration.test_diagnosis import outcome_of
from tests.planted.error_faults import FAULTS, JSON, MODEL_FILES, TO_A_MODEL
from tests.planted.fault import GOOD, planted, with_


@pytest.mark.parametrize("name", FAULTS)
def test_mistake_is_told_with_what_it_takes_to_mend_it(package: MakePackage, name: str) -> None:
    fault = FAULTS[name]
    result = outcome_of(package(fault.files), fault)
    assert [seen.code for seen in result.diagnoses] == sorted(fault.codes), result
    assert fault.words in " ".join(seen.message for seen in result.diagnoses)


def test_data_that_does_not_suit_a_model(package: MakePackage) -> None:
    samples = tuple(sample("application/json", body, body) for body in TO_A_MODEL)
    spec = InferenceHandlerSpec(
        handler_name="h",
        packaged_model_path=str(package(MODEL_FILES)),
        test_data_samples=samples,
        supported_accept_types=["application/json"],
    )
    with RuntimeTester() as tester:
        result = tester.test_inference_handler(spec)
    for body, (code, words) in TO_A_MODEL.items():
        seen = [item for item in result.diagnoses if item.sample_name == body]
        assert [item.code for item in seen] == ([code] if code else [])
        assert all(words in item.message for item in seen)


@pytest.mark.parametrize(
    ("name", "excerpt"),
    [
        ("no JSON", '{"invalid": json}\n            ^'),
        ("no number", "3,red\n  ^"),
    ],
)
def test_place_in_the_body_is_shown(
    package: MakePackage, capsys: pytest.CaptureFixture[str], name: str, excerpt: str
) -> None:
    from rich.console import Console

    from harness.reports import console

    fault = FAULTS[name]
    result = outcome_of(package(fault.files), fault)
    assert result.diagnoses[0].excerpt == excerpt
    Console(width=200).print(console.render(result))
    shown = capsys.readouterr().out
    assert all(line in shown for line in excerpt.split("\n"))


LOOKED_UP = {
    "os.environ['THRESHOLD_X']": "next: give the handler the variable THRESHOLD_X (--env THRESHOLD",
    "os.environ[f'THRESHOLD_{\"X\"}']": "next: give the handler the variable THRESHOLD_X (--env",
    "{'a': 1}['THRESHOLD_X']": "next: mend the handler at the line above",
    "{'a': 1}[os.environ['HOME'] and 'THRESHOLD_X']": "next: mend the handler at the line above",
    "os.environ['no name']": "next: mend the handler at the line above",
}


@pytest.mark.parametrize("expression", LOOKED_UP)
def test_variable_that_is_missing_is_the_next_step(
    package: MakePackage, capsys: pytest.CaptureFixture[str], expression: str
) -> None:
    from rich.console import Console

    from harness.reports import console

    code = f"import os\ndef model_fn(model_dir):\n    return {expression}\n"
    result = outcome_of(package({"code/inference.py": code}), planted(code, ()))
    assert result.model_fn_result.failure is not None
    Console(width=200).print(console.render(result))
    assert LOOKED_UP[expression] in capsys.readouterr().out


def test_memory_limit_is_told(package: MakePackage) -> None:
    code = with_("return 2.0", "return bytearray(400 << 20)")
    fault = planted(code, (), spec={"limits": {"memory_limit_mb": 200}})
    result = outcome_of(package({"code/inference.py": code}), fault)
    assert "HP705" in [seen.code for seen in result.diagnoses]


def test_what_a_sample_expects_is_no_mistake(package: MakePackage) -> None:
    sample = InferenceTestSample(
        sample_name="s",
        content_type="application/json",
        request_body='{"invalid": json}',
        should_succeed=False,
    )
    spec = InferenceHandlerSpec(
        handler_name="h",
        packaged_model_path=str(package({"code/inference.py": JSON})),
        test_data_samples=(sample,),
    )
    with RuntimeTester() as tester:
        result = tester.test_inference_handler(spec)
    assert result.overall_success
    assert result.diagnoses == []


def test_functions_that_only_a_run_shows_are_judged_too(package: MakePackage) -> None:
    code = "import functools\n" + GOOD + ("output_fn = functools.partial(lambda prediction: 'x')\n")
    result = outcome_of(package({"code/inference.py": code}), planted(code, ()))
    assert [seen.code for seen in result.diagnoses] == ["HP301"]
    assert "output_fn has 1 parameters" in result.diagnoses[0].message


# ---------------------------------------------------------------- secrets


def test_secrets_of_the_environment_are_in_no_result(tmp_path: Path) -> None:
    file = tmp_path / "handler" / "inference.py"
    file.parent.mkdir()
    file.write_text(
        "import os\nprint(os.environ['API_TOKEN'])\n"
        "def model_fn(d): return os.environ['DATABASE']\n"
        "def predict_fn(data, model):\n    raise ValueError(os.environ['API_TOKEN'] + model)\n"
    )
    variables = {
        "API_TOKEN": "tok-4711-secret",
        "DATABASE": "postgres://me:s3cr3t-word@db/x",
        "LOG_LEVEL": "verbose-logging",
    }
    spec = InferenceHandlerSpec(
        handler_name="h",
        handler_path=str(file),
        environ_vars=variables,
        test_data_samples=(
            InferenceTestSample(sample_name="s", content_type="text/csv", request_body="1"),
        ),
    )
    seen: list[str] = []
    with RuntimeTester() as tester:
        result = tester.test_inference_handler(
            spec, on_row=lambda row: seen.append(row.model_dump_json())
        )
    for told in (result.model_dump_json(), *seen):
        assert "tok-4711-secret" not in told
        assert "s3cr3t-word" not in told
    (row,) = result.predict_fn_results
    assert row.error_message == "ValueError: <API_TOKEN>postgres://me:<DATABASE>@db/x"
    assert result.model_fn_result.log is not None
    assert result.model_fn_result.log.head == "<API_TOKEN>\n"


# ---------------------------------------------------------------- InferenceErrorHandler


def caught(action: Callable[[], Any]) -> BaseException:
    """Give what real code raises."""
    with pytest.raises(Exception) as seen:  # noqa: PT011
        action()
    return seen.value


def sample(content_type: str | None, body: str | bytes, name: str = "s") -> InferenceTestSample:
    return InferenceTestSample(sample_name=name, content_type=content_type, request_body=body)


def wrapped(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except Exception as error:
        raise RuntimeError("it did not work") from error


def test_missing_model_file_is_told_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(b"x")
    error = caught(lambda: wrapped(lambda: (tmp_path / "model.jobib").read_bytes()))
    row = InferenceErrorHandler.handle_model_fn_error(error, str(tmp_path))
    assert (row.function_name, row.success, row.execution_time) == ("model_fn", False, 0)
    assert row.input_parameters == {"model_dir": str(tmp_path)}
    assert row.validation_details["error_type"] == "RuntimeError"
    assert row.validation_details["code"] == "HP207"
    assert str(row.validation_details["place"]).startswith(f"{__file__}:")
    assert row.error_message == (
        "Model directory or required files missing: it looks for model.jobib: did you mean "
        f"model.joblib?; {tmp_path} holds model.joblib: RuntimeError: it did not work"
    )


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: __import__("not_there_1"), "Missing dependencies: an imported package"),
        (lambda: pandas.read_excel(io.BytesIO(b"PK\x03\x04" + bytes(60)), engine="openpyxl"),
         "Missing dependencies: an import needs something more"),
        (lambda: numpy.empty(1 << 50), "Insufficient memory"),
        (lambda: pickle.loads(b""), "The model's file does not hold what its reader expects"),
        (lambda: 1 / 0, "Unknown model loading error: ZeroDivisionError: division by zero"),
    ],
)  # fmt: skip
def test_model_fn_errors_by_type(tmp_path: Path, action: Callable[[], Any], words: str) -> None:
    error = caught(action)
    row = InferenceErrorHandler.handle_model_fn_error(error, tmp_path)
    assert row.error_message is not None
    assert row.error_message.startswith(words)
    assert row.error_message.endswith(str(error))


def test_missing_module_is_told_with_the_requirements(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "requirements.txt").write_text("not-there-1==2.0\n")
    error = caught(lambda: __import__("not_there_1"))
    row = InferenceErrorHandler.handle_model_fn_error(error, tmp_path)
    assert row.validation_details["code"] == "HP106"
    assert "code/requirements.txt says 'not-there-1==2.0'" in (row.error_message or "")


BAD_JSON = '{"invalid": json}'
BAD_CSV = "a,b\n1,2\n1,2,3\n"


@pytest.mark.parametrize(
    ("content_type", "body", "action", "words", "code"),
    [
        ("application/json", BAD_JSON, lambda: json.loads(BAD_JSON),
         "Invalid JSON format in the request body: Expecting value (line 1, column 13)", "HP407"),
        ("application/json", "[]", lambda: json.loads("[]")["data"], "JSON processing error", None),
        ("application/json", '{"rows": 1}', lambda: json.loads('{"rows": 1}')["data"],
         "A column or key that the data does not have: input_fn looks for 'data'", "HP503"),
        ("text/csv", BAD_CSV, lambda: pandas.read_csv(io.StringIO(BAD_CSV)),
         "CSV parsing or format error: line 3 has 3 cells", "HP408"),
        ("text/csv", "1,2", lambda: list(csv.reader([b"1,2"])),  # type: ignore[arg-type]
         "CSV parsing or format error", None),
        ("application/x-parquet", b"PAR1", lambda: pandas.read_parquet(io.BytesIO(b"PAR1")),
         "Parquet file processing error", None),
        ("application/x-parquet", b"a,b", lambda: pandas.read_parquet(io.BytesIO(b"a,b")),
         "The Parquet or numpy body is no file of that kind: it begins with b'a,b'", "HP409"),
        ("application/xml", "<a/>", lambda: refuse("application/xml"),
         "Unsupported content type: input_fn refuses application/xml", "HP410"),
        ("application/xml", "<a/>", lambda: {}[0], "Unsupported content type: application/xml",
         None),
    ],
)  # fmt: skip
def test_input_fn_errors_by_type_and_content_type(
    content_type: str, body: str | bytes, action: Callable[[], Any], words: str, code: str | None
) -> None:
    error = caught(action)
    row = InferenceErrorHandler.handle_input_fn_error(error, sample(content_type, body))
    assert row.function_name == "input_fn"
    assert row.input_parameters == {"content_type": content_type, "sample_name": "s"}
    assert row.validation_details["error_type"] == type(error).__qualname__
    assert row.validation_details["content_type"] == content_type
    assert row.validation_details.get("code") == code
    assert row.error_message is not None
    assert row.error_message.startswith(words)
    assert row.error_message.endswith(str(error))
    if code is not None:
        assert row.validation_details["fix"] == TABLE[code].fix


def refuse(content_type: str) -> None:
    raise ValueError(f"cannot read {content_type}")


def test_excerpt_is_in_the_details() -> None:
    error = caught(lambda: json.loads(BAD_JSON))
    row = InferenceErrorHandler.handle_input_fn_error(error, sample("application/json", BAD_JSON))
    assert row.validation_details["excerpt"] == '{"invalid": json}\n            ^'


def test_predict_fn_and_output_fn_and_import_errors(tmp_path: Path) -> None:
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    given = sample("text/csv", "1")
    error = caught(lambda: model.predict([[float("nan")]]))
    row = InferenceErrorHandler.handle_predict_fn_error(error, given)
    assert (row.function_name, row.validation_details["code"]) == ("predict_fn", "HP504")
    error = caught(lambda: json.dumps(numpy.ones(2)))
    row = InferenceErrorHandler.handle_output_fn_error(error, given, "application/json")
    assert (row.function_name, row.validation_details["code"]) == ("output_fn", "HP611")
    assert row.input_parameters == {"accept": "application/json", "sample_name": "s"}
    row = InferenceErrorHandler.handle_output_fn_error(caught(lambda: {}["x"]), given, None)
    assert (row.error_message or "").startswith("Unknown error in the response: KeyError")
    file = tmp_path / "inference.py"
    file.write_text("def model_fn(:\n")
    error = caught(lambda: compile(file.read_text(), str(file), "exec"))
    row = InferenceErrorHandler.handle_import_error(error, file)
    assert (row.phase, row.validation_details["code"]) == ("import", "HP109")

"""Every diagnosis is made of a real handler that has the mistake, and of no correct one."""

from __future__ import annotations

from pathlib import Path

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
from tests.planted.fault import GOOD, Planted, planted, reading, with_
from tests.planted.run_faults import ARRAYS, FAULTS


def outcome_of(package: Path, fault: Planted) -> InferenceTestResult:
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
    result = outcome_of(package(fault.files), fault)
    assert [seen.code for seen in result.diagnoses] == sorted(fault.codes), result
    assert fault.words in result.diagnoses[0].message


@pytest.mark.parametrize("stack", ["toolkit", "pytorch"])
def test_correct_handler_has_none(package: MakePackage, stack: str) -> None:
    fault = planted(GOOD, (), spec={"stack": stack})
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
    fault = planted(GOOD, ())
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
    fault = planted(code, ())
    result = outcome_of(package({"code/inference.py": code, "weights": ""}), fault)
    assert [seen.code for seen in result.diagnoses] == ["HP107", "HP201"]


def test_other_text_that_is_no_json_is_not_the_body(package: MakePackage) -> None:
    code = reading("    return json.loads('[1,]')")
    result = outcome_of(package({"code/inference.py": code}), planted(code, ()))
    assert result.input_fn_results[0].outcome == "raised"
    assert result.diagnoses == []
    code = reading("    return json.loads(body)")
    result = outcome_of(package({"code/inference.py": code}), planted(code, ()))
    assert [seen.code for seen in result.diagnoses] == ["HP407"]


@pytest.mark.parametrize("answer", ["'1' * 5000", "'[' + '1' * 5000 + ']'"])
def test_number_with_more_digits_than_python_reads(package: MakePackage, answer: str) -> None:
    """It is JSON, and no error of ours."""
    code = with_("return json.dumps(prediction)", f"return {answer}")
    result = outcome_of(package({"code/inference.py": code}), planted(code, ()))
    assert result.overall_success
    assert result.diagnoses == []
    assert result.warnings == []


def test_fault_of_ours_costs_the_diagnoses_alone(
    package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(case: Case) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("harness.checks.handler_test.diagnose", fail)
    result = outcome_of(package({"code/inference.py": GOOD}), planted(GOOD, ()))
    assert result.overall_success
    assert any(
        "no diagnoses were made: ZeroDivisionError: ours" in text for text in result.warnings
    )


@pytest.mark.parametrize(
    ("content_type", "body", "stack", "code"),
    [
        ("application/x-www-form-urlencoded", "1,2", "toolkit", "HP405"),
        ("application/x-www-form-urlencoded", "a=1&body=1,x", "toolkit", None),
        ("application/x-www-form-urlencoded", "1,x", "sklearn", None),
        ("multipart/form-data", "1,x", "toolkit", None),
    ],
)
def test_form_without_a_body_is_told_where_there_is_none(
    package: MakePackage, content_type: str, body: str, stack: str, code: str | None
) -> None:
    fault = planted(GOOD, (), content_type=content_type, body=body, spec={"stack": stack})
    result = outcome_of(package(fault.files), fault)
    assert result.input_fn_results[0].outcome == "raised"
    found = {seen.code for seen in result.diagnoses}
    assert ("HP405" in found) is (code == "HP405")


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

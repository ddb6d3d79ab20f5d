"""CI suites: the seed's dictionary, and that it can be run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml

from harness import InferenceCIIntegration, InferenceHandlerSpec, SpecError
from tests.handlers import collection
from tests.unit import made_up

Suite = dict[str, Any]
REFUSED = {
    "sample_name": "bad",
    "content_type": "text/csv",
    "request_body": "no,numbers",
    "should_succeed": False,
    "error_message_pattern": "could not convert",
}


def spec(folder: Path, name: str, predict: str = "pass", **fields: Any) -> InferenceHandlerSpec:
    file = folder / f"{name}.py"
    file.write_text(collection.handler(predict))
    sample = {"sample_name": "rows", "content_type": "text/csv", "request_body": "1,2"}
    given = {
        "handler_name": name,
        "handler_path": str(file),
        "test_data_samples": [sample, REFUSED],
        "supported_accept_types": ["application/json"],
    }
    return InferenceHandlerSpec.model_validate(given | fields)


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    specs = [spec(tmp_path, "churn"), spec(tmp_path, "slow", "time.sleep(0.3)")]
    return InferenceCIIntegration.create_ci_test_suite(specs)


def run(suite: Suite, **options: Any) -> Any:
    """Run a suite as it is after a journey through a file."""
    return InferenceCIIntegration.run_ci_suite(json.loads(json.dumps(suite)), **options)


def test_suite_is_the_dictionary_that_was_asked_for(suite: Suite) -> None:
    assert suite["test_configuration"] == {
        "timeout_seconds": 300,
        "parallel_execution": True,
        "fail_fast": False,
        "generate_reports": True,
    }
    assert suite["performance_benchmarks"] == {
        "max_model_loading_time": 30.0,
        "max_prediction_time": 2.0,
        "max_memory_usage_mb": 1000,
    }
    case = {key: value for key, value in suite["test_cases"][0].items() if key != "spec"}
    assert case == {
        "handler_name": "churn",
        "test_functions": ["model_fn", "input_fn", "predict_fn", "output_fn"],
        "test_integration": True,
        "test_error_scenarios": True,
        "performance_validation": True,
    }


def test_suite_is_executable_and_holds_its_benchmarks(suite: Suite, tmp_path: Path) -> None:
    suite["performance_benchmarks"]["max_prediction_time"] = 0.1
    batch = run(suite, report_dir=tmp_path / "reports")
    churn, slow = batch.entries
    assert churn.success, (churn.result.errors, churn.findings)
    assert slow.result.overall_success
    assert [item.measure for item in slow.findings if not item.holds] == ["prediction_s"]
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == [
        "batch.json",
        "junit.xml",
        "summary.md",
    ]
    assert len(list(JUnitXml.fromfile(str(tmp_path / "reports" / "junit.xml")))) == 2


def no_reports(suite: Suite) -> None:
    suite["test_configuration"]["generate_reports"] = False


def one_at_a_time(suite: Suite) -> None:
    suite["test_configuration"]["parallel_execution"] = False


def no_performance(suite: Suite) -> None:
    suite["performance_benchmarks"]["max_prediction_time"] = 1e-9
    for case in suite["test_cases"]:
        case["performance_validation"] = False


def no_errors(suite: Suite) -> None:
    for case in suite["test_cases"]:
        case["test_error_scenarios"] = False


def two_functions(suite: Suite) -> None:
    for case in suite["test_cases"]:
        case["test_functions"] = ["model_fn", "input_fn"]
        case["test_integration"] = False


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        (no_reports, lambda batch, folder: not (folder / "reports").exists()),
        (one_at_a_time, lambda batch, folder: batch.jobs == 1),
        (no_performance, lambda batch, folder: not batch.entries[0].findings),
        (no_errors, lambda batch, folder: len(batch.entries[0].result.input_fn_results) == 1),
        (
            two_functions,
            lambda batch, folder: (
                {
                    row.skip_reason is None
                    for row in batch.entries[0].result.predict_fn_results
                    + batch.entries[0].result.end_to_end_results
                }
                == {False}
            ),
        ),
    ],
)
def test_every_switch_of_a_suite_does_what_it_says(
    suite: Suite,
    tmp_path: Path,
    change: Callable[[Suite], None],
    holds: Callable[[Any, Path], bool],
) -> None:
    del suite["test_cases"][1]
    change(suite)
    batch = run(suite, report_dir=tmp_path / "reports")
    assert batch.success, batch.entries[0].result.errors
    assert holds(batch, tmp_path)


def test_fail_fast_timeout_and_memory_of_a_suite(tmp_path: Path) -> None:
    specs = [
        spec(tmp_path, "hang", "time.sleep(600)"),
        spec(tmp_path, "hoard", "x = bytearray(3 * 2**30); time.sleep(600)"),
        spec(tmp_path, "good"),
    ]
    suite = InferenceCIIntegration.create_ci_test_suite(specs)
    suite["test_configuration"] |= {"timeout_seconds": 20, "parallel_execution": False}
    suite["test_cases"][0]["spec"]["limits"] = {"timeout_seconds": 1}
    whole = run(suite)
    outcomes = [entry.result.predict_fn_results[0].outcome for entry in whole.entries]
    assert outcomes == ["timed_out", "memory_exceeded", "passed"]
    suite["test_configuration"]["fail_fast"] = True
    assert [item.handler_name for item in run(suite).not_run] == ["hoard", "good"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda suite: suite.update(test_case=[]), "did you mean 'test_cases'"),
        (lambda suite: suite["test_configuration"].update(timeout=3), "unknown name 'timeout'"),
        (lambda suite: suite["test_cases"][0].pop("spec"), "test_cases.0.spec: is required"),
        (
            lambda suite: suite["test_cases"][0].update(handler_name="x"),
            "the case 'x' has the spec of 'churn'",
        ),
        (
            lambda suite: suite["test_cases"].append(suite["test_cases"][0]),
            "two handlers are named 'churn'",
        ),
    ],
)
def test_suite_that_makes_no_sense_is_a_clear_error(
    suite: Suite, change: Callable[[Suite], None], message: str
) -> None:
    change(suite)
    with pytest.raises(SpecError, match=message):
        run(suite)


def test_report_of_results() -> None:
    results = [
        made_up.result("a", total_execution_time=1.0),
        made_up.result("b", "raised", total_execution_time=3.0),
    ]
    report = InferenceCIIntegration.generate_test_report(results)
    assert report["summary"] == {
        "total_handlers": 2,
        "passed": 1,
        "failed": 1,
        "success_rate": 0.5,
    }
    assert report["performance_metrics"] == {
        "avg_execution_time": 2.0,
        "max_execution_time": 3.0,
        "min_execution_time": 1.0,
    }
    assert report["detailed_results"][1] == {
        "handler_name": "b",
        "success": False,
        "execution_time": 3.0,
        "function_results": {"model_fn": True, "input_fn": 1, "predict_fn": 0, "output_fn": 0},
        "errors": ["predict_fn[rows]: predict_fn raised"],
    }
    json.dumps(report)


def test_report_of_nothing_is_safe() -> None:
    report = InferenceCIIntegration.generate_test_report([])
    assert report["summary"]["success_rate"] == 0
    assert set(report["performance_metrics"].values()) == {0.0}
    assert report["detailed_results"] == []

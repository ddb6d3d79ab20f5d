"""The pytest plugin: handlers' files as tests, and the two fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.handlers import collection

ROOT = Path(__file__).parents[2]
ALL = [
    "model_fn",
    "input_fn[rows]",
    "predict_fn[rows]",
    "output_fn[rows->application/json]",
    "end_to_end[rows-text/csv->application/json]",
    "handler",
]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Make a project of two handlers, one of which fails; each counts its runs."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", os.environ["TMPDIR"])
    runs = pytester.path / "runs"
    counted = f"open({str(runs)!r}, 'a').write('x')"
    handlers = collection.write(
        pytester.path,
        {"churn": f"print('seen'); {counted}", "fraud": "raise KeyError('no column age')"},
    )
    for name in ("churn", "fraud"):
        (handlers / name / f"{name}.handler.toml").write_text("isolation = 'process'\n")
    return pytester


def test_tests_have_names_and_one_run_serves_them(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("handlers/churn", "-v")
    result.assert_outcomes(passed=6)
    for name in ALL:
        result.stdout.fnmatch_lines_random([f"*churn.handler.toml::{name.replace('[', '[[]')} *"])
    assert (project.path / "runs").read_text() == "x"


def test_failure_shows_our_text_and_the_remote_traceback(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("handlers/fraud")
    result.assert_outcomes(passed=2, failed=3, skipped=1)
    text = result.stdout.str()
    assert "KeyError: 'no column age'" in text
    assert "inference.py" in text
    assert "raise KeyError('no column age')" in text
    assert "pytest_plugin.py" not in text, "no traceback of ours"


def test_selection_and_last_failed(project: pytest.Pytester) -> None:
    project.runpytest_inprocess("handlers", "-k", "predict_fn").assert_outcomes(passed=1, failed=1)
    project.runpytest_inprocess("handlers", "--lf").assert_outcomes(failed=1)


def test_one_worker_a_file_with_xdist(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("handlers", "-n", "2", "--dist", "loadfile")
    result.assert_outcomes(passed=8, failed=3, skipped=1)
    assert (project.path / "runs").read_text() == "x"


def test_log_of_the_handler_is_shown_with_its_failure(project: pytest.Pytester) -> None:
    code = project.path / "handlers" / "fraud" / "code" / "inference.py"
    code.write_text(collection.handler("print('\\x1b[31mlast words'); 1/0"))
    result = project.runpytest_inprocess("handlers/fraud", "-k", "predict_fn")
    result.stdout.fnmatch_lines(["*handler's log*", "*\\x1b[[]31mlast words*"])


def test_file_that_makes_no_sense_is_an_error_of_collection(project: pytest.Pytester) -> None:
    file = project.path / "handlers" / "churn" / "churn.handler.toml"
    file.write_text("timeout_second = 3\n")
    result = project.runpytest_inprocess("handlers")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*did you mean 'timeout_seconds'*"])


def test_fixtures(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_own="""
        import pytest

        @pytest.mark.handler("handlers/churn")
        def test_package(handler):
            handler.model_fn()
            handler.input_fn("1,2", "text/csv")
            assert handler.predict_fn().output_data.length == 2

        @pytest.mark.handler("handlers/fraud/fraud.handler.toml")
        def test_file(handler):
            handler.model_fn()
            handler.input_fn("1,2", "text/csv")
            assert handler.predict_fn().failure.type == "KeyError"

        def test_tester(runtime_tester):
            called = runtime_tester.test_inference_function(
                "handlers/churn", "model_fn", {"model_dir": "handlers"})
            assert called["success"], called

        def test_without_a_mark(handler):
            pass

        @pytest.mark.handler("handlers/chrun")
        def test_misspelt(handler):
            pass

        @pytest.mark.handler("handlers/chrun.handler.toml")
        def test_misspelt_file(handler):
            pass
        """
    )
    code = project.path / "handlers" / "churn" / "code" / "inference.py"
    code.write_text(collection.handler())
    result = project.runpytest_inprocess("test_own.py", "--strict-markers")
    result.assert_outcomes(passed=3, errors=3)
    result.stdout.fnmatch_lines(["*say which handler: @pytest.mark.handler('path')*"])
    result.stdout.fnmatch_lines(["*/handlers/chrun: cannot be opened: No such file*"])
    result.stdout.fnmatch_lines(
        ["*there is no file or directory at */handlers/chrun.handler.toml*"]
    )
    assert "tester.py" not in result.stdout.str(), "no traceback of ours"

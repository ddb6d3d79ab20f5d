from __future__ import annotations

import inspect
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from harness import results, summaries
from harness.errors import SpecError
from harness.records import Outcome, not_asked
from harness.results import (
    FUNCTION_NAMES,
    CompatibilityTestResult,
    EndToEndTestResult,
    FunctionTestResult,
    InferenceTestResult,
)
from harness.summaries import (
    CauseSummary,
    EnvironmentSummary,
    FailureSummary,
    FrameSummary,
    IsolationSummary,
    LogExcerpt,
    MemoryWatch,
    MissingLayer,
    ResponseSummary,
    SignalSummary,
    ValueSummary,
)


def row(function_name: str = "predict_fn", **fields: Any) -> FunctionTestResult:
    given: dict[str, Any] = {"function_name": function_name, "execution_time": 0.5}
    if "success" not in fields:
        given["outcome"] = Outcome.passed
    return FunctionTestResult(**(given | fields))


def end_to_end(**fields: Any) -> EndToEndTestResult:
    given: dict[str, Any] = {
        "outcome": Outcome.passed,
        "sample_name": "s",
        "content_type": "text/csv",
        "accept_type": None,
        "total_execution_time": 2.0,
        "model_loading_time": 0.5,
        "input_processing_time": 0.5,
        "prediction_time": 0.5,
        "output_formatting_time": 0.5,
        "response": ResponseSummary(status=200),
    }
    return EndToEndTestResult(**(given | fields))


def result(**fields: Any) -> InferenceTestResult:
    given: dict[str, Any] = {
        "handler_name": "h",
        "step_name": "h",
        "overall_success": True,
        "total_execution_time": 1.0,
        "model_fn_result": row("model_fn"),
        "input_fn_results": [],
        "predict_fn_results": [],
        "output_fn_results": [],
        "end_to_end_results": [],
        "compatibility_results": [],
    }
    return InferenceTestResult(**(given | fields))


def records() -> list[type[BaseModel]]:
    return [
        kind
        for module in (summaries, results)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, BaseModel) and kind.__module__ == module.__name__
    ]


# ---------------------------------------------------------------- the shape


def test_outcomes_are_the_decided_vocabulary() -> None:
    words = (
        "passed failed raised timed_out memory_exceeded output_exceeded processes_exceeded "
        "disk_exceeded crashed exited protocol_violated not_started skipped"
    )
    assert [outcome.value for outcome in Outcome] == words.split()
    assert [outcome.name for outcome in Outcome] == words.split()


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        # Acceptance 60-67.
        (
            FunctionTestResult,
            "function_name execution_time input_parameters output_data output_type error_message "
            "validation_details",
        ),
        # Acceptance 68-81.
        (
            EndToEndTestResult,
            "sample_name content_type accept_type total_execution_time model_loading_time "
            "input_processing_time prediction_time output_formatting_time input_data_size "
            "processed_input_type prediction_shape output_data_size error_message",
        ),
        # Acceptance 82.
        (
            CompatibilityTestResult,
            "script_name handler_name compatible content_type_used compatibility_issues "
            "test_execution_time",
        ),
        # Acceptance 48-58.
        (
            InferenceTestResult,
            "handler_name overall_success total_execution_time model_fn_result input_fn_results "
            "predict_fn_results output_fn_results end_to_end_results compatibility_results errors "
            "warnings",
        ),
    ],
)
def test_the_fields_of_the_design_are_there(kind: type[BaseModel], names: str) -> None:
    assert set(names.split()) <= set(kind.model_fields)


def test_every_field_of_every_record_is_described() -> None:
    undescribed = [
        f"{kind.__name__}.{name}"
        for kind in records()
        for name, field in kind.model_fields.items()
        if not field.description
    ]
    assert len(records()) > 15
    assert undescribed == []


@pytest.mark.parametrize("kind", records(), ids=lambda kind: kind.__name__)
def test_a_record_is_frozen_and_knows_its_fields(kind: type[BaseModel]) -> None:
    assert kind.model_config["frozen"]
    assert kind.model_config["extra"] == "forbid"


def test_optional_fields_are_empty_by_default() -> None:
    """Acceptance 57, 58, 63-67, 77-81."""
    made = row()
    assert (made.input_parameters, made.validation_details) == ({}, {})
    assert (made.output_data, made.output_type, made.error_message) == (None, None, None)
    assert made.phase == "call"
    assert (result().errors, result().warnings) == ([], [])
    whole = end_to_end()
    assert (whole.input_data_size, whole.processed_input_type, whole.error_message) == (None,) * 3
    assert (whole.prediction_shape, whole.output_data_size) == (None, None)


def test_function_name_is_one_of_four() -> None:
    """Acceptance 60."""
    assert [row(name).function_name for name in FUNCTION_NAMES] == [
        "model_fn",
        "input_fn",
        "predict_fn",
        "output_fn",
    ]
    assert row("transform_fn").function_name == "transform_fn"
    with pytest.raises(ValidationError):
        row("pre_model_fn")


def test_a_response_is_never_null() -> None:
    with pytest.raises(ValidationError):
        end_to_end(response=None)


# ---------------------------------------------------------------- success and outcome


@pytest.mark.parametrize("outcome", list(Outcome))
def test_success_follows_from_the_outcome_and_is_dumped(outcome: Outcome) -> None:
    """Acceptance 61, 71."""
    why = "model_fn raised" if outcome is Outcome.skipped else None
    for made in (
        row(outcome=outcome, skip_reason=why),
        end_to_end(outcome=outcome, skip_reason=why),
    ):
        assert made.success is (outcome is Outcome.passed)
        assert made.model_dump()["success"] is made.success
        assert json.loads(made.model_dump_json())["success"] is made.success
        assert json.loads(made.model_dump_json())["outcome"] == outcome.value


def test_success_alone_gives_the_outcome() -> None:
    assert row(success=True).outcome is Outcome.passed
    assert row(success=False).outcome is Outcome.failed


@pytest.mark.parametrize(
    ("success", "outcome"),
    [(True, "raised"), (False, "passed"), (True, Outcome.skipped), (False, Outcome.passed)],
)
def test_success_that_contradicts_the_outcome_is_refused(success: bool, outcome: str) -> None:
    with pytest.raises(ValidationError, match="contradicts"):
        row(success=success, outcome=outcome, skip_reason="x" if outcome == "skipped" else None)


def test_success_must_be_a_boolean() -> None:
    with pytest.raises(ValidationError, match="must be true or false"):
        row(success="yes")


def test_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(ValidationError, match="outcome"):
        row(outcome="fine")


@pytest.mark.parametrize(
    ("outcome", "reason"), [("skipped", None), ("skipped", ""), ("passed", "x")]
)
def test_a_reason_goes_with_a_skipped_row_and_no_other(outcome: str, reason: str | None) -> None:
    with pytest.raises(ValidationError, match="skip_reason"):
        row(outcome=outcome, skip_reason=reason)


# ---------------------------------------------------------------- numbers and text that JSON lacks


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0, 1e300])
def test_a_time_is_finite_and_not_negative(seconds: float) -> None:
    with pytest.raises(ValidationError, match="execution_time"):
        row(execution_time=seconds)


def test_a_number_that_json_lacks_becomes_text() -> None:
    """Acceptance 265."""
    made = row(input_parameters={"x": [math.nan, (math.inf, 1.5)], "y": {"z": -math.inf}})
    assert made.input_parameters == {"x": ["nan", ["inf", 1.5]], "y": {"z": "-inf"}}
    assert FunctionTestResult.model_validate_json(made.model_dump_json()) == made


def test_a_name_that_is_not_unicode_is_escaped() -> None:
    made = row(sample_name="caf\udce9", input_parameters={"\udce9": "\ud800"})
    assert made.sample_name == "caf\\udce9"
    assert made.input_parameters == {"\\udce9": "\\ud800"}
    assert FunctionTestResult.model_validate_json(made.model_dump_json()) == made


def test_a_live_object_is_refused() -> None:
    """Acceptance 265."""
    with pytest.raises(ValidationError, match="input_parameters"):
        row(input_parameters={"model": object()})


# ---------------------------------------------------------------- summaries

OFF = not_asked("validate_prediction is off")


def test_rows_are_gone_through_in_the_order_of_the_functions() -> None:
    made = result(
        output_fn_results=[row("output_fn")],
        input_fn_results=[row("input_fn"), row("input_fn")],
        predict_fn_results=[row("predict_fn")],
    )
    assert [each.function_name for each in made.function_results()] == [
        "model_fn",
        "input_fn",
        "input_fn",
        "predict_fn",
        "output_fn",
    ]


def test_rates_count_what_was_asked_for() -> None:
    """Acceptance 59, 162."""
    made = result(
        input_fn_results=[
            row("input_fn"),
            row("input_fn", outcome="raised"),
            row("input_fn", outcome="skipped", skip_reason="model_fn raised"),
        ],
        predict_fn_results=[row(outcome="skipped", skip_reason=OFF), row()],
        end_to_end_results=[end_to_end(), end_to_end(outcome="timed_out")],
    )
    assert made.success_rates() == {
        "model_fn": {"passed": 1, "total": 1},
        "input_fn": {"passed": 1, "total": 3},
        "predict_fn": {"passed": 1, "total": 1},
        "output_fn": {"passed": 0, "total": 0},
        "end_to_end": {"passed": 1, "total": 2},
    }


def test_a_row_says_whether_it_was_asked_for() -> None:
    assert row().asked
    assert row(outcome="skipped", skip_reason="model_fn raised").asked
    assert not row(outcome="skipped", skip_reason=OFF).asked
    assert row(outcome="skipped", skip_reason=f"input_fn raised Error: {OFF}").asked
    assert OFF == "not asked: validate_prediction is off"


def test_performance_leaves_skipped_rows_out() -> None:
    """Acceptance 59, 209."""
    made = result(
        predict_fn_results=[
            row(execution_time=1.0, peak_memory_bytes=10),
            row(execution_time=3.0, peak_memory_bytes=30, outcome="failed"),
            row(execution_time=0.0, outcome="skipped", skip_reason="input_fn raised"),
        ],
        end_to_end_results=[end_to_end(total_execution_time=7.0)],
    )
    summary = made.performance_summary()
    assert summary["predict_fn"] == {
        "count": 2,
        "total_s": 4.0,
        "mean_s": 2.0,
        "min_s": 1.0,
        "max_s": 3.0,
        "peak_memory_bytes": 30,
    }
    assert summary["end_to_end"]["total_s"] == 7.0
    assert summary["end_to_end"]["peak_memory_bytes"] is None


def test_performance_of_nothing_is_none_and_not_an_error() -> None:
    """Acceptance 269."""
    made = result(model_fn_result=row("model_fn", outcome="skipped", skip_reason="interrupted"))
    nothing = {
        "count": 0,
        "total_s": 0.0,
        "mean_s": None,
        "min_s": None,
        "max_s": None,
        "peak_memory_bytes": None,
    }
    assert list(made.performance_summary()) == [*FUNCTION_NAMES, "end_to_end"]
    assert all(value == nothing for value in made.performance_summary().values())


def test_errors_are_counted_once_each() -> None:
    """Acceptance 59."""
    made = result(
        predict_fn_results=[
            row(outcome="raised", error_message="bad"),
            row(outcome="raised", error_message="bad"),
            row(outcome="crashed"),
            row(outcome="skipped", skip_reason=OFF),
        ],
        end_to_end_results=[
            end_to_end(outcome="raised", failed_function="predict_fn"),
            end_to_end(outcome="failed", error_message="status 406"),
        ],
    )
    assert made.error_summary() == {
        "total": 4,
        "by_outcome": {"raised": 2, "crashed": 1, "failed": 1},
        "by_function": {"predict_fn": 3, "end_to_end": 1},
        "messages": ["predict_fn: bad", "predict_fn: crashed", "end_to_end: status 406"],
    }


def test_a_result_without_errors_has_an_empty_summary() -> None:
    assert result().error_summary() == {
        "total": 0,
        "by_outcome": {},
        "by_function": {},
        "messages": [],
    }


# ---------------------------------------------------------------- files and round trips


def test_a_saved_result_is_loaded_unchanged(tmp_path: Path) -> None:
    """Acceptance 59."""
    made = result(end_to_end_results=[end_to_end()], errors=["é"])
    made.save(tmp_path / "result.json")
    assert InferenceTestResult.load(tmp_path / "result.json") == made


def test_a_result_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"Cannot read the result .*no\.json: No such file"):
        InferenceTestResult.load(tmp_path / "no.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"handler_name": "h"}'])
def test_a_file_that_is_not_a_result_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=r"result\.json is not a saved result: .* \(at ") as caught:
        InferenceTestResult.load(path)
    assert "\n" not in str(caught.value)


def test_a_result_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result().model_dump(mode="json") | {"colour": "red"}))
    with pytest.raises(SpecError, match=r"at colour"):
        InferenceTestResult.load(path)


any_text = st.text(max_size=20)  # lone surrogates and control characters included
counts = st.integers(min_value=0, max_value=2**70)
seconds = st.floats(min_value=0, max_value=1e12, exclude_max=True)
json_objects = st.dictionaries(
    any_text,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | any_text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


values = st.builds(
    ValueSummary,
    type=any_text,
    module=any_text,
    shape=optional(st.lists(counts, max_size=3)),
    dtype=optional(any_text),
    columns=optional(st.lists(any_text, max_size=3)),
    length=optional(counts),
    size_bytes=optional(counts),
    preview=optional(any_text),
)
frames = st.builds(
    FrameSummary,
    file=any_text,
    line=counts,
    function=any_text,
    code=optional(any_text),
    in_handler=st.booleans(),
)
causes = st.builds(
    CauseSummary, relation=st.sampled_from(["cause", "context"]), type=any_text, message=any_text
)
failures = st.builds(
    FailureSummary,
    type=any_text,
    module=any_text,
    message=any_text,
    traceback=any_text,
    frames=st.lists(frames, max_size=2),
    causes=st.lists(causes, max_size=2),
)
logs = st.builds(LogExcerpt, head=any_text, tail=any_text, total_bytes=counts, dropped_bytes=counts)
responses = st.builds(
    ResponseSummary,
    status=optional(st.integers()),
    content_type=optional(any_text),
    body=optional(any_text),
    body_encoding=st.sampled_from([None, "utf-8", "base64"]),
    reason=optional(any_text),
)
verdicts = st.sampled_from(list(Outcome)).map(
    lambda outcome: {
        "outcome": outcome,
        "skip_reason": "not reached" if outcome is Outcome.skipped else None,
    }
)


def judged(kind: type[BaseModel], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda verdict, rest: kind(**verdict, **rest), verdicts, st.fixed_dictionaries(fields)
    )


def rows(name: str) -> st.SearchStrategy[Any]:
    return judged(
        FunctionTestResult,
        function_name=st.just(name),
        execution_time=seconds,
        input_parameters=json_objects,
        output_data=optional(values),
        output_type=optional(any_text),
        error_message=optional(any_text),
        validation_details=json_objects,
        sample_name=optional(any_text),
        content_type=optional(any_text),
        accept_type=optional(any_text),
        phase=st.sampled_from(["start", "import", "call"]),
        failure=optional(failures),
        peak_memory_bytes=optional(counts),
        peak_memory_source=optional(any_text),
        exit_code=optional(st.integers()),
        signal=optional(st.builds(SignalSummary, number=counts, name=any_text)),
        log=optional(logs),
    )


wholes = judged(
    EndToEndTestResult,
    sample_name=any_text,
    content_type=optional(any_text),
    accept_type=optional(any_text),
    total_execution_time=seconds,
    model_loading_time=seconds,
    input_processing_time=seconds,
    prediction_time=seconds,
    output_formatting_time=seconds,
    input_data_size=optional(counts),
    processed_input_type=optional(any_text),
    prediction_shape=optional(st.lists(counts, max_size=3)),
    output_data_size=optional(counts),
    error_message=optional(any_text),
    failed_function=optional(any_text),
    response=responses,
    peak_memory_bytes=optional(counts),
)
compatibilities = st.builds(
    CompatibilityTestResult,
    script_name=optional(any_text),
    handler_name=any_text,
    source=any_text,
    destination=any_text,
    compatible=st.booleans(),
    content_type_used=optional(any_text),
    source_type=optional(any_text),
    sample_name=optional(any_text),
    compatibility_issues=st.lists(any_text, max_size=2),
    test_execution_time=seconds,
)
isolations = st.builds(
    IsolationSummary,
    requested=any_text,
    effective=st.lists(any_text, max_size=2),
    missing=st.lists(st.builds(MissingLayer, layer=any_text, reason=any_text), max_size=2),
    memory=st.builds(
        MemoryWatch, enforcer=any_text, metric=any_text, interval_ms=optional(seconds)
    ),
    network=any_text,
    filesystem=any_text,
    kill=any_text,
)
environments = st.builds(
    EnvironmentSummary, kind=any_text, python_version=any_text, executable=any_text
)
whole_results = st.builds(
    InferenceTestResult,
    handler_name=any_text,
    step_name=any_text,
    overall_success=st.booleans(),
    total_execution_time=seconds,
    model_fn_result=rows("model_fn"),
    input_fn_results=st.lists(rows("input_fn"), max_size=1),
    predict_fn_results=st.lists(rows("predict_fn"), max_size=1),
    output_fn_results=st.lists(rows("output_fn"), max_size=1),
    end_to_end_results=st.lists(wholes, max_size=2),
    compatibility_results=st.lists(compatibilities, max_size=1),
    errors=st.lists(any_text, max_size=2),
    warnings=st.lists(any_text, max_size=2),
    isolation=optional(isolations),
    environment=optional(environments),
)


def without_json_constants(text: str) -> Any:
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@given(whole_results)
def test_every_result_survives_json_exactly(made: InferenceTestResult) -> None:
    """Acceptance 59, 224, 265."""
    text = made.model_dump_json()
    without_json_constants(text)
    back = InferenceTestResult.model_validate_json(text)
    assert back == made
    assert back.model_dump_json() == text
    assert InferenceTestResult.model_validate(made.model_dump()) == made


@given(whole_results)
def test_every_result_has_summaries_that_are_json(made: InferenceTestResult) -> None:
    """Acceptance 59, 269."""
    summaries = [made.success_rates(), made.performance_summary(), made.error_summary()]
    without_json_constants(json.dumps(summaries))
    for rate in made.success_rates().values():
        assert 0 <= rate["passed"] <= rate["total"]

"""The design's error handler: what an exception of a handler's function means, and what to do.

The words are those of the diagnoses, which look at the exception's class, the chain behind it, the
function that raised it and the request's body; where they know nothing, the function and the
content type say where it happened.
"""

from __future__ import annotations

import os
import sysconfig
import traceback
from pathlib import Path
from typing import Any

from harness.checks.diagnosis import diagnose
from harness.checks.diagnosis.case import Case, Look, essence
from harness.checks.diagnosis.package_faults import look_at
from harness.diagnoses import TABLE
from harness.records import Outcome
from harness.results import FunctionTestResult, InferenceTestResult
from harness.specs import InferenceHandlerSpec, InferenceTestSample
from harness.summaries import CauseSummary, Diagnosis, FailureSummary, FrameSummary

MAX_CAUSES = 10
# What is told of every load that fails, and says nothing of this one.
_GENERAL = ("HP201",)
_OTHERWISE = {
    "model_fn": "Unknown model loading error",
    "predict_fn": "Unknown prediction error",
    "output_fn": "Unknown error in the response",
}
_OF_BODY = {
    "application/json": "JSON processing error",
    "text/csv": "CSV parsing or format error",
    "application/x-parquet": "Parquet file processing error",
}
_STANDARD = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib"))
_INSTALLED = frozenset({"site-packages", "dist-packages"})


class InferenceErrorHandler:
    """Turns an exception of one function into a result that says what to do about it.

    Each result has the guidance before the exception's own message, and in `validation_details`
    error_type, and where they are known: code and fix of the diagnosis, place (the last line of the
    handler's own code), excerpt (of the body, a caret below the place).
    """

    @staticmethod
    def handle_import_error(error: BaseException, handler_path: str | Path) -> FunctionTestResult:
        """Explain what the import of the handler's module raised."""
        shown = {"handler_path": os.fspath(handler_path)}
        look = look_at(Path(handler_path).parent)
        return _explained("model_fn", error, shown, look=look, phase="import")

    @staticmethod
    def handle_model_fn_error(error: BaseException, model_dir: str | Path) -> FunctionTestResult:
        """Explain what model_fn raised, with what its directory holds."""
        shown = {"model_dir": os.fspath(model_dir)}
        return _explained("model_fn", error, shown, look=look_at(Path(model_dir)))

    @staticmethod
    def handle_input_fn_error(
        error: BaseException, sample: InferenceTestSample
    ) -> FunctionTestResult:
        """Explain what input_fn raised on a sample, by the sample's content type and body."""
        shown = {"content_type": sample.content_type, "sample_name": sample.sample_name}
        return _explained("input_fn", error, shown, sample)

    @staticmethod
    def handle_predict_fn_error(
        error: BaseException, sample: InferenceTestSample
    ) -> FunctionTestResult:
        """Explain what predict_fn raised on what input_fn made of a sample."""
        return _explained("predict_fn", error, {"sample_name": sample.sample_name}, sample)

    @staticmethod
    def handle_output_fn_error(
        error: BaseException, sample: InferenceTestSample, accept: str | None
    ) -> FunctionTestResult:
        """Explain what output_fn raised when an accept type was asked for."""
        shown = {"accept": accept, "sample_name": sample.sample_name}
        return _explained("output_fn", error, shown, sample, accept_type=accept)


def _explained(
    function: Any,
    error: BaseException,
    parameters: dict[str, Any],
    sample: InferenceTestSample | None = None,
    look: Look | None = None,
    **fields: Any,
) -> FunctionTestResult:
    failure = _summary(error)
    of_sample: dict[str, Any] = {} if sample is None else {"sample_name": sample.sample_name}
    row = FunctionTestResult(
        function_name=function,
        outcome=Outcome.not_started if fields.get("phase") == "import" else Outcome.raised,
        execution_time=0.0,
        input_parameters=parameters,
        content_type=None if sample is None else sample.content_type,
        failure=failure,
        **of_sample,
        **fields,
    )
    seen = _diagnosis(row, sample, look or Look())
    guidance = _guidance(seen, row)
    said = f"{failure.type}: {failure.message}" if failure.message else failure.type
    return row.model_copy(
        update={
            "error_message": f"{guidance}: {said}",
            "validation_details": _details(failure, sample, seen),
        }
    )


def _diagnosis(
    row: FunctionTestResult, sample: InferenceTestSample | None, look: Look
) -> Diagnosis | None:
    """Have the diagnoses look at a handler of which this one call is known; give the most telling.

    They are in order of their codes, and those of a function's own subject come first.
    """
    samples = () if sample is None else (sample,)
    spec = InferenceHandlerSpec(
        handler_name="handler", handler_path="inference.py", test_data_samples=samples
    )
    found = diagnose(Case(_alone(row), spec, look, samples))
    telling = [seen for seen in found if seen.code not in _GENERAL]
    return telling[0] if telling else None


def _alone(row: FunctionTestResult) -> InferenceTestResult:
    """Make a result of one row."""
    rows: dict[str, Any] = {
        f"{name}_results": [] for name in ("input_fn", "predict_fn", "output_fn")
    }
    if row.function_name != "model_fn":
        rows[f"{row.function_name}_results"] = [row]
    unknown = FunctionTestResult(
        function_name="model_fn", outcome=Outcome.skipped, execution_time=0.0, skip_reason="unknown"
    )
    return InferenceTestResult(
        handler_name="handler",
        step_name="handler",
        overall_success=False,
        total_execution_time=0.0,
        model_fn_result=row if row.function_name == "model_fn" else unknown,
        end_to_end_results=[],
        compatibility_results=[],
        **rows,
    )


def _guidance(seen: Diagnosis | None, row: FunctionTestResult) -> str:
    if seen is not None:
        title = TABLE[seen.code].title
        return f"{title[0].upper()}{title[1:]}: {seen.message}"
    if row.function_name == "input_fn":
        kind = essence(row.content_type)
        return _OF_BODY.get(kind, f"Unsupported content type: {row.content_type}")
    return _OTHERWISE[row.function_name]


def _details(
    failure: FailureSummary, sample: InferenceTestSample | None, seen: Diagnosis | None
) -> dict[str, Any]:
    details: dict[str, Any] = {"error_type": failure.type}
    if sample is not None:
        details["content_type"] = sample.content_type
    own = next((frame for frame in reversed(failure.frames) if frame.in_handler), None)
    if own is not None:
        details["place"] = f"{own.file}:{own.line}"
    if seen is not None:
        details |= {"code": seen.code, "fix": TABLE[seen.code].fix}
        if seen.excerpt is not None:
            details["excerpt"] = seen.excerpt
    return details


def _summary(error: BaseException) -> FailureSummary:
    """Give an exception of this process as those of a worker are given."""
    kind = type(error)
    return FailureSummary(
        type=kind.__qualname__,
        module=kind.__module__,
        message=str(error),
        traceback="".join(traceback.format_exception(error)),
        frames=[_frame(frame) for frame in traceback.extract_tb(error.__traceback__)],
        causes=_causes(error),
        bases=_bases(kind),
    )


def _frame(frame: traceback.FrameSummary) -> FrameSummary:
    installed = _INSTALLED.intersection(frame.filename.split(os.sep))
    return FrameSummary(
        file=frame.filename,
        line=frame.lineno or 0,
        function=frame.name,
        code=frame.line or None,
        in_handler=not (installed or frame.filename.startswith((*_STANDARD, "<"))),
    )


def _causes(error: BaseException) -> list[CauseSummary]:
    found: list[CauseSummary] = []
    seen = {id(error)}
    while len(found) < MAX_CAUSES:
        hidden = error.__suppress_context__
        following = error.__cause__ or (None if hidden else error.__context__)
        if following is None or id(following) in seen:
            break
        relation = "cause" if error.__cause__ is not None else "context"
        seen.add(id(following))
        error = following
        found.append(
            CauseSummary(
                relation=relation,  # type: ignore[arg-type]
                type=type(error).__qualname__,
                message=str(error),
                bases=_bases(type(error)),
            )
        )
    return found


def _bases(kind: type) -> list[str]:
    return [base.__qualname__ for base in kind.__mro__[1:-1]]

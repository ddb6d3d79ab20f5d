"""One row for each request, from its first function to the response that its client gets."""

import itertools

from harness import serving
from harness.checks import compatibility, expectations, repetition
from harness.checks.compatibility import Want
from harness.checks.flow import STAGES, Flow, Request
from harness.checks.function_rows import FunctionRows
from harness.checks.live import LiveHandler
from harness.checks.repetition import Made
from harness.checks.variants import Variant
from harness.records import Outcome, not_asked
from harness.results import (
    CompatibilityTestResult,
    EndToEndTestResult,
    FunctionTestResult,
    VariantTestResult,
)
from harness.specs import InferenceHandlerSpec, InferenceTestSample
from harness.summaries import ResponseSummary

MISFITS = ("TypeError", "AttributeError", "KeyError", "IndexError", "ValueError")


class RequestRows:
    """The rows of the requests of one flow."""

    def __init__(
        self, spec: InferenceHandlerSpec, live: LiveHandler, flow: Flow, functions: FunctionRows
    ) -> None:
        self._spec = spec
        self._live = live
        self._flow = flow
        self._functions = functions

    def end_to_end(self, request: Request) -> EndToEndTestResult:
        """Give the row of a request: the outcome of its first failing stage, and the response."""
        rows = {name: self._live.row(call) for name, call in request.calls.items()}
        model = self._live.row(self._flow.model) if self._flow.model else None
        times = {name: row.execution_time for name, row in rows.items()}
        fields = {
            "sample_name": request.sample.sample_name,
            "content_type": request.sample.content_type,
            "accept_type": request.accept,
            "total_execution_time": sum(times.values()),
            "model_loading_time": model.execution_time if model else 0.0,
            "input_processing_time": times.get("input_fn", 0.0),
            "prediction_time": times.get("predict_fn", times.get("transform_fn", 0.0)),
            "output_formatting_time": times.get("output_fn", 0.0),
            "input_data_size": _size(request.sample.request_body),
            "peak_memory_bytes": max(
                (row.peak_memory_bytes or 0 for row in rows.values()), default=None
            ),
            **_data_flow(rows),
        }
        if not self._spec.validate_end_to_end:
            reason = not_asked("validate_end_to_end is off")
            return _end(Outcome.skipped, _no_answer(reason), fields, skip_reason=reason)
        if request.refusal is not None:
            return self._refused(request, request.refusal, fields)
        if request.skip_reason is not None:
            response = _no_answer(request.skip_reason)
            if self._flow.model is not None and model is not None and not model.success:
                response = self._seen(self._flow.model)
            return _end(Outcome.skipped, response, fields, skip_reason=request.skip_reason)
        stage, row = self._functions.deciding(request)
        if not row.success:
            judged = self._functions.judged(request, row)
            return _end(
                judged.outcome,
                self._seen(request.calls[stage]),
                fields,
                error_message=judged.error_message,
                failed_function=None if judged.success else stage,
            )
        return self._answered(request, fields)

    def variant(self, variant: Variant) -> VariantTestResult:
        """Give the row of a sample's request that was changed."""
        request = variant.request
        call = request.calls.get("input_fn")
        processed = self._live.row(call).output_data if call else None
        row = self.end_to_end(request).model_dump(exclude={"sample_name"})
        return VariantTestResult(
            **row,
            sample_name=variant.sample_name,
            body_variant=variant.body,
            content_type_variant=variant.content_type,
            accept_variant=variant.accept,
            processed_input_shape=processed.shape if processed else None,
            worker_lost=request.lost_worker,
        )

    def _answered(self, request: Request, fields: dict[str, object]) -> EndToEndTestResult:
        response = self._seen(list(request.calls.values())[-1])
        fields["output_data_size"] = _body_size(response)
        problems = ["the sample should have been refused, and was answered"]
        if request.sample.should_succeed is not False:
            problems = expectations.problems_with(request.sample, response)
            problems += repetition.problems_with(self._made(request), self._repeats(request))
        if problems:
            return _end(Outcome.failed, response, fields, error_message="; ".join(problems))
        return _end(Outcome.passed, response, fields)

    def _repeats(self, request: Request) -> list[Made]:
        return [self._made(again) for again in request.repeats]

    def _made(self, request: Request) -> Made:
        rows = [self._live.row(call) for call in request.calls.values()]
        return Made(request.sample, rows, self._seen(list(request.calls.values())[-1]))

    def _refused(
        self, request: Request, refusal: ResponseSummary, fields: dict[str, object]
    ) -> EndToEndTestResult:
        """Give the row of a request that the server answers by itself."""
        row = FunctionTestResult(
            function_name="input_fn",
            outcome=Outcome.failed,
            execution_time=0.0,
            error_message=f"the server answers {refusal.status}: {refusal.reason}",
        )
        judged = self._functions.judged(request, row)
        fields["output_data_size"] = _body_size(refusal)
        return _end(judged.outcome, refusal, fields, error_message=judged.error_message)

    def _seen(self, call: str) -> ResponseSummary:
        """Give what a client sees of a request that ended with this call."""
        own = self._live.response(call)
        return own or serving.of(self._spec).without_an_answer(self._live.row(call))

    # ------------------------------------------------------------ between functions

    def compatibilities(self) -> list[CompatibilityTestResult]:
        """Say for each sample whether what one function returned suited the next."""
        found = []
        seen: set[str] = set()
        for request in self._flow.requests:
            for source, destination in itertools.pairwise(STAGES):
                name = f"{request.sample.sample_name}/{destination}"
                if source in request.calls and destination in request.calls:
                    if destination != "output_fn" and name in seen:
                        continue
                    seen.add(name)
                    found.append(self._compatibility(request, source, destination))
        return found

    def _compatibility(
        self, request: Request, source: str, destination: str
    ) -> CompatibilityTestResult:
        given = self._live.row(request.calls[source])
        taken = self._live.row(request.calls[destination])
        issues, wanted = [], None
        if taken.outcome is Outcome.raised and taken.failure and taken.failure.type in MISFITS:
            issues.append(
                f"{destination} raised {taken.error_message} on the {given.output_type} that "
                f"{source} returned"
            )
            wanted = self._wanted(given, taken)
        return CompatibilityTestResult(
            handler_name=self._spec.handler_name,
            source=source,
            destination=destination,
            compatible=not issues,
            content_type_used=request.sample.content_type,
            source_type=given.output_type,
            expected_type=None if wanted is None else f"{wanted}: {wanted.evidence}",
            sample_name=request.sample.sample_name,
            compatibility_issues=issues,
            test_execution_time=taken.execution_time,
        )

    def _wanted(self, given: FunctionTestResult, taken: FunctionTestResult) -> Want | None:
        if given.output_data is None or taken.failure is None:
            return None
        parameter = self._live.annotation(taken.function_name)
        return compatibility.wanted_by(parameter, taken.failure, given.output_data)


def left_out(sample: InferenceTestSample, accept: str | None, reason: str) -> EndToEndTestResult:
    """Give the row of a sample that no request is made of, for one accept type."""
    fields = {
        "sample_name": sample.sample_name,
        "content_type": sample.content_type,
        "accept_type": accept,
    }
    times = dict.fromkeys(
        (
            "total_execution_time",
            "model_loading_time",
            "input_processing_time",
            "prediction_time",
            "output_formatting_time",
        ),
        0.0,
    )
    return _end(Outcome.skipped, _no_answer(reason), {**fields, **times}, skip_reason=reason)


def _end(
    outcome: Outcome, response: ResponseSummary, fields: dict[str, object], **more: object
) -> EndToEndTestResult:
    return EndToEndTestResult(outcome=outcome, response=response, **fields, **more)  # type: ignore[arg-type]


def _no_answer(reason: str) -> ResponseSummary:
    return ResponseSummary(
        status=None, content_type=None, body=None, body_encoding=None, reason=reason
    )


def _data_flow(rows: dict[str, FunctionTestResult]) -> dict[str, object]:
    processed = rows.get("input_fn")
    predicted = rows.get("predict_fn")
    data = predicted.output_data if predicted else None
    return {
        "processed_input_type": processed.output_type if processed else None,
        "prediction_shape": data.shape if data else None,
    }


def _size(body: str | bytes) -> int:
    return len(body.encode("utf-8") if isinstance(body, str) else body)


def _body_size(response: ResponseSummary) -> int | None:
    if response.body is None:
        return None
    if response.body_encoding == "base64":
        return len(response.body.rstrip("=")) * 3 // 4
    if response.body.isascii():
        return len(response.body)
    return len(response.body.encode("utf-8"))

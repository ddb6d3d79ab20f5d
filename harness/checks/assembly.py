"""From what was called to the result: one row a function and sample, one row a request."""

import itertools
from collections import defaultdict

from harness import serving
from harness.checks import compatibility, expectations, repetition, verdict
from harness.checks.compatibility import Want
from harness.checks.flow import ALL_OFF, STAGES, SWITCH, Flow, Request, accept_types, describe
from harness.checks.live import LiveHandler
from harness.checks.repetition import Made
from harness.checks.samples import Samples
from harness.checks.variants import Variant
from harness.records import Outcome, not_asked
from harness.results import (
    CompatibilityTestResult,
    EndToEndTestResult,
    FunctionTestResult,
    InferenceTestResult,
    VariantTestResult,
)
from harness.specs import InferenceHandlerSpec, InferenceTestSample
from harness.summaries import ResponseSummary

MISFITS = ("TypeError", "AttributeError", "KeyError", "IndexError", "ValueError")
TRANSFORMED = not_asked("the handler defines transform_fn, which stands for it")
NOT_RUN = not_asked("nothing that was asked for needs it")


def assemble(
    spec: InferenceHandlerSpec,
    live: LiveHandler,
    samples: Samples,
    flow: Flow,
    asked: tuple[Variant, ...] = (),
    *,
    elapsed_s: float,
) -> InferenceTestResult:
    """Put together the whole result of one handler; variants never count in its verdict."""
    rows = _Rows(spec, live, flow)
    model = rows.model()
    inputs = [rows.of_sample("input_fn", sample) for sample in samples.chosen]
    predictions = [rows.of_sample("predict_fn", sample) for sample in samples.chosen]
    outputs = [rows.of_request("output_fn", request) for request in flow.requests]
    transforms = rows.transforms()
    ends = [rows.end_to_end(request) for request in flow.requests]
    for sample, reason in samples.left_out:
        inputs.append(_left_out("input_fn", sample, reason))
        predictions.append(_left_out("predict_fn", sample, reason))
        outputs += [
            _left_out("output_fn", sample, reason, accept_type=accept)
            for accept in accept_types(spec, sample)
        ]
        ends += [_end_left_out(sample, accept, reason) for accept in accept_types(spec, sample)]
    tried = [rows.variant(variant) for variant in asked]
    every = [model, *inputs, *predictions, *outputs, *transforms]
    errors = _nothing_to_test(spec, samples) + _errors(every, ends)
    tested = any(row.success for row in [*every, *ends])
    blocked = any(row.outcome is Outcome.skipped and row.asked for row in [*every, *ends])
    if blocked and not errors:
        errors = rows.hidden_failures()
    return InferenceTestResult(
        handler_name=spec.handler_name,
        step_name=spec.step_name,
        overall_success=tested and not errors and not blocked,
        total_execution_time=elapsed_s,
        model_fn_result=model,
        input_fn_results=inputs,
        predict_fn_results=predictions,
        output_fn_results=outputs,
        transform_fn_results=transforms,
        end_to_end_results=ends,
        compatibility_results=rows.compatibilities(),
        variant_results=tried,
        errors=errors,
        warnings=[*live.warnings, *samples.warnings],
        isolation=live.isolation,
        environment=live.environment,
        memory_curve=live.memory_curve,
        stack=spec.stack,
        consequences=rows.consequences(),
    )


class _Rows:
    """The rows of one flow, as the spec's switches and the samples' expectations make them."""

    def __init__(self, spec: InferenceHandlerSpec, live: LiveHandler, flow: Flow) -> None:
        self._spec = spec
        self._live = live
        self._flow = flow
        self._of_each: defaultdict[int, list[Request]] = defaultdict(list)
        for request in flow.requests:
            self._of_each[id(request.sample)].append(request)

    def hidden_failures(self) -> list[str]:
        """List the failures of stages that were only run because a later one needs them."""
        calls = [self._flow.model] if self._flow.model else []
        calls += [call for request in self._flow.requests for call in request.calls.values()]
        return _errors([self._live.row(call) for call in calls], [])

    def model(self) -> FunctionTestResult:
        if self._flow.model is None:
            return verdict.skipped("model_fn", ALL_OFF)
        return self._shown("model_fn", self._live.row(self._flow.model))

    def of_sample(self, function: str, sample: InferenceTestSample) -> FunctionTestResult:
        """Give one row for a sample: of its requests, the first that failed, else the first."""
        rows = [self._of(function, request) for request in self._of_each[id(sample)]]
        if not rows:
            return _left_out(function, sample, "no accept type to ask for")
        called = [row for row in rows if row.outcome is not Outcome.skipped] or rows
        return next((row for row in called if not row.success), called[0])

    def transforms(self) -> list[FunctionTestResult]:
        """Give the rows of transform_fn, one a request; none for a handler without it."""
        if not self._live.transforms:
            return []
        return [self._of("transform_fn", request) for request in self._flow.requests]

    def consequences(self) -> list[str]:
        """Say what the endpoint does, where the handler could not be loaded."""
        model = self._live.row(self._flow.model) if self._flow.model else None
        if model is None or model.success:
            return []
        failure = serving.load_failure(
            model,
            defined=self._live.defines("model_fn"),
            imported=self._live.package.handler_file is not None,
        )
        return [serving.of(self._spec).consequence(failure)]

    def of_request(self, function: str, request: Request) -> FunctionTestResult:
        return self._of(function, request)

    def _of(self, function: str, request: Request) -> FunctionTestResult:
        call = request.calls.get(function)
        if call is not None:
            return self._shown(function, self._judged(request, self._live.row(call)))
        reason = self._reason(function, request)
        fields = {
            "sample_name": request.sample.sample_name,
            "content_type": request.sample.content_type,
        }
        if function in ("output_fn", "transform_fn"):
            fields["accept_type"] = request.accept
        return self._shown(function, verdict.skipped(function, reason, **fields))

    def _reason(self, function: str, request: Request) -> str:
        if self._live.transforms and function in STAGES:
            return TRANSFORMED
        reason = request.skip_reason
        if request.refusal is not None and not request.sample.should_succeed:
            return not_asked("the server refused the sample, as it should")
        if reason is None and request.calls:
            stage, row = self._deciding(request)
            if row.success:
                return NOT_RUN
            judged = self._judged(request, row)
            if judged.success:
                as_it = "may" if request.sample.should_succeed == "either" else "should"
                return not_asked(f"{stage} refused the sample, as it {as_it}")
            reason = f"{stage} {describe(row)}"
        return reason or NOT_RUN

    def _deciding(self, request: Request) -> tuple[str, FunctionTestResult]:
        """Give the first stage that did not pass, else the last."""
        rows = [(stage, self._live.row(call)) for stage, call in request.calls.items()]
        return next((pair for pair in rows if not pair[1].success), rows[-1])

    def _judged(self, request: Request, row: FunctionTestResult) -> FunctionTestResult:
        if request.sample.should_succeed is True or row.success:
            return row
        return expectations.as_expected_error(request.sample, row)

    def _shown(self, function: str, row: FunctionTestResult) -> FunctionTestResult:
        """Turn the row of a stage that ran only for a later one into a skipped one."""
        switches = [SWITCH[name] for name in _stands_for(function)]
        if any(getattr(self._spec, switch) for switch in switches):
            return row
        return verdict.skipped(
            function,
            not_asked(f"{' and '.join(switches)} {'are' if switches[1:] else 'is'} off"),
            sample_name=row.sample_name,
            content_type=row.content_type,
            accept_type=row.accept_type,
        )

    # ------------------------------------------------------------ whole requests

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
        stage, row = self._deciding(request)
        if not row.success:
            judged = self._judged(request, row)
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
        judged = self._judged(request, row)
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


def _left_out(
    function: str, sample: InferenceTestSample, reason: str, **fields: str | None
) -> FunctionTestResult:
    return verdict.skipped(
        function,
        reason,
        sample_name=sample.sample_name,
        content_type=sample.content_type,
        **fields,
    )


def _end_left_out(
    sample: InferenceTestSample, accept: str | None, reason: str
) -> EndToEndTestResult:
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


def _stands_for(function: str) -> tuple[str, ...]:
    """Name the functions whose switches decide about one: transform_fn is three in one."""
    return STAGES if function == "transform_fn" else (function,)


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


def _nothing_to_test(spec: InferenceHandlerSpec, samples: Samples) -> list[str]:
    """Nothing is not a pass: say what is missing."""
    if not samples.chosen:
        place = spec.data_paths.get("payload_samples", spec.payload_samples_path)
        where = f" at {place}" if place else ""
        return [f"no samples were found{where}; add payload files or test_data_samples"]
    if not any(accept_types(spec, sample) for sample in samples.chosen):
        return ["there is no accept type to ask for; set supported_accept_types"]
    return []


def _errors(rows: list[FunctionTestResult], ends: list[EndToEndTestResult]) -> list[str]:
    """List every failure once, with the function and the sample."""
    found = []
    for row in rows:
        if not row.success and row.outcome is not Outcome.skipped:
            found.append(f"{_place(row)}: {row.error_message or describe(row)}")
    told = {row.error_message for row in rows if not row.success}
    for end in ends:
        failed = not end.success and end.outcome is not Outcome.skipped
        if failed and end.error_message not in told:
            name = f"{end.sample_name}, {end.accept_type}"
            found.append(f"end_to_end[{name}]: {end.error_message or end.outcome.value}")
    return list(dict.fromkeys(found))


def _place(row: FunctionTestResult) -> str:
    names = [name for name in (row.sample_name, row.accept_type) if name]
    return f"{row.function_name}[{', '.join(names)}]" if names else row.function_name

"""One row for each function and sample, as switches of the spec and expectations make it."""

from collections import defaultdict

from harness import serving
from harness.checks import expectations, refusals, verdict
from harness.checks.flow import ALL_OFF, STAGES, SWITCH, Flow, Request, describe
from harness.checks.live import LiveHandler
from harness.records import Outcome, not_asked
from harness.results import FunctionTestResult
from harness.specs import InferenceHandlerSpec, InferenceTestSample

TRANSFORMED = not_asked("the handler defines transform_fn, which stands for it")
NOT_RUN = not_asked("nothing that was asked for needs it")


class FunctionRows:
    """The rows of the calls of one flow."""

    def __init__(self, spec: InferenceHandlerSpec, live: LiveHandler, flow: Flow) -> None:
        self._spec = spec
        self._live = live
        self._flow = flow
        self._of_each: defaultdict[int, list[Request]] = defaultdict(list)
        for request in flow.requests:
            self._of_each[id(request.sample)].append(request)

    def every(self) -> list[FunctionTestResult]:
        """Give the row of every call that was made, also for a later stage only."""
        calls = [self._flow.model] if self._flow.model else []
        calls += [call for request in self._flow.requests for call in request.calls.values()]
        return [self._live.row(call) for call in calls]

    def model(self) -> FunctionTestResult:
        """Give the row of model_fn."""
        if self._flow.model is None:
            return verdict.skipped("model_fn", ALL_OFF)
        return self._shown("model_fn", self._live.row(self._flow.model))

    def of_sample(self, function: str, sample: InferenceTestSample) -> FunctionTestResult:
        """Give one row for a sample: of its requests, the first that failed, else the first."""
        rows = [self.of_request(function, request) for request in self._of_each[id(sample)]]
        if not rows:
            return left_out(function, sample, "no accept type to ask for")
        called = [row for row in rows if row.outcome is not Outcome.skipped] or rows
        return next((row for row in called if not row.success), called[0])

    def transforms(self) -> list[FunctionTestResult]:
        """Give the rows of transform_fn, one a request; none for a handler without it."""
        if not self._live.transforms:
            return []
        return [self.of_request("transform_fn", request) for request in self._flow.requests]

    def consequences(self) -> list[str]:
        """Say what the endpoint does, where the handler could not be loaded.

        Nothing is said where the sandbox is why: an endpoint has none.
        """
        model = self._live.row(self._flow.model) if self._flow.model else None
        if model is None or model.success or refusals.of(model, self._live.isolation) is not None:
            return []
        stack = serving.of(self._spec)
        failure = serving.load_failure(
            model,
            stack,
            defined=self._live.defines("model_fn"),
            imported=self._live.package.handler_file is not None,
        )
        return [stack.consequence(failure)]

    def of_request(self, function: str, request: Request) -> FunctionTestResult:
        """Give the row of a function in a request; a skipped one says why it was not called."""
        call = request.calls.get(function)
        if call is not None:
            return self._shown(function, self.judged(request, self._live.row(call)))
        reason = self._reason(function, request)
        fields = {
            "sample_name": request.sample.sample_name,
            "content_type": request.sample.content_type,
        }
        if function in ("output_fn", "transform_fn"):
            fields["accept_type"] = request.accept
        return self._shown(function, verdict.skipped(function, reason, **fields))

    def deciding(self, request: Request) -> tuple[str, FunctionTestResult]:
        """Give the first stage that did not pass, else the last."""
        rows = [(stage, self._live.row(call)) for stage, call in request.calls.items()]
        return next((pair for pair in rows if not pair[1].success), rows[-1])

    def judged(self, request: Request, row: FunctionTestResult) -> FunctionTestResult:
        """Give the row as the sample's expectation makes it, where an error is expected."""
        if request.sample.should_succeed is True or row.success:
            return row
        return expectations.as_expected_error(request.sample, row)

    def _reason(self, function: str, request: Request) -> str:
        if self._live.transforms and function in STAGES:
            return TRANSFORMED
        reason = request.skip_reason
        if request.refusal is not None and not request.sample.should_succeed:
            return not_asked("the server refused the sample, as it should")
        if reason is None and request.calls:
            stage, row = self.deciding(request)
            if row.success:
                return NOT_RUN
            judged = self.judged(request, row)
            if judged.success:
                as_it = "may" if request.sample.should_succeed == "either" else "should"
                return not_asked(f"{stage} refused the sample, as it {as_it}")
            reason = f"{stage} {describe(row)}"
        return reason or NOT_RUN

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


def left_out(
    function: str, sample: InferenceTestSample, reason: str, **fields: str | None
) -> FunctionTestResult:
    """Give the row of a function for a sample that no request is made of."""
    return verdict.skipped(
        function,
        reason,
        sample_name=sample.sample_name,
        content_type=sample.content_type,
        **fields,
    )


def _stands_for(function: str) -> tuple[str, ...]:
    """Name the functions whose switches decide about one: transform_fn is three in one."""
    return STAGES if function == "transform_fn" else (function,)

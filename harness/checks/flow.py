"""Run a handler through its requests: the model once, then input, predict, output for each.

One request for each sample and accept type, as a server would do them. What failed is recorded
against the function that failed; what came after it in the same request is not called.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harness import serving
from harness.checks import arguments, calls
from harness.checks.calls import Planned
from harness.checks.live import LiveHandler
from harness.records import Outcome, not_asked
from harness.results import FunctionTestResult
from harness.specs import InferenceHandlerSpec, InferenceTestSample
from harness.summaries import ResponseSummary

STAGES = ("input_fn", "predict_fn", "output_fn")
SWITCH = {
    "model_fn": "validate_model_loading",
    "input_fn": "validate_input_processing",
    "predict_fn": "validate_prediction",
    "output_fn": "validate_output_formatting",
}
TRANSFORM = ("transform_fn",)
ATTEMPTS = 3  # at a request that takes longer than its sample allows
ALL_OFF = not_asked("every validate_* flag is off")
ANSWERED = (Outcome.passed, Outcome.raised, Outcome.failed)


@dataclass
class Request:
    """One request: its sample and accept type, the ids of its calls, or why it was not made.

    `refusal` is the server's own answer, where it lets no function see the request;
    `lost_worker` says that no worker was left after it. `repeats` are the same request again, made
    for what its sample expects of that.
    """

    sample: InferenceTestSample
    accept: str | None
    calls: dict[str, str] = field(default_factory=dict)
    skip_reason: str | None = None
    refusal: ResponseSummary | None = None
    lost_worker: bool = False
    repeats: list[Request] = field(default_factory=list)


@dataclass(frozen=True)
class Flow:
    """What was called: the model's call and every request."""

    model: str | None
    requests: tuple[Request, ...]


def run(
    live: LiveHandler,
    spec: InferenceHandlerSpec,
    samples: tuple[InferenceTestSample, ...],
    further: Sequence[Request] = (),
) -> Flow:
    """Call everything that the spec asks for. What a handler does is in the rows of `live`.

    `further` requests are made after those of the samples, on the same worker.
    """
    stages = _stages(spec)
    requests = [
        Request(sample, accept) for sample in samples for accept in accept_types(spec, sample)
    ]
    every = [*requests, *further]
    if stages is None:
        for request in every:
            request.skip_reason = ALL_OFF
        return Flow(None, tuple(requests))
    model = live.call(calls.model(live.package.model_dir))
    live.settle()
    let_in = _let_in(spec, every)
    if live.succeeded(model):
        if live.transforms and stages:
            stages = TRANSFORM
        _Requests(live, stages, model).make_all(let_in)
    else:
        reason = f"model_fn {describe(live.row(model))}"
        for request in let_in:
            request.skip_reason = reason
    return Flow(model, tuple(requests))


def _let_in(spec: InferenceHandlerSpec, requests: list[Request]) -> list[Request]:
    """Give the requests that the server takes; the others are answered by itself."""
    stack = serving.of(spec)
    limit = stack.max_request_bytes(spec.environ_vars)
    for request in requests:
        size = len(arguments.body_bytes(request.sample.request_body))
        if limit is not None and size > limit:
            request.refusal = stack.too_large(size, limit)
            request.skip_reason = f"the server refuses the request: {request.refusal.reason}"
    return [request for request in requests if request.refusal is None]


def accept_types(spec: InferenceHandlerSpec, sample: InferenceTestSample) -> tuple[str | None, ...]:
    """List the accept types that a sample is asked with."""
    own = sample.accept_types
    return tuple(spec.supported_accept_types if own is None else own)


def describe(row: FunctionTestResult) -> str:
    """Say in a few words how a function failed, for the rows that it made impossible."""
    return row.outcome.value.replace("_", " ")


def _stages(spec: InferenceHandlerSpec) -> tuple[str, ...] | None:
    """Give the stages to run: up to the last one that is asked for; None when nothing is."""
    if spec.validate_end_to_end:
        return STAGES
    wanted = [name for name in ("model_fn", *STAGES) if getattr(spec, SWITCH[name])]
    if not wanted:
        return None
    return STAGES[: STAGES.index(wanted[-1]) + 1] if wanted[-1] in STAGES else ()


class _Requests:
    """Makes the requests on one handler, and brings it back after a worker was lost."""

    def __init__(self, live: LiveHandler, stages: tuple[str, ...], model: str) -> None:
        self._live = live
        self._stages = stages
        self._model = model
        self._hopeless: dict[str, str] = {}

    def make_all(self, requests: Sequence[Request]) -> None:
        begun = 0
        while begun < len(requests):
            request = requests[begun]
            request.skip_reason = self._obstacle(request)
            if request.skip_reason is not None:
                begun += 1
                continue
            begun += self._make(requests, begun)
            last = requests[begun - 1]
            last.lost_worker = not self._live.running
            while self._wants_a_repeat(last):
                last.repeats.append(Request(last.sample, last.accept))
                self._make(last.repeats, len(last.repeats) - 1)

    def _in_a_row(self, requests: Sequence[Request], begun: int) -> Iterator[Request]:
        """Give the next, and those after it that are made whatever comes of the one before."""
        for number in range(begun, len(requests)):
            sample = requests[number].sample
            if number > begun and sample.sample_name in self._hopeless:
                return
            yield requests[number]
            if _may_be_repeated(sample):
                return

    def _obstacle(self, request: Request) -> str | None:
        """Say why a request cannot be made, or bring the handler back and say None."""
        if request.sample.sample_name in self._hopeless:
            return self._hopeless[request.sample.sample_name]
        if self._live.running:
            return None
        again = self._live.call(calls.model(self._live.package.model_dir))
        row = self._live.row(again)
        if not row.success:
            return f"the handler could not be loaded again: {row.error_message}"
        self._model = again
        return None

    def _make(self, requests: Sequence[Request], begun: int) -> int:
        """Make the next of the requests, and others that go out with it; say how many."""
        if not self._stages:
            return 1
        count = 0
        for made in self._live.requests(map(self._planned, self._in_a_row(requests, begun))):
            request = requests[begun + count]
            count += 1
            request.calls.update(zip(self._stages, made, strict=False))
            if not self._live.succeeded(made[-1]):
                stage = self._stages[len(made) - 1]
                self._remember_hopeless(request, stage, self._live.row(made[-1]))
            if any(self._live.worker_died(call) for call in made):
                self._live.restart()
        self._live.settle()
        return count

    def _wants_a_repeat(self, request: Request) -> bool:
        """Say whether to make the request again: to compare, or for the chance to be faster."""
        sample, made = request.sample, [request, *request.repeats]
        limit = sample.max_seconds
        if not _may_be_repeated(sample):
            return False
        if not self._live.running or not all(map(self._was_answered, made)):
            return False
        if sample.deterministic and not request.repeats:
            return True
        slow = limit is not None and min(map(self._seconds, made)) > limit
        return slow and len(made) < ATTEMPTS

    def _was_answered(self, request: Request) -> bool:
        return all(map(self._live.succeeded, request.calls.values()))

    def _seconds(self, request: Request) -> float:
        return sum(self._live.row(call).execution_time for call in request.calls.values())

    def _planned(self, request: Request) -> list[Planned]:
        """Plan the stages of a request, each on what the one before gives."""
        sample, accept = request.sample, request.accept
        body, content_type = sample.request_body, sample.content_type
        model = arguments.kept_argument(self._model)
        if self._stages == TRANSFORM:
            return [calls.transform(model, body, content_type, accept, sample.sample_name)]
        taken = calls.input_of(body, content_type, sample.sample_name, accept=accept)
        own = {"sample_name": sample.sample_name, "content_type": content_type}
        data = arguments.kept_argument(taken.name)
        predicted = calls.predict(data, model, taken.headers, **own)
        prediction = arguments.kept_argument(predicted.name)
        sent = calls.output(prediction, accept, taken.headers, **own)
        return [taken, predicted, sent][: len(self._stages)]

    def _remember_hopeless(self, request: Request, stage: str, row: FunctionTestResult) -> None:
        """Do not hang or crash again on a sample before the accept type has been looked at."""
        if stage != "output_fn" and row.outcome not in ANSWERED:
            name = request.sample.sample_name
            self._hopeless[name] = (
                f"{stage} {describe(row)} on this sample with another accept type"
            )


def _may_be_repeated(sample: InferenceTestSample) -> bool:
    return sample.deterministic or sample.max_seconds is not None

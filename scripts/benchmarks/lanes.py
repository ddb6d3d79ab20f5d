"""What isolation takes of a batch, its workers and calls alone, and the least beside them."""

from __future__ import annotations

import functools
import gc
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import tee
from typing import Any, Self

from pydantic import BaseModel

from benchmarks.workers import TIMEOUT_S, launcher, succeed
from harness import InferenceHandlerSpec, InferenceTestResult
from harness.artifacts.package import open_package
from harness.artifacts.shelf import alone
from harness.artifacts.workspace import RunDirectory
from harness.batch.deputies import GARBAGE
from harness.checks import arguments, calls, series
from harness.checks.calls import Planned
from harness.checks.series import Part, Window
from harness.runtime.channel import Channel
from harness.runtime.launch import HandlerLauncher
from harness.runtime.session import Session
from harness.runtime.templates import Templates


class Lanes:
    """Forks of this process, as a batch has them, that start warm workers and make their calls.

    Nothing is planned, judged or diagnosed. With specs the package of each is opened in a run
    directory of its own; with a result, one like it is made for each, and sent home. Use it in a
    `with` block.
    """

    def __init__(
        self,
        handler: str,
        *,
        lanes: int,
        workers: int,
        samples: int,
        body: str,
        specs: Sequence[InferenceHandlerSpec] = (),
        result: InferenceTestResult | None = None,
    ) -> None:
        """Make them ready: each has its template. `workers` is how many each starts."""
        self._workers = workers
        self._ends: list[Channel] = []
        self._forks: list[Any] = []
        make = (lambda: None) if result is None else _like(result)
        one = functools.partial(_one, samples=samples, body=body, make=make)
        for _ in range(lanes):
            ours, theirs = socket.socketpair()
            work = functools.partial(_serve, handler, workers, specs, one)
            fork = multiprocessing.get_context("fork").Process(target=work, args=(theirs, ours))
            fork.start()
            theirs.close()
            self._ends.append(Channel(ours))
            self._forks.append(fork)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.close()
        for fork in self._forks:
            fork.join()

    def measure(self) -> float:
        """Time all workers of all lanes; a thread takes what each lane sends, as in a batch."""
        begin = time.perf_counter()
        with ThreadPoolExecutor(len(self._ends)) as threads:
            kept = [*threads.map(self._take, self._ends)]
        elapsed = time.perf_counter() - begin
        del kept
        return elapsed

    def _take(self, end: Channel) -> list[object]:
        end.send("go")
        return [end.receive() for _ in range(self._workers)]


def _serve(
    handler: str,
    workers: int,
    specs: Sequence[InferenceHandlerSpec],
    one: Callable[[HandlerLauncher, InferenceHandlerSpec | None], object],
    ours: socket.socket,
    other: socket.socket,
) -> None:
    """Be one lane, until the other end is closed."""
    other.close()
    end = Channel(ours)
    gc.freeze()  # as a deputy does
    gc.set_threshold(GARBAGE)
    with _launching(handler) as launch:
        try:
            while True:
                end.receive()
                for number in range(workers):
                    end.send(one(launch, specs[number] if specs else None))
        except EOFError:
            end.close()


def _one(
    launch: HandlerLauncher,
    spec: InferenceHandlerSpec | None,
    *,
    samples: int,
    body: str,
    make: Callable[[], object],
) -> object:
    with ExitStack() as opened:
        if spec is not None:
            run = opened.enter_context(RunDirectory())
            open_package(spec, run, opened.enter_context(alone()))
        _work(launch, samples, body)
        return make()


def _like(record: BaseModel) -> Callable[[], BaseModel]:
    """Give what makes a record like this one, with all records within, of what is known before."""
    plain: dict[str, Any] = {}
    makers: dict[str, Callable[[], Any]] = {}
    for name in type(record).model_fields:
        value = getattr(record, name)
        if isinstance(value, BaseModel):
            makers[name] = _like(value)
        elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
            each = [_like(item) for item in value]
            makers[name] = functools.partial(lambda each: [make() for make in each], each)
        else:
            plain[name] = value
    return lambda: type(record)(**plain, **{name: make() for name, make in makers.items()})


@contextmanager
def _launching(handler: str) -> Iterator[HandlerLauncher]:
    """Give a launcher of warm workers, after a first one, for which the template was started."""
    with ExitStack() as stack:
        templates = stack.enter_context(Templates(eager=True))
        launch = stack.enter_context(launcher("auto", handler, templates=templates, start="warm"))
        launch.start().close()
        yield launch


def _work(launch: HandlerLauncher, samples: int, body: str) -> None:
    """Start a worker, load the handler and make the calls of its requests, as a test sends them."""
    with launch.start() as session:
        succeed(launch.load(session, "load"))
        model = calls.model("/model")
        _make(session, [Part([model])])
        requests = [_request(model, body) for _ in range(samples)]
        window = Window()
        while requests:
            made = _make(session, window.take(requests))
            window.answered(whole=True)
            del requests[: made // len(requests[0])]


def _request(model: Planned, body: str) -> list[Planned]:
    taken = calls.input_of(body, "text/csv", accept="text/csv")
    given = arguments.kept_argument(taken.name), arguments.kept_argument(model.name)
    predicted = calls.predict(*given, taken.headers)
    prediction = arguments.kept_argument(predicted.name)
    return [taken, predicted, calls.output(prediction, "text/csv", taken.headers)]


def _make(session: Session, parts: Iterable[Part]) -> int:
    """Make calls that go out together; say how many. All must pass."""
    parts, sent = tee(parts)
    answers = [*session.calls(series.made(session, parts), TIMEOUT_S)]
    for answer in answers:
        succeed(answer)
    if len(answers) < sum(len(part.planned) for part in sent):
        raise SystemExit("the worker passed over a call")
    return len(answers)

"""The workers and calls of a batch, and nothing else: what isolation takes of it."""

from __future__ import annotations

import functools
import gc
import multiprocessing
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import tee
from multiprocessing.connection import Connection
from typing import Any, Self

from benchmarks.workers import TIMEOUT_S, launcher, succeed
from harness.batch.deputies import GARBAGE
from harness.checks import arguments, calls, series
from harness.checks.calls import Planned
from harness.checks.series import Part, Window
from harness.runtime.launch import HandlerLauncher
from harness.runtime.session import Session
from harness.runtime.templates import Templates


class Lanes:
    """Forks of this process, as a batch has them, that start warm workers and make their calls.

    No package is opened, nothing is judged, and there are no results. Use it in a `with` block.
    """

    def __init__(self, handler: str, *, lanes: int, workers: int, samples: int, body: str) -> None:
        """Make them ready: each has its template. `workers` is how many each starts."""
        self._ends: list[Connection] = []
        self._forks: list[Any] = []
        work = functools.partial(_serve, handler, workers, samples, body)
        for _ in range(lanes):
            ours, theirs = multiprocessing.Pipe()
            fork = multiprocessing.get_context("fork").Process(target=work, args=(theirs, ours))
            fork.start()
            theirs.close()
            self._ends.append(ours)
            self._forks.append(fork)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.close()
        for fork in self._forks:
            fork.join()

    def measure(self) -> float:
        """Time all workers of all lanes."""
        begin = time.perf_counter()
        for end in self._ends:
            end.send("go")
        for end in self._ends:
            end.recv()
        return time.perf_counter() - begin


def _serve(
    handler: str, workers: int, samples: int, body: str, end: Connection, other: Connection
) -> None:
    """Be one lane, until the other end is closed."""
    other.close()
    gc.freeze()  # as a deputy does
    gc.set_threshold(GARBAGE)
    with _launching(handler) as launch, end:
        try:
            while True:
                end.recv()
                for _ in range(workers):
                    _work(launch, samples, body)
                end.send("done")
        except EOFError:
            pass


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

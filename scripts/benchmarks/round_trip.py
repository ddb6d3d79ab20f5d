"""A call that does nothing, against two bare pipes that carry the same."""

from __future__ import annotations

import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.measure import Case, Ratio, ratios
from benchmarks.workers import TIMEOUT_S, launcher, succeed
from harness import Limits
from harness.runtime import wire
from harness.runtime.session import Session
from worker import protocol

NAME = "round-trip"
WORDS = """\
`scripts/bench round-trip`. A call that does nothing, with an argument of 1 KiB; its deadline, its
limits on memory, processes and output, the strict validation of the reply, the capture of its log
and the measuring of its peak memory, threads and descriptors are within its time. The floor is a
ping-pong of the same two lines between two Python processes by raw pipes: json.dumps and json.loads
on both sides and nothing else, in a session of its own and on the same cores as the call. A round
has 100 of each, and takes their median."""

CALLS = 100  # of each kind in a round, whose figure is their median
TARGET = 1.5
LIMITS = Limits(memory_limit_mb=4096)
CALL = protocol.Call(
    id="call",
    function="model_fn",
    arguments=[protocol.Argument(kind="json", json="x" * 1024)],
)


def run(rounds: int) -> list[Ratio]:
    """Measure every case in every round."""
    with round_trip_cases() as cases:
        return ratios(NAME, cases, rounds)


@contextmanager
def round_trip_cases() -> Iterator[list[Case]]:
    """Give the cases of a call with 1 KiB that does nothing, in each placement on the cores."""
    with ExitStack() as stack:
        cases = []
        for place, (ours, theirs) in placements().items():
            session = stack.enter_context(loaded_worker())
            reply = succeed(session.request(CALL, TIMEOUT_S))
            pipe = stack.enter_context(BarePipe(CALL, reply))
            for pid in (session.ready.pid if session.ready else 0, pipe.pid):
                put(pid, theirs)
            base = f"ping-pong of the same JSON, {place}"
            often = functools.partial(median_time, functools.partial(call, session))
            calls = functools.partial(on, ours, often)
            cases += [
                Case(base, functools.partial(on, ours, pipe.exchange), base),
                Case(f"call of 1 KiB, {place}", calls, base, TARGET),
            ]
        yield cases


Cores = set[int]


def placements() -> dict[str, tuple[Cores, Cores]]:
    """Name the ways to place two processes, with the cores of this one and of the other.

    Left to itself the kernel takes one or the other, and figures of the two do not compare.
    """
    if not hasattr(os, "sched_getaffinity"):
        return {"as placed": (set(), set())}
    first, *others = sorted(os.sched_getaffinity(0))
    found = {"one core": ({first}, {first})}
    return found | ({"two cores": ({first}, {others[0]})} if others else {})


def put(pid: int, cores: Cores) -> None:
    """Put a process on some cores; 0 is this one, and no cores leave it where it is."""
    if cores:
        os.sched_setaffinity(pid, cores)


def on(cores: Cores, measure: Callable[[], float]) -> float:
    """Measure with this process on some cores."""
    before = os.sched_getaffinity(0) if cores else set()
    put(0, cores)
    try:
        return measure()
    finally:
        put(0, before)


@contextmanager
def loaded_worker() -> Iterator[Session]:
    """Give a worker with the handler loaded."""
    with launcher("auto", limits=LIMITS) as launch, launch.start() as session:
        succeed(launch.load(session, "load"))
        yield session


def call(session: Session) -> None:
    """Make a call, with its deadline and all that is looked at."""
    succeed(session.request(CALL, TIMEOUT_S))


def median_time(work: Callable[[], object]) -> float:
    """Time some work often, and give the median: others use the cores as well."""
    times = []
    for _ in range(CALLS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


class BarePipe:
    """Two Python processes that exchange a call's and a reply's JSON by pipes, and do no more."""

    CODE = """
import json, os, sys
reply = json.loads(sys.argv[1])
while True:
    line = b""
    while not line.endswith(b"\\n"):
        part = os.read(0, 1 << 20)
        if not part:
            sys.exit()
        line += part
    json.loads(line)
    os.write(1, json.dumps(reply, separators=(",", ":")).encode("ascii") + b"\\n")
"""

    def __init__(self, request: object, reply: object) -> None:
        self._request = json.loads(wire.encode(request))
        words = [sys.executable, "-I", "-S", "-c", self.CODE, wire.encode(reply).decode()]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self.pid = self._process.pid
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._write, self._read = self._process.stdin.fileno(), self._process.stdout.fileno()

    def __enter__(self) -> BarePipe:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def exchange(self) -> float:
        """Time one exchange."""
        return median_time(self._exchange)

    def _exchange(self) -> object:
        text = json.dumps(self._request, separators=(",", ":"))
        os.write(self._write, text.encode("ascii") + b"\n")
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(self._read, 1 << 20)
        return json.loads(line)

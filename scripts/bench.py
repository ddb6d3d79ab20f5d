"""Start and round trip, measured against their floors: `scripts/bench [--help]`.

Every round measures each case once, in turn; a ratio is that of one round's figures, and what is
shown is the median and the quartiles of these ratios. It tells what is met, and never fails for it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import platform
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal
from unittest import mock

from rich.console import Console
from rich.table import Table

from harness import InferenceHandlerSpec
from harness.artifacts.package import open_package
from harness.artifacts.workspace import RunDirectory
from harness.runtime import process, wire
from harness.runtime.launch import Launcher
from harness.runtime.session import Answer, Session
from worker import protocol

ROOT = Path(__file__).parents[1]
PARTS = ("start", "round-trip")
CALLS = 100  # of each kind in a round, whose figure is their median
TIMEOUT_S = 30.0
HANDLER = """
def model_fn(model_dir):
    return None
"""
CALL = protocol.Call(
    id="call",
    function="model_fn",
    arguments=[protocol.Argument(kind="json", json="x" * 1024)],
)


@dataclass(frozen=True)
class Case:
    """What is measured, against which other case, and the ratio that it shall not pass."""

    name: str
    measure: Callable[[], float]
    base: str
    target: float | None = None


@dataclass(frozen=True)
class Row:
    """What came out: seconds, and ratios to the base as median and quartiles."""

    part: str
    name: str
    seconds: float
    ratio: float
    lower: float
    upper: float
    target: float | None
    met: bool | None
    rounds: int


# ---------------------------------------------------------------- start


@contextmanager
def start_cases() -> Iterator[list[Case]]:
    """Give the cases of a worker's start, from nothing to its first line."""
    with ExitStack() as stack:
        auto = stack.enter_context(launcher("auto"))
        bare = stack.enter_context(launcher("process"))
        forks = ForkServer()
        stack.callback(forks.close)
        base = "python -I -S -c pass"
        yield [
            Case(base, start_python, base),
            Case("worker ready", functools.partial(start_worker, auto), base, 4.0),
            Case("load of a no-op handler", functools.partial(load_handler, auto), base),
            Case("ready, no layers", functools.partial(start_worker, bare), base),
            Case(
                "ready, no layers, forked supervisor",
                functools.partial(start_forked, bare, forks),
                base,
            ),
            Case("the launcher that forks, once", start_fork_server, base),
        ]


@contextmanager
def launcher(isolation: Literal["auto", "process"]) -> Iterator[Launcher]:
    """Give a launcher of workers for a package whose one function does nothing."""
    with tempfile.TemporaryDirectory() as folder, RunDirectory() as run:
        Path(folder, "inference.py").write_text(HANDLER)
        spec = InferenceHandlerSpec(
            handler_name="no-op",
            packaged_model_path=folder,
            payload_samples_path=folder,
            timeout_seconds=TIMEOUT_S,
            isolation=isolation,
        )
        yield Launcher(spec, open_package(spec, run), run.path)


def start_python() -> float:
    """Time the floor: an interpreter that does nothing, from its start to its end."""
    begin = time.perf_counter()
    words = [sys.executable, "-I", "-S", "-c", "pass"]
    os.waitpid(os.posix_spawn(sys.executable, words, {}), 0)
    return time.perf_counter() - begin


def start_worker(launcher: Launcher) -> float:
    """Time a worker with its supervisor, from the order to the worker's first line."""
    begin = time.perf_counter()
    with launcher.start():
        return time.perf_counter() - begin


def load_handler(launcher: Launcher) -> float:
    """Time the import of the handler in a worker that is ready."""
    with launcher.start() as session:
        begin = time.perf_counter()
        succeed(launcher.load(session, "load"))
        return time.perf_counter() - begin


def start_forked(launcher: Launcher, forks: ForkServer) -> float:
    """Time the same as start_worker, the supervisor forked from a process that waits for it."""
    with forks.in_place_of_popen():
        return start_worker(launcher)


def start_fork_server() -> float:
    """Time the start of the process that forks, which a lone worker would have to pay as well."""
    begin = time.perf_counter()
    forks = ForkServer()
    elapsed = time.perf_counter() - begin
    forks.close()
    return elapsed


class ForkServer:
    """The other layout, as a prototype: a long-lived process that forks a supervisor a request.

    It has the supervisor's code imported. A request is one byte with the descriptors that a
    supervisor is started with; the answer is the process id.
    """

    CODE = """
import os, socket, sys
import _signal as signal
sys.argv = sys.argv[1:]
spec = {"__name__": "bootstrap", "__file__": sys.argv[0]}
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"), spec)
supervisor = spec["load"]("supervisor")
channel = socket.socket(fileno=int(sys.argv[1]))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
channel.send(b"!")
while True:
    _, given, _, _ = socket.recv_fds(channel, 1, 6)
    if not given:
        break
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        channel.close()
        os.setsid()
        for number, descriptor in enumerate(given[:3]):
            os.dup2(descriptor, number)
            os.close(descriptor)
        try:
            supervisor.main(given[3:])
        finally:
            os._exit(0)
    for descriptor in given:
        os.close(descriptor)
    channel.send(b"%d" % pid)
"""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            words = [sys.executable, "-I", "-S", "-c", self.CODE, process.CHILD]
            self._process = subprocess.Popen(
                [*words, str(theirs.fileno())], pass_fds=[theirs.fileno()], env={}, cwd="/"
            )
        self._channel.recv(1)

    def close(self) -> None:
        """End the process."""
        self._channel.close()
        self._process.wait(TIMEOUT_S)

    @contextmanager
    def in_place_of_popen(self) -> Iterator[None]:
        """Let the runtime start supervisors here; all else of it stays as it is."""
        stand_in = SimpleNamespace(Popen=self.popen, TimeoutExpired=subprocess.TimeoutExpired)
        with mock.patch.object(process, "subprocess", stand_in):
            yield

    def popen(self, _: list[str], **given: Any) -> Forked:
        """Start a supervisor with the descriptors that subprocess.Popen would be given."""
        standard = [given["stdin"], given["stdout"], given["stderr"]]
        socket.send_fds(self._channel, [b"+"], [*standard, *given["pass_fds"]])
        return Forked(int(self._channel.recv(16)))


class Forked:
    """A forked supervisor, with what the runtime asks of a Popen."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._pidfd = -1

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its status is its parent's to know."""
        if self._pidfd >= 0:
            select.select([self._pidfd], [], [], timeout)
            os.close(self._pidfd)
            self._pidfd = -1
        return 0

    def kill(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)


# ---------------------------------------------------------------- round trip


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
            base = f"the same JSON, bare pipe, {place}"
            calls = functools.partial(on, ours, functools.partial(call, session))
            cases += [
                Case(base, functools.partial(on, ours, pipe.exchange), base),
                Case(f"call of 1 KiB, {place}", calls, base, 2.0),
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
    with launcher("auto") as launch, launch.start() as session:
        succeed(launch.load(session, "load"))
        yield session


def call(session: Session) -> float:
    """Time a call, with its deadline and all that is looked at."""
    return median_time(lambda: succeed(session.request(CALL, TIMEOUT_S)))


def median_time(work: Callable[[], object]) -> float:
    """Time some work often, and give the median: others use the cores as well."""
    times = []
    for _ in range(CALLS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def succeed(answer: Answer) -> Any:
    """Give the reply of a request; a bench of a worker that fails is worth nothing."""
    if not isinstance(answer.reply, protocol.Loaded | protocol.Returned):
        raise SystemExit(f"the worker failed: {answer}")
    return answer.reply


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
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
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


# ---------------------------------------------------------------- figures


def measure(part: str, cases: list[Case], rounds: int) -> list[Row]:
    """Measure every case in every round, after one that does not count."""
    times: dict[str, list[float]] = {case.name: [] for case in cases}
    for number in range(rounds + 1):
        for case in cases:
            elapsed = case.measure()
            if number > 0:
                times[case.name].append(elapsed)
    return [row(part, case, times) for case in cases]


def row(part: str, case: Case, times: dict[str, list[float]]) -> Row:
    """Sum up one case."""
    pairs = zip(times[case.name], times[case.base], strict=True)
    ratios = [own / base for own, base in pairs]
    lower, middle, upper = quartiles(ratios)
    return Row(
        part=part,
        name=case.name,
        seconds=statistics.median(times[case.name]),
        ratio=middle,
        lower=lower,
        upper=upper,
        target=case.target,
        met=None if case.target is None else middle <= case.target,
        rounds=len(ratios),
    )


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Give the lower quartile, the median and the upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, middle, upper


# ---------------------------------------------------------------- shown

TITLES = ("what", "time", "ratio", "quartiles", "target", "met")


def cells(row: Row) -> tuple[str, ...]:
    """Give a row's cells, in the order of TITLES."""
    micro = row.seconds * 1e6
    return (
        row.name,
        f"{micro:.0f} us" if micro < 1000 else f"{micro / 1000:.1f} ms",
        f"{row.ratio:.2f}",
        f"{row.lower:.2f} to {row.upper:.2f}",
        "" if row.target is None else f"<= {row.target:g}",
        "" if row.met is None else "yes" if row.met else "no",
    )


def as_table(part: str, rows: list[Row]) -> Table:
    """Make a table of one part for the terminal."""
    rows = [row for row in rows if row.part == part]
    table = Table(title=f"{part}, {rows[0].rounds} rounds", title_justify="left")
    for title in TITLES:
        table.add_column(title, justify="left" if title == "what" else "right")
    for row in rows:
        style = None if row.met is None else "green" if row.met else "bold red"
        table.add_row(*cells(row), style=style)
    return table


def as_document(rows: list[Row]) -> str:
    """Make docs/benchmarks.md."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = f"{cores} shared cores, {platform.system()}, Python {platform.python_version()}"
    lines = [
        "# Benchmarks",
        "",
        f"Measured by `scripts/bench --write` on {machine}.",
        "Read the ratios: a time holds on one machine only. Each round measures every case once,",
        "in turn; a ratio is that of a round's figure to its base, and shown are the median and",
        "the quartiles over the rounds.",
    ]
    for part in PARTS:
        mine = [row for row in rows if row.part == part]
        lines += ["", f"## {part.capitalize()}, {mine[0].rounds} rounds", "", WORDS[part], ""]
        lines += ["| " + " | ".join(TITLES) + " |", "|---" * len(TITLES) + "|"]
        lines += ["| " + " | ".join(cells(row)) + " |" for row in mine]
    return "\n".join(lines) + "\n"


WORDS = {
    "start": """\
`scripts/bench --only start`. A worker is ready when its first line was read; its supervisor, its
private directories and, without "no layers", its control group are made within that time. Landlock
is part of the load. All ratios are to the first row. The forked supervisor is the layout that was
not chosen, as a prototype: a long-lived launcher that has the supervisor's code imported and forks.
It would have to live as long as the tester, and its own start is the last row.""",
    "round-trip": """\
`scripts/bench --only round-trip`. A call has an argument of 1 KiB; its deadline, the strict
validation of the reply, the capture of its log and the measuring of its peak memory, threads and
descriptors are within its time. The floor is `json` on both sides of two pipes and nothing else,
with both processes on the same cores as those of the call. A round has 100 of each, and takes their
median.""",
}


def main() -> None:
    """Measure what the arguments ask for, and print or write it."""
    arguments = parsed()
    rows: list[Row] = []
    for part in [arguments.only] if arguments.only else PARTS:
        given = start_cases() if part == "start" else round_trip_cases()
        with given as cases:
            rows += measure(part, cases, arguments.rounds)
        if not arguments.json:
            Console(highlight=False).print(
                as_table(part, [row for row in rows if row.part == part])
            )
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    if arguments.write:
        path = ROOT / "docs" / "benchmarks.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(as_document(rows))


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="measure one part")
    parser.add_argument("--rounds", type=int, default=40, help="how often (default 40)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if arguments.write and arguments.only:
        parser.error("--write needs both parts; leave out --only")
    return arguments


if __name__ == "__main__":
    main()

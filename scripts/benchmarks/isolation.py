"""How far a limit is passed, how fast a tree is ended, and what each layer costs at start."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from benchmarks.measure import Spread, in_turn, spread
from benchmarks.workers import HANDLER, TIMEOUT_S, launcher, succeed
from harness import Limits
from harness.runtime import cgroups, layers
from harness.runtime.evidence import Answer
from harness.runtime.launch import HandlerLauncher
from harness.runtime.process import CHILD, WorkerProcess, write_all
from harness.runtime.session import SECOND_NET_S
from harness.runtime.template import Template
from harness.runtime.wire import encode
from worker import protocol

NAME = "isolation"
WORDS = """\
`scripts/bench isolation`. How far the memory of a process tree passed a limit of 512 MiB: by the
watchdog alone, and by a control group (`auto`, where one can be had), for the four ways to take
memory of the design. It is what the kernel counted at the most, in a control group that only counts
while the watchdog limits; where none can be had, the watchdog's own figure. The ratio is the whole
peak to the limit.

From the instant of the deadline, or from the order to end it, to the supervisor's word that the
last process is reaped; the stacks of a call that hung are written between deadline and order.

What a layer costs: from the order until the handler is loaded, less the same without the layer; its
ratio is that of the two. `process` is a supervised worker less one that is started plainly, the
others are each one layer above `process`."""

MIB = 1 << 20
LIMIT_MIB = 512
HANG_S = 0.5
BOMB_S = 2.0  # time for 300 forks on cores that others use as well
TREE = 20
BOMB = 300

PIECES = "[b'x' * (16 << 20) for _ in range(192)]"
POPULATED = "[mmap.mmap(-1, 256 << 20, flags=0x8022) for _ in range(12)]"  # MAP_POPULATE
FORKS = "[os.fork() or hold(750 << 20) for _ in range(4)] and os.wait()"
AT_ONCE = "b'x' * (3 << 30)"
ALLOCATORS = {
    "pieces of 16 MiB": PIECES,
    "256 MiB populated at once": POPULATED,
    "four forks": FORKS,
    "one object of 3 GiB": AT_ONCE,
}
TAKES = """
import mmap, os, time
def hold(size):
    data = b"x" * size
    time.sleep(30)
    os._exit(len(data) % 2)
def model_fn(model_dir):
    return len({expression})
"""
HANGS = """
import os, signal
def model_fn(model_dir):
    signal.alarm(30)
    for _ in range({children}):
        if os.fork() == 0:
            signal.alarm(30)
            break
    while True:
        signal.pause()
"""
# The floor: what the kernel needs for as many processes that a parent knows and nobody looks for.
# They have imported what a worker has.
PLAIN_FORKS = """
import binascii, io, json, os, signal, time, traceback
awake, tell = os.pipe()
children = []
for _ in range({children}):
    children.append(os.fork())
    if not children[-1]:
        signal.alarm(30)
        os.write(tell, b".")
        while True:
            signal.pause()
for _ in children:
    os.read(awake, 1)
begin = time.perf_counter()
for child in children:
    os.kill(child, signal.SIGKILL)
for child in children:
    os.waitpid(child, 0)
print((time.perf_counter() - begin) * 1000)
"""
# Forks in every process; none is left after 30 s.
BOMBS = """
import os, signal
tokens, more = os.pipe()
def model_fn(model_dir):
    os.write(more, b"." * {children})
    os.set_blocking(tokens, False)
    signal.alarm(30)
    try:
        while os.read(tokens, 1):
            os.fork()
            signal.alarm(30)
    except BlockingIOError:
        signal.pause()
"""
CALL = protocol.Call(
    id="call", function="model_fn", arguments=[protocol.Argument(kind="json", json="model")]
)


def run(rounds: int) -> list[Spread]:
    """Measure all of it, every case in every round."""
    return [*overshoots(rounds), *endings(rounds), *costs(rounds)]


# ---------------------------------------------------------------- memory


class Counting(HandlerLauncher):
    """Starts workers whose memory a control group counts and does not limit, where there is one."""

    def _group(self, template: Template | None) -> cgroups.Group | None:
        if not layers.cgroup().works:
            return None
        return cgroups.Group(cgroups.find(), memory_bytes=None, max_processes=1024)


def overshoots(rounds: int) -> list[Spread]:
    """Measure how far each way to take memory passes the limit, in MiB."""
    with ExitStack() as stack:
        cases: dict[str, Callable[[], float]] = {}
        watchdog = []
        for name, expression in ALLOCATORS.items():
            handler = TAKES.format(expression=expression)
            enter = partial(
                launcher, handler=handler, limits=Limits(memory_limit_mb=LIMIT_MIB), network=True
            )
            by = f"{name}, by the watchdog"
            watchdog.append(by)
            cases[by] = partial(overshoot, stack.enter_context(enter("process", kind=Counting)))
            if layers.cgroup().works:
                limited = stack.enter_context(enter("auto"))
                cases[f"{name}, by a control group"] = partial(overshoot, limited)
        found = in_turn(cases, rounds)
    return [
        spread(
            NAME,
            f"over the limit: {name}",
            values,
            unit="MiB",
            ratio=1 + median(values) / LIMIT_MIB,
            target=32 if name in watchdog else 0,
            target_worst=64 if name in watchdog else 0,
        )
        for name, values in found.items()
    ]


def overshoot(launch: HandlerLauncher) -> float:
    """Take memory until the worker is ended for it; give the MiB beyond the limit."""
    answer = called(launch, TIMEOUT_S)
    ending = answer.ending
    if ending is None or ending.cause != "memory" or answer.peak_memory_bytes is None:
        raise SystemExit(f"the limit did not end the worker: {answer}")
    return answer.peak_memory_bytes / MIB - LIMIT_MIB


def called(launch: HandlerLauncher, timeout_s: float) -> Answer:
    """Call model_fn of a fresh worker."""
    with launch.start() as session:
        succeed(launch.load(session, "load"))
        return session.request(CALL, timeout_s)


# ---------------------------------------------------------------- the end


def endings(rounds: int) -> list[Spread]:
    """Measure how long the end of a tree takes, in ms."""
    tree, bomb = HANGS.format(children=TREE - 1), BOMBS.format(children=BOMB)
    with launcher("process", tree) as few, launcher("process", bomb) as many:
        found = in_turn(
            {
                "plain tree": partial(plainly_ended, TREE),
                "tree": partial(ended, few, HANG_S, TREE, from_deadline=True),
                "plain bomb": partial(plainly_ended, BOMB),
                "bomb": partial(ended, many, BOMB_S, BOMB, from_deadline=False),
            },
            rounds,
        )

    def ratio(name: str) -> float:
        return median(found[name]) / median(found[f"plain {name}"])

    return [
        spread(NAME, f"{TREE} forks killed and reaped plainly", found["plain tree"], unit="ms"),
        spread(
            NAME,
            f"deadline to {TREE} processes reaped",
            found["tree"],
            unit="ms",
            ratio=ratio("tree"),
            target=10,
        ),
        spread(NAME, f"{BOMB} forks killed and reaped plainly", found["plain bomb"], unit="ms"),
        spread(
            NAME,
            f"order to {BOMB} processes reaped",
            found["bomb"],
            unit="ms",
            ratio=ratio("bomb"),
            target_worst=100,
        ),
    ]


def plainly_ended(processes: int) -> float:
    """Kill and reap idle forks of an interpreter, known by their ids; give the ms."""
    words = [sys.executable, "-I", "-S", "-c", PLAIN_FORKS.format(children=processes)]
    return float(subprocess.run(words, capture_output=True, check=True, timeout=TIMEOUT_S).stdout)


def ended(
    launch: HandlerLauncher, timeout_s: float, processes: int, *, from_deadline: bool
) -> float:
    """Let a tree hang until its deadline; give the ms from that, or from the order, to its end."""
    with instants() as at:
        answer = called(launch, timeout_s)
    ending = answer.ending
    if ending is None or ending.cause != "timeout" or ending.left:
        raise SystemExit(f"the tree was not ended at its deadline: {answer}")
    if ending.swept < processes - 1:
        raise SystemExit(f"the tree had {ending.swept} processes beside the worker: {answer}")
    return (at["closed"] - at["deadline" if from_deadline else "ordered"]) * 1000


@contextmanager
def instants() -> Iterator[dict[str, float]]:
    """Note when the deadline is, when the end is ordered and when it has been reported.

    The session gives a worker's descriptors back as soon as it has the supervisor's report.
    """
    at: dict[str, float] = {}
    plain = {name: getattr(WorkerProcess, name) for name in ("set_deadline", "kill", "close")}

    def set_deadline(worker: WorkerProcess, instant: float) -> None:
        at["deadline"] = instant - SECOND_NET_S
        plain["set_deadline"](worker, instant)

    def kill(worker: WorkerProcess) -> None:
        at["ordered"] = time.monotonic()
        plain["kill"](worker)

    def close(worker: WorkerProcess) -> int | None:
        at["closed"] = time.monotonic()
        return plain["close"](worker)  # type: ignore[no-any-return]

    with mock.patch.multiple(WorkerProcess, set_deadline=set_deadline, kill=kill, close=close):
        yield at


# ---------------------------------------------------------------- cost


def costs(rounds: int) -> list[Spread]:
    """Measure what each layer that works here adds to the start of a worker, in ms."""
    with ExitStack() as stack:
        process = stack.enter_context(launcher("process"))
        cases: dict[str, Callable[[], float]] = {
            "plain": stack.enter_context(plain_worker()),
            "process": partial(loaded, process),
        }
        for layer, probe in layers.PROBES.items():
            if probe().works:
                launch = stack.enter_context(launcher("process"))
                launch.plan = layers.Plan("auto", (probe(),), ())
                cases[layer] = partial(loaded, launch)
        found = in_turn(cases, rounds)
    return [
        cost(layer, found[layer], found["plain" if layer == "process" else "process"])
        for layer in cases
        if layer != "plain"
    ]


def cost(layer: str, own: list[float], base: list[float]) -> Spread:
    """Sum up what a layer adds: differences of one round's times."""
    added = [(with_it - without) * 1000 for with_it, without in zip(own, base, strict=True)]
    ratio = median(with_it / without for with_it, without in zip(own, base, strict=True))
    return spread(NAME, f"cost at start: {layer}", added, unit="ms", ratio=ratio, target=5)


def loaded(launch: HandlerLauncher) -> float:
    """Time a worker, from the order until it has loaded the handler."""
    begin = time.perf_counter()
    with launch.start() as session:
        succeed(launch.load(session, "load"))
        return time.perf_counter() - begin


@contextmanager
def plain_worker() -> Iterator[Callable[[], float]]:
    """Give the time of a worker without a supervisor, until the handler is loaded."""
    with TemporaryDirectory() as folder:
        Path(folder, "inference.py").write_text(HANDLER)
        load = protocol.Load(
            id="load",
            module="inference",
            model_dir=folder,
            sys_path=[folder],
            handler_roots=[folder],
            cloudpickle_dir=folder,
        )
        yield partial(plainly_loaded, encode(load), folder)


def plainly_loaded(load: bytes, folder: str) -> float:
    """Time one such worker: its greeting is read, the handler loaded, and the answer read."""
    begin = time.perf_counter()
    words: list[Any] = [sys.executable, "-s", "-S", CHILD, "serve"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, cwd=folder, env={}, bufsize=0, **pipes) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        ready = line_of(worker.stdout.fileno())
        write_all(worker.stdin.fileno(), load)
        answer = line_of(worker.stdout.fileno())
        elapsed = time.perf_counter() - begin
        if b'"loaded"' not in answer:
            raise SystemExit(f"the plain worker failed: {ready!r} {answer!r}")
    return elapsed


def line_of(descriptor: int) -> bytes:
    """Read one line."""
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([descriptor], [], [], TIMEOUT_S)[0]:
            raise SystemExit("the plain worker does not answer")
        part = os.read(descriptor, 65536)
        if not part:
            return line
        line += part
    return line

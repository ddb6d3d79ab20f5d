"""What else starts a process and calls a function in it, without limits or isolation."""

from __future__ import annotations

import concurrent.futures
import functools
import importlib
import importlib.util
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from benchmarks.measure import Case, Ratio, ratios
from benchmarks.round_trip import call, loaded_worker
from benchmarks.start import start_worker
from benchmarks.workers import launcher

NAME = "peers"
WORDS = """\
`scripts/bench peers`. First until a fresh process has given its first result, then for one call
with 1 KiB in a process that stands, unpinned. Nothing but the first row of each limits memory, ends
a tree or isolates anything. loky, pebble and execnet are measured where they are installed (extra
`bench`). What spawns does not import this bench again."""
BODY = "x" * 1024
CALLS = 50
Call = Callable[[], object]


def run(rounds: int) -> list[Ratio]:
    """Measure every peer in every round."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(vars(sys.modules["__main__"]), clear=False))
        vars(sys.modules["__main__"]).pop("__file__", None)
        return ratios(NAME, [*starts(stack), *calls(stack)], rounds)


def starts(stack: ExitStack) -> Iterator[Case]:
    """Give the cases of a start, from nothing to the first result."""
    base = "start: our worker"
    own = stack.enter_context(launcher("auto"))
    yield Case(base, functools.partial(start_worker, own), base)
    for name, peer in PEERS.items():
        if peer is not None:
            yield Case(f"start: {name}", functools.partial(timed_start, peer), base)
    yield Case("start: subprocess.run", timed(process_per_call), base)


def calls(stack: ExitStack) -> Iterator[Case]:
    """Give the cases of a call, in a process that stands."""
    base = "call: our worker"
    own = stack.enter_context(loaded_worker())
    yield Case(base, timed(functools.partial(call, own), CALLS), base)
    for name, peer in PEERS.items():
        if peer is not None:
            again = stack.enter_context(peer())
            again()
            yield Case(f"call: {name}", timed(again, CALLS), base)
    yield Case("call: subprocess.run", timed(process_per_call), base)


def timed_start(peer: Callable[[], Any]) -> float:
    """Time a peer from nothing to its first result."""
    begin = time.perf_counter()
    with peer() as first:
        first()
        return time.perf_counter() - begin


def timed(work: Call, count: int = 1) -> Callable[[], float]:
    """Make a measurement of a call: the mean of so many."""

    def measured() -> float:
        begin = time.perf_counter()
        for _ in range(count):
            work()
        return (time.perf_counter() - begin) / count

    return measured


def process_per_call() -> None:
    """Start an interpreter for one call."""
    words = [sys.executable, "-c", "import sys; sys.stdout.write(sys.stdin.read())"]
    subprocess.run(words, input=BODY, text=True, capture_output=True, check=True)


@contextmanager
def futures(method: str) -> Iterator[Call]:
    """Give a call in concurrent.futures, with processes started by a method."""
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        yield lambda: pool.submit(str, BODY).result()


@contextmanager
def pool(method: str) -> Iterator[Call]:
    """Give a call in multiprocessing.Pool."""
    with multiprocessing.get_context(method).Pool(1) as made:
        yield lambda: made.apply(str, (BODY,))


@contextmanager
def loky() -> Iterator[Call]:
    """Give a call in a loky executor."""
    made = importlib.import_module("loky").ProcessPoolExecutor(1)
    try:
        yield lambda: made.submit(str, BODY).result()
    finally:
        made.shutdown(kill_workers=True)


@contextmanager
def pebble() -> Iterator[Call]:
    """Give a call in a pebble pool, with a timeout."""
    context = multiprocessing.get_context("spawn")
    with importlib.import_module("pebble").ProcessPool(1, context=context) as made:
        yield lambda: made.schedule(str, args=[BODY], timeout=30).result()


@contextmanager
def execnet() -> Iterator[Call]:
    """Give a call over an execnet channel."""
    library = importlib.import_module("execnet")
    group = library.Group(["popen"])
    channel = group[0].remote_exec("for item in channel: channel.send(item)")

    def one() -> None:
        channel.send(BODY)
        channel.receive(30)

    try:
        yield one
    finally:
        group.terminate(timeout=5)


def _if_installed(name: str, peer: Callable[[], Any]) -> Callable[[], Any] | None:
    return peer if importlib.util.find_spec(name) is not None else None


PEERS: dict[str, Callable[[], Any] | None] = {
    "multiprocessing, spawn": functools.partial(pool, "spawn"),
    "multiprocessing, forkserver": functools.partial(pool, "forkserver"),
    "concurrent.futures, spawn": functools.partial(futures, "spawn"),
    "loky": _if_installed("loky", loky),
    "pebble": _if_installed("pebble", pebble),
    "execnet": _if_installed("execnet", execnet),
}

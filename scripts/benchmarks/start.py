"""A worker's start, from nothing to its first line, against a bare interpreter's."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.measure import Case, Latest, Ratio, ratios
from benchmarks.workers import HANDLER, launcher, succeed
from harness.runtime.launch import HandlerLauncher, Launcher
from harness.runtime.process import CHILD
from harness.runtime.templates import Templates

NAME = "start"
WORDS = """\
`scripts/bench start`. A worker is ready when its first line was read; its supervisor, its
private directories and, without "no layers", its control group are made within that time. Alone, it
has none of these. Landlock is part of the load. A warm worker is forked of a template that stands,
ahead of the order where there was time."""
IMPORT = "import numpy, pandas, joblib\nfrom sklearn import ensemble\n"


def run(rounds: int) -> list[Ratio]:
    """Measure every case in every round."""
    with start_cases() as cases:
        return ratios(NAME, cases, rounds)


@contextmanager
def start_cases() -> Iterator[list[Case]]:
    """Give the cases of a worker's start, from nothing to its first line."""
    imported = "import of scikit-learn"
    with ExitStack() as stack:
        auto = stack.enter_context(launcher("auto"))
        bare = stack.enter_context(launcher("process"))
        templates = stack.enter_context(Templates(eager=True))
        kept: dict[str, Any] = {"templates": templates, "start": "warm"}
        warm = stack.enter_context(launcher("auto", **kept))
        learned = stack.enter_context(launcher("auto", IMPORT + HANDLER, **kept))
        base = "python -I -S -c pass"
        forked = Latest(functools.partial(start_worker, learned))
        yield [
            Case(base, start_python, base),
            Case("a worker alone", start_alone, base, 2.0),
            Case("worker ready", functools.partial(start_worker, auto), base, 3.0),
            Case("load of a no-op handler", functools.partial(load_handler, auto), base),
            Case("ready, no layers", functools.partial(start_worker, bare), base),
            Case("ready, warm", functools.partial(start_worker, warm), base, 1.5),
            Case("ready, warm, scikit-learn imported", forked.measure, base, 1.5),
            Case(imported, import_sklearn, imported),
            Case("ready, warm, to the import", forked.again, imported, 1 / 100),
        ]


def start_python() -> float:
    """Time the floor: an interpreter that does nothing, from its start to its end."""
    begin = time.perf_counter()
    words = [sys.executable, "-I", "-S", "-c", "pass"]
    os.waitpid(os.posix_spawn(sys.executable, words, {}), 0)
    return time.perf_counter() - begin


def start_alone() -> float:
    """Time a worker that nobody supervises or limits, to its first line."""
    begin = time.perf_counter()
    words = [sys.executable, "-s", "-S", CHILD, "serve"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdout.readline()
        elapsed = time.perf_counter() - begin
        worker.stdin.close()
    return elapsed


def import_sklearn() -> float:
    """Time what a fresh worker's handler would have to import."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORT], check=True)
    return time.perf_counter() - begin


def start_worker(launcher: Launcher) -> float:
    """Time a worker with its supervisor, from the order to the worker's first line."""
    begin = time.perf_counter()
    with launcher.start():
        return time.perf_counter() - begin


def load_handler(launcher: HandlerLauncher) -> float:
    """Time the import of the handler in a worker that is ready."""
    with launcher.start() as session:
        begin = time.perf_counter()
        succeed(launcher.load(session, "load"))
        return time.perf_counter() - begin

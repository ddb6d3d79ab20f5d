"""What a process of the tester loads before it tests one handler, against pydantic alone."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.batch import BODY, HANDLER
from benchmarks.measure import Case, Ratio, ratios

NAME = "load"
WORDS = """\
`scripts/bench load`. A process that loads what is named and ends, from compiled files, as they are
where handlerproof is installed. "One handler tested" is the command as one gives it, for a handler
that does nothing: what is loaded, the layers of isolation tried, a fresh worker, the report. The
floor loads pydantic, which every spec and result is made of; that of the plugin loads pytest, which
loads the plugin in every run."""
COMMAND = "import sys; from harness.cli import main; main(sys.argv[1:])"


def run(rounds: int) -> list[Ratio]:
    """Measure every case in every round."""
    with load_cases() as cases:
        for case in cases:
            case.measure()  # what was not compiled yet is now
        return ratios(NAME, cases, rounds)


@contextmanager
def load_cases() -> Iterator[list[Case]]:
    """Give the cases of a process that loads."""
    with tempfile.TemporaryDirectory() as compiled, tempfile.TemporaryDirectory() as package:
        Path(package, "inference.py").write_text(HANDLER)
        Path(package, "payloads").mkdir()
        Path(package, "payloads", "one.csv").write_text(BODY)
        code = functools.partial(load, compiled)
        command = functools.partial(load, compiled, COMMAND)
        test = functools.partial(command, "run", package, "--payloads", f"{package}/payloads")
        floor, tests = "import pydantic", "import pytest"
        yield [
            Case(floor, lambda: code("from pydantic import BaseModel"), floor),
            Case("a tester", lambda: code("from harness import RuntimeTester"), floor),
            Case("handlerproof --help", lambda: command("--help"), floor),
            Case("handlerproof run --help", lambda: command("run", "--help"), floor),
            Case("one handler tested", test, floor),
            Case("handlerproof batch --help", lambda: command("batch", "--help"), floor),
            Case(tests, lambda: code("import pytest"), tests),
            Case("with the plugin", lambda: code("import harness.pytest_plugin"), tests),
        ]


def load(compiled: str, code: str, *arguments: str) -> float:
    """Time a process that runs the code, from its start to its end."""
    variables = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "PYTHONPYCACHEPREFIX": compiled,
    }
    begin = time.perf_counter()
    words = [sys.executable, "-c", code, *arguments]
    subprocess.run(words, env=variables, check=True, capture_output=True)
    return time.perf_counter() - begin

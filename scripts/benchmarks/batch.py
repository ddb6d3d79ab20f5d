"""A batch of handlers that do nothing: what is left is the harness, against three floors."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.lanes import Lanes
from benchmarks.measure import Case, Latest, Ratio, ratios
from benchmarks.start import start_python, start_worker
from benchmarks.workers import launcher
from harness import InferenceHandlerSpec, RuntimeTester
from harness.runtime.launch import Launcher

NAME = "batch"
HANDLERS = 100
SAMPLES = 10
AT_ONCE = 2
STARTS = 20  # timed for the fresh starts of all
BY_HAND = 4  # handlers tested with a process per call, for all
WORDS = f"""\
`scripts/bench batch`. {HANDLERS} handlers whose functions do nothing, {SAMPLES} samples and one
accept type each, {AT_ONCE} at a time, isolation `auto`: {3 * SAMPLES + 1} calls a handler, from
the specs to the results, packages and payloads included. As it comes, with start `auto`, and with
every worker fresh, it is held to as many starts of our own fresh worker, shared by {AT_ONCE}
cores; with every worker warm, to as many interpreters that do nothing; all to `subprocess.run` for
each call. "Its workers and calls alone" are what isolation takes of the warm batch: as many warm
workers, {AT_ONCE} at a time, load the handler and are asked for the same calls, but no package is
opened, nothing is judged, and there are no results. "Packages opened and results made" is the
least that a tester adds: each package in a run directory of its own, and a result like that of a
test, which is known before, made anew and brought home; still nothing is planned, judged or
diagnosed. The first worker of a batch as it comes is fresh: a template pays from the second on.
The starts are {STARTS} in a row, the processes per call those of {BY_HAND} handlers, {AT_ONCE} at
a time; both are scaled."""
HANDLER = """
def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return prediction
"""
CALLER = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
function = getattr(importlib.import_module("inference"), sys.argv[2])
print(json.dumps(function(*json.load(sys.stdin))))
"""
BODY = "1,2"
CALLS = {
    "model_fn": [""],
    "input_fn": [BODY, "text/csv"],
    "predict_fn": [BODY, None],
    "output_fn": [BODY, "text/csv"],
}


def run(rounds: int) -> list[Ratio]:
    """Measure every case in every round; a tenth of the rounds, for each takes seconds."""
    with batch_cases() as cases:
        return ratios(NAME, cases, max(1, rounds // 10))


@contextmanager
def batch_cases() -> Iterator[list[Case]]:
    """Give the batches and what each is held to."""
    starts = f"{HANDLERS} starts of our fresh worker / {AT_ONCE}"
    floor = f"{HANDLERS} x python -I -S -c pass"
    by_hand = "a process per function call"
    with ExitStack() as stack:
        fresh = stack.enter_context(launcher("auto"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        specs = {start: [spec_of(folder, n, start) for n in range(HANDLERS)] for start in STARTED}
        each = functools.partial(
            Lanes, HANDLER, lanes=AT_ONCE, workers=HANDLERS // AT_ONCE, samples=SAMPLES, body=BODY
        )
        alone = stack.enter_context(each())
        like = RuntimeTester().test_inference_handler(specs["fresh"][0])
        least = stack.enter_context(each(specs=specs["warm"], result=like))
        usual, first, second = (Latest(functools.partial(batch, specs[start])) for start in STARTED)
        yield [
            Case(starts, functools.partial(fresh_starts, fresh), starts),
            Case("the batch, as it comes", usual.measure, starts, 1.3),
            Case("the batch, fresh workers", first.measure, starts, 1.3),
            Case(floor, bare_starts, floor),
            Case("the batch, warm workers", second.measure, floor, 2.0),
            Case("its workers and calls alone", alone.measure, floor),
            Case("the same, packages opened and results made", least.measure, floor),
            Case(by_hand, functools.partial(process_per_call, folder), by_hand),
            Case("the batch, as it comes, to a process per call", usual.again, by_hand, 1 / 20),
            Case("the batch, fresh, to a process per call", first.again, by_hand, 1 / 20),
            Case("the batch, warm, to a process per call", second.again, by_hand, 1 / 20),
        ]


STARTED = ("auto", "fresh", "warm")


def spec_of(folder: Path, number: int, start: str) -> InferenceHandlerSpec:
    """Make a package and its spec."""
    package = folder / f"handler-{number}"
    package.mkdir(exist_ok=True)
    (package / "inference.py").write_text(HANDLER)
    samples = [
        {"sample_name": f"sample {n}", "content_type": "text/csv", "request_body": BODY}
        for n in range(SAMPLES)
    ]
    return InferenceHandlerSpec.model_validate(
        {
            "handler_name": package.name,
            "packaged_model_path": str(package),
            "test_data_samples": samples,
            "supported_accept_types": ["text/csv"],
            "start": start,
        }
    )


def batch(specs: list[InferenceHandlerSpec]) -> float:
    """Time a batch, from its specs to its result."""
    begin = time.perf_counter()
    result = RuntimeTester().run_batch(specs, jobs=AT_ONCE)
    elapsed = time.perf_counter() - begin
    failed = [entry.result.errors for entry in result.entries if not entry.success]
    if failed:
        raise SystemExit(f"a handler failed: {failed[0]}")
    return elapsed


def fresh_starts(fresh: Launcher) -> float:
    """Time some starts in a row; give what all of them take on both cores."""
    return sum(start_worker(fresh) for _ in range(STARTS)) / STARTS * HANDLERS / AT_ONCE


def bare_starts() -> float:
    """Time interpreters that do nothing, so many at a time."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(start_python) for _ in range(HANDLERS)]:
            done.result()
    return time.perf_counter() - begin


def process_per_call(folder: Path) -> float:
    """Time a subprocess for each call of some handlers; give what all of them take."""
    calls = ["model_fn", *(name for name in CALLS if name != "model_fn" for _ in range(SAMPLES))]
    begin = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        package = str(folder / "handler-0")
        for done in [pool.submit(one_call, package, name) for name in calls * BY_HAND]:
            done.result()
    return (time.perf_counter() - begin) / BY_HAND * HANDLERS


def one_call(package: str, function: str) -> None:
    """Call one function in a process of its own, as one does by hand."""
    words = [sys.executable, "-c", CALLER, package, function]
    given = json.dumps(CALLS[function])
    subprocess.run(words, input=given, text=True, capture_output=True, check=True, timeout=30)

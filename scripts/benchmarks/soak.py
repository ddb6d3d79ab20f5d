"""Thousands of workers, a quarter of them hostile: the same verdicts each time, and nothing left.

Unlike the other parts it is a check: a fault of ours that it finds is one, however rare.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import Spread, spread
from harness import InferenceHandlerSpec, InferenceTestResult, Limits, RuntimeTester
from harness.runtime import cgroups, layers

NAME, WARM = "soak", "soak-warm"
ABOUT = """\
`scripts/bench {part} --workers 2000`. Each worker is a test of its own through one `RuntimeTester`,
four at a time; a quarter of them are hostile, in turn by each of the kinds. It fails, with exit
code 1, when a verdict is not that of the table of faults, when a process, a descriptor, a run
directory or a control group is left, or when the tester's memory has moved by more than 5 % from
what it was after the first tenth. Times are those of a whole test, with three others at its side;
the last row's ratio is of the memory at the end to that after the first tenth. The four threads are
renewed every 100 tests: what the C library keeps for a thread grows with its age."""
FORKED = """ Workers are
forked of the templates of the tester's `with` block, and one that was started fresh is a fault."""
WORDS = {NAME: ABOUT.format(part=NAME), WARM: ABOUT.format(part=WARM) + FORKED}

FAULTY = Path(__file__).parents[2] / "tests" / "handlers" / "faulty"
PARALLEL = 4
TESTS_OF_THREADS = 100
HOSTILE_SHARE = 4  # one of so many is
WARM_UP_SHARE = 10
MEMORY_SHARE = 0.05
LEFT_WAIT_S = 10.0
MIB = 1 << 20
GOOD = """
def model_fn(model_dir):
    return 2.0
def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]
def predict_fn(data, model):
    return model * sum(data)
def output_fn(prediction, accept):
    return str(prediction)
"""
Verdict = tuple[str, ...]
PASSED: Verdict = ("passed",) * 4


@dataclass(frozen=True)
class Kind:
    """A kind of handler, how it is run, and the outcomes of its four functions."""

    name: str
    file: str | None
    verdict: Verdict
    environ: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)


def fails(outcome: str) -> Verdict:
    """Give the outcomes where predict_fn has this one."""
    return ("passed", "passed", outcome, "skipped")


def dies(death: str) -> dict[str, str]:
    """Give the environment of the handler that dies in predict_fn."""
    return {"DEATH": death, "MOMENT": "call"}


QUIET = Kind("good", None, PASSED)
HOSTILE = (
    Kind("hangs", "sleeps", fails("timed_out"), limits={"timeout_seconds": 2}),
    Kind("crashes", "deaths", fails("crashed"), dies("SIGSEGV")),
    Kind("exits", "deaths", fails("exited"), dies("os._exit(0)")),
    Kind("takes memory", "memory_grows", fails("memory_exceeded"), limits={"memory_limit_mb": 200}),
    Kind("floods", "floods_stderr", fails("output_exceeded"), limits={"max_output_bytes": 10**6}),
    Kind("forks, and leaves a daemon", "leaves_daemon", PASSED),
)
# Every kind has to be met before the memory that counts is taken.
FEWEST = WARM_UP_SHARE * HOSTILE_SHARE * len(HOSTILE)


@dataclass(frozen=True, slots=True)
class Run:
    """One test: what kind, how it ended and how long it took."""

    kind: Kind
    verdict: Verdict
    seconds: float


def run(workers: int, start: str = "fresh") -> tuple[list[Spread], list[str]]:
    """Run so many workers; give the figures, and what is wrong in words.

    The first tenth has a tester of its own, so that none is kept when descriptors are counted.
    """
    with tempfile.TemporaryDirectory() as folder:
        specs = {
            kind.name: spec_of(kind, Path(folder, kind.name), start) for kind in (QUIET, *HOSTILE)
        }
        workspace = Path(folder, "workspace")
        workspace.mkdir()
        kinds = [kind_of(number) for number in range(workers)]
        first = workers // WARM_UP_SHARE
        with RuntimeTester(workspace) as tester:
            runs = run_all(tester, specs, kinds[:first])
        before, descriptors = resident(), psutil.Process().num_fds()
        with RuntimeTester(workspace) as tester:
            runs += run_all(tester, specs, kinds[first:])
        after = resident()
        wrong = [*wrong_verdicts(runs), *left_behind(workspace, descriptors)]
    if abs(after - before) > MEMORY_SHARE * before:
        wrong.append(f"the tester's memory went from {before / MIB:.1f} to {after / MIB:.1f} MiB")
    part = WARM if start == "warm" else NAME
    return [replace(row, part=part) for row in figures(runs, before, after)], wrong


def kind_of(number: int) -> Kind:
    """Give the kind of a worker: a quarter is hostile, in turn of each kind."""
    turn, rest = divmod(number, HOSTILE_SHARE)
    return QUIET if rest else HOSTILE[turn % len(HOSTILE)]


def spec_of(kind: Kind, package: Path, start: str) -> InferenceHandlerSpec:
    """Make the package and the spec of a kind."""
    package.mkdir()
    text = GOOD if kind.file is None else (FAULTY / f"{kind.file}.py").read_text()
    (package / "inference.py").write_text(text)
    sample = {"sample_name": "row", "content_type": "text/csv", "request_body": "1,2"}
    return InferenceHandlerSpec(
        handler_name=kind.name,
        packaged_model_path=str(package),
        test_data_samples=[sample],
        supported_accept_types=["application/json"],
        environ_vars=dict(kind.environ),
        limits=Limits(**{"timeout_seconds": 60, **kind.limits}),
        start=start,
    )


def run_all(
    tester: RuntimeTester, specs: dict[str, InferenceHandlerSpec], kinds: list[Kind]
) -> list[Run]:
    """Run them, four at a time. Little is kept of each: the memory shall be the tester's.

    The C library keeps memory for each thread, which grows as long as the thread lives: 2 KiB a
    test. So the threads are renewed, and the memory that is left is the tester's.
    """
    runs: list[Run] = []
    for begin in range(0, len(kinds), TESTS_OF_THREADS):
        with ThreadPoolExecutor(PARALLEL) as pool:
            some = kinds[begin : begin + TESTS_OF_THREADS]
            runs += pool.map(lambda kind: one_run(tester, specs[kind.name], kind), some)
    return runs


def one_run(tester: RuntimeTester, spec: InferenceHandlerSpec, kind: Kind) -> Run:
    """Run one test."""
    begin = time.perf_counter()
    result = tester.test_inference_handler(spec)
    seconds = time.perf_counter() - begin
    verdict = verdict_of(result)
    if result.environment is not None and result.environment.start != spec.start:
        verdict = (f"{result.environment.start}: {result.environment.start_reason}",)
    return Run(kind, kind.verdict if verdict == kind.verdict else verdict, seconds)


def verdict_of(result: InferenceTestResult) -> Verdict:
    """Give the outcomes of the four functions."""
    stages = (result.input_fn_results, result.predict_fn_results, result.output_fn_results)
    rows = [result.model_fn_result, *(rows[0] for rows in stages)]
    return tuple(row.outcome.value for row in rows)


def resident() -> int:
    """Give the tester's own memory, when what nobody uses is collected."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def wrong_verdicts(runs: list[Run]) -> list[str]:
    """Say which verdicts were not those of their kind."""
    return [
        f"{run.kind.name}: {run.verdict}, and not {run.kind.verdict}"
        for run in runs
        if run.verdict != run.kind.verdict
    ]


def left_behind(workspace: Path, descriptors: int) -> list[str]:
    """Say what is left; what the kernel is still taking apart is given a moment."""
    give_up = time.monotonic() + LEFT_WAIT_S
    while found := list(belongings(workspace, descriptors)):
        if time.monotonic() > give_up:
            break
        gc.collect()
    return found


def belongings(workspace: Path, descriptors: int) -> Iterator[str]:
    """List processes, descriptors, run directories and control groups that should be gone."""
    children = psutil.Process().children(recursive=True)
    yield from (f"left: process {child.pid}" for child in children)
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if any(str(workspace) in value for value in process.environ().values()):
                yield f"left: process {process.pid}, nobody's child"
    count = psutil.Process().num_fds()
    if count != descriptors:
        yield f"left: {descriptors} descriptors after the warm-up, {count} at the end"
    yield from (f"left: {path}" for path in workspace.iterdir())
    if layers.cgroup().works:
        place = cgroups.find()
        for folder in {place.memory, place.pids or place.memory}:
            yield from (f"left: {path}" for path in folder.glob(f"handlerproof-{os.getpid()}-*"))


def figures(runs: list[Run], before: int, after: int) -> list[Spread]:
    """Give a row for each kind, with its share of right verdicts, and one for the memory."""
    rows = []
    for kind in (QUIET, *HOSTILE):
        mine = [run for run in runs if run.kind is kind]
        right = sum(run.verdict == kind.verdict for run in mine)
        name = f"{kind.name}: {right} of {len(mine)} verdicts right"
        rows.append(spread(NAME, name, [run.seconds * 1000 for run in mine], unit="ms"))
    held = abs(after - before) <= MEMORY_SHARE * before
    memory = spread(NAME, "tester's memory at the end", [after / MIB], unit="MiB")
    return [*rows, replace(memory, ratio=after / before, met=held)]

"""What a test costs as it grows: samples, accept types, handlers, payloads, packages, models."""

from __future__ import annotations

import functools
import gzip
import os
import shutil
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.measure import Spread, in_turn, spread
from harness import InferenceHandlerSpec, InferenceTestResult, Limits, RuntimeTester

NAME = "growth"
WORDS = """\
`scripts/bench growth`. Whole tests on fresh workers, isolation `auto`, from the spec to the result.
A slope goes from the smallest size to the largest; its ratio is that of the last step's slope to
that of what lies before it, so 1 is linear. One more sample is one more request, a sample with one
accept type; one more accept type is ten. A result's size is that of its JSON for each request. A
package is a model.tar.gz that gzip makes little smaller; "again" is its second test within
`with RuntimeTester()`, on a copy of what the first unpacked. Packages that would need more than a
quarter of the free disk are left out."""
HANDLER = """
import os

def model_fn(model_dir):
    return bytearray(os.urandom(1 << 20) * int(os.environ.get("MODEL_MIB", "1")))

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    return len(data)

def output_fn(prediction, accept):
    return str(prediction), accept
"""
TYPE = "text/csv"
MIB = 1 << 20
LINEAR = 1.5
RESULT_KB = 10.0
NO_CAP = {"MMS_MAX_REQUEST_SIZE": "1000000000"}
SHARE_OF_DISK = 4
TIMES_ON_DISK = 3  # the archive, its tree, a copy


@dataclass(frozen=True)
class Series:
    """One kind of growth: what is counted, how often, and the seconds of each.

    `results` is filled with kilobytes of result for each request, by size.
    """

    name: str
    sizes: tuple[int, ...]
    measure: Callable[[int], float]
    results: dict[int, float] = field(default_factory=dict)


def run(rounds: int) -> list[Spread]:
    """Measure every series; a tenth of the rounds, for each takes a minute."""
    found: list[Spread] = []
    with every_series() as series:
        for one in series:
            found += figures(one, max(1, rounds // 10))
    return found


def figures(series: Series, rounds: int) -> list[Spread]:
    """Measure a series: a row for each size, one for the slope, one for the size of results."""
    cases = {str(size): functools.partial(series.measure, size) for size in series.sizes}
    times = [[1000 * value for value in found] for found in in_turn(cases, rounds).values()]
    rows = [
        replace(spread(NAME, f"{series.name}: {size:,}", found, unit="ms"), size=size)
        for size, found in zip(series.sizes, times, strict=True)
    ]
    points = [list(zip(series.sizes, found, strict=True)) for found in zip(*times, strict=True)]
    slopes = [1000 * slope(found[0], found[-1]) for found in points]
    bend = statistics.median(slope(*found[-2:]) / slope(found[0], found[-2]) for found in points)
    whole = spread(NAME, f"{series.name}: one more", slopes, unit="us")
    rows.append(replace(whole, ratio=bend, met=bend <= LINEAR))
    if series.results:
        values = list(series.results.values())
        name = f"{series.name}: result, each request"
        rows.append(spread(NAME, name, values, unit="KB", target_worst=RESULT_KB))
    return rows


def slope(one: tuple[int, float], other: tuple[int, float]) -> float:
    """Give what one more costs between two points."""
    return (other[1] - one[1]) / (other[0] - one[0])


@contextmanager
def every_series() -> Iterator[list[Series]]:
    """Give what grows, with a place for the packages."""
    with tempfile.TemporaryDirectory() as folder:
        growing = Growing(Path(folder))
        sizes = tuple(size for size in (1, 10, 100, 1000) if fits(folder, size * MIB))
        yield [
            Series("samples", (1, 10, 100, 1000), growing.samples, growing.kilobytes),
            Series("accept types of ten samples", (1, 2, 5, 10), growing.accepts),
            Series("handlers", (1, 10, 100, 300), growing.handlers),
            Series("payload, KB", (1, 100, 10_000, 100_000), growing.payload),
            Series("package, MiB", sizes, growing.package),
            Series("package again, MiB", sizes, growing.package_again),
            Series("model, MiB", (10, 100, 500, 1000), growing.model),
        ]


def fits(folder: str, size_bytes: int) -> bool:
    """Say whether a package of this size may be made here."""
    return TIMES_ON_DISK * size_bytes < shutil.disk_usage(folder).free / SHARE_OF_DISK


class Growing:
    """Times one test, or one batch, of every size."""

    def __init__(self, folder: Path) -> None:
        """Make packages below a directory."""
        self._folder = folder
        self._small = folder / "small"
        self._small.mkdir()
        (self._small / "inference.py").write_text(HANDLER)
        self.kilobytes: dict[int, float] = {}

    def samples(self, count: int) -> float:
        """Time so many samples."""
        seconds, result = tested(self._spec(samples=[sample(number) for number in range(count)]))
        self.kilobytes[count] = len(result.model_dump_json()) / 1000 / count
        return seconds

    def accepts(self, count: int) -> float:
        """Time ten samples with so many accept types."""
        types = [f"application/x-{number}" for number in range(count)]
        return tested(self._spec(samples=[sample(n) for n in range(10)], accepts=types))[0]

    def handlers(self, count: int) -> float:
        """Time a batch of so many, as many at a time as there are cores."""
        specs = [self._spec(handler_name=f"handler {number}") for number in range(count)]
        begin = time.perf_counter()
        result = RuntimeTester().run_batch(specs)
        elapsed = time.perf_counter() - begin
        for entry in result.entries:
            good(entry.result)
        return elapsed

    def payload(self, kilobytes: int) -> float:
        """Time a request of so many kilobytes."""
        body = "x" * (1000 * kilobytes)
        return tested(self._spec(samples=[sample(0, body)], environ_vars=NO_CAP))[0]

    def package(self, mebibytes: int) -> float:
        """Time a package of so many mebibytes."""
        return tested(self._spec(packaged_model_path=str(self._archive(mebibytes))))[0]

    def package_again(self, mebibytes: int) -> float:
        """Time the second test of a package."""
        spec = self._spec(packaged_model_path=str(self._archive(mebibytes)))
        with RuntimeTester() as tester:
            good(tester.test_inference_handler(spec))
            begin = time.perf_counter()
            good(tester.test_inference_handler(spec))
            return time.perf_counter() - begin

    def model(self, mebibytes: int) -> float:
        """Time a model of so many mebibytes."""
        limits = Limits(memory_limit_mb=2 * mebibytes + 200)
        variables = {"MODEL_MIB": str(mebibytes)}
        return tested(self._spec(environ_vars=variables, limits=limits))[0]

    def _spec(self, **fields: Any) -> InferenceHandlerSpec:
        defaults = {
            "handler_name": "growing",
            "packaged_model_path": str(self._small),
            "test_data_samples": fields.pop("samples", [sample(0)]),
            "supported_accept_types": fields.pop("accepts", [TYPE]),
            "start": "fresh",
        }
        return InferenceHandlerSpec.model_validate(defaults | fields)

    def _archive(self, mebibytes: int) -> Path:
        """Make a package by repeating one compressed mebibyte, for compressing takes longest."""
        path = self._folder / f"{mebibytes}.tar.gz"
        if path.exists():
            return path
        code, weights = HANDLER.encode(), tarfile.TarInfo("weights.bin")
        weights.size = mebibytes * MIB
        handler = tarfile.TarInfo("code/inference.py")
        handler.size = len(code)
        head = handler.tobuf() + code + bytes(-len(code) % tarfile.BLOCKSIZE) + weights.tobuf()
        piece = gzip.compress(os.urandom(MIB // 2) + bytes(range(256)) * (MIB // 512), 1)
        with path.open("wb") as file:
            file.write(gzip.compress(head))
            for _ in range(mebibytes):
                file.write(piece)
            file.write(gzip.compress(bytes(2 * tarfile.BLOCKSIZE)))
        return path


def sample(number: int, body: str = "1,2") -> dict[str, str]:
    """Make a sample."""
    return {"sample_name": f"sample {number}", "content_type": TYPE, "request_body": body}


def tested(spec: InferenceHandlerSpec) -> tuple[float, InferenceTestResult]:
    """Time a test, from its spec to its result."""
    begin = time.perf_counter()
    result = RuntimeTester().test_inference_handler(spec)
    return time.perf_counter() - begin, good(result)


def good(result: InferenceTestResult) -> InferenceTestResult:
    """Refuse to measure what fails."""
    if not result.overall_success:
        raise SystemExit(f"the handler failed: {result.errors}")
    return result

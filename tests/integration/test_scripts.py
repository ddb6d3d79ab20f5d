"""The scripts of the README do what they say, in the interpreter of the tests."""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests import wheels

SCRIPTS = Path(__file__).parents[2] / "scripts"
RATIOS = ("load", "start", "round-trip", "peers", "bodies", "overhead")
COMMAND = Path(sys.executable).with_name("handlerproof")


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPTS / script, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(not COMMAND.exists(), reason="handlerproof is not installed: scripts/_setup")
def test_demo_is_green_and_tells_every_verdict() -> None:
    done = run("demo.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " NO " not in done.stdout
    for verdict in ("timed out", "memory exceeded", "crashed", "exited", "passed"):
        assert verdict in done.stdout
    assert "All as it should be." in done.stdout


@pytest.mark.skipif(not COMMAND.exists(), reason="handlerproof is not installed: scripts/_setup")
def test_demo_of_pipelines_is_green() -> None:
    done = run("demo_pipeline.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " NO " not in done.stdout
    assert "10 of 10 nodes are taken from before" in done.stdout
    assert "would pass: JSON records instead of CSV" in done.stdout


def test_bench_gives_a_figure_for_every_target() -> None:
    done = run("bench.py", *RATIOS, "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["part"] for row in rows} == set(RATIOS)
    assert {row["part"] for row in rows if row["target"]} == set(RATIOS) - {"load", "peers"}
    for row in rows:
        assert row["lower"] <= row["ratio"] <= row["upper"]
        assert row["met"] == (row["ratio"] <= row["target"] if row["target"] else None)


def test_bench_of_isolation_measures_memory_endings_and_layers() -> None:
    done = run("bench.py", "isolation", "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    kinds = Counter(row["name"].split(":")[0] for row in rows)
    assert kinds["over the limit"] >= 4
    assert kinds["cost at start"] >= 1
    assert {"deadline to 20 processes reaped", "order to 300 processes reaped"} <= set(kinds)
    for row in rows:
        assert row["lower"] <= row["median"] <= row["upper"] <= row["worst"]
        limits = [(row["median"], row["target"]), (row["worst"], row["target_worst"])]
        held = [value <= limit for value, limit in limits if limit is not None]
        assert row["met"] == (all(held) if held else None)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Give a module of the benchmark, to be measured at small sizes."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def test_bench_of_a_batch_holds_it_to_three_floors(
    benchmark: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = benchmark("batch")
    for name in ("HANDLERS", "SAMPLES", "STARTS", "BY_HAND"):
        monkeypatch.setattr(batch, name, 2)
    rows = batch.run(1)
    assert [row.target for row in rows if row.target] == [1.3, 1.3, 2.0] + [0.05] * 3
    floor, usual, fresh, bare, warm, alone, least, _, *again = rows
    assert [row.seconds for row in again] == [usual.seconds, fresh.seconds, warm.seconds]
    assert usual.ratio == pytest.approx(usual.seconds / floor.seconds)
    assert fresh.ratio == pytest.approx(fresh.seconds / floor.seconds)
    assert warm.ratio == pytest.approx(warm.seconds / bare.seconds)
    assert alone.ratio == pytest.approx(alone.seconds / bare.seconds)
    assert least.ratio == pytest.approx(least.seconds / bare.seconds)


def test_bench_of_growth_measures_every_series(benchmark: Callable[[str], Any]) -> None:
    growth = benchmark("growth")
    with growth.every_series() as every:
        rows = [row for one in every for row in growth.figures(replace(one, sizes=(1, 2, 3)), 1)]
        names = [one.name for one in every]
    assert [row.size for row in rows if row.size] == [1, 2, 3] * len(names)
    slopes = [row for row in rows if row.name.endswith(": one more")]
    assert [row.name.partition(":")[0] for row in slopes] == names
    for row in slopes:
        first, *_, last = [
            of.median for of in rows if of.size and of.name.startswith(row.name.partition(":")[0])
        ][:3]
        assert row.median == pytest.approx(1000 * (last - first) / 2)
    (results,) = [row for row in rows if row.target_worst]
    assert results.met
    chart = ElementTree.fromstring(benchmark("report").chart("growth", rows))
    assert len(chart.findall("{*}polyline")) == len(names)


def test_bench_writes_a_section_and_a_chart_in_their_place(
    benchmark: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measure, report = benchmark("measure"), benchmark("report")
    monkeypatch.setattr(report, "DOCUMENT", tmp_path / "benchmarks.md")
    monkeypatch.setattr(report, "CHARTS", tmp_path / "benchmarks")
    for seconds in (1.0, 2.0):
        given = {"floor": lambda: 1.0, "ours & yours": lambda seconds=seconds: seconds}
        cases = [measure.Case(name, work, "floor", 1.5) for name, work in given.items()]
        report.write("batch", "Words.", measure.ratios("batch", cases, 3))
    report.write("soak", "Words.", [measure.spread("soak", "good", [1.0], unit="ms")])
    text = (tmp_path / "benchmarks.md").read_text()
    assert [line for line in text.splitlines() if line.startswith(("## ", "!"))] == [
        "## Batch, 3 rounds",
        "![batch](benchmarks/batch.svg)",
        "## Soak, 1 rounds",
    ]
    assert [path.name for path in (tmp_path / "benchmarks").iterdir()] == ["batch.svg"]
    chart = ElementTree.parse(tmp_path / "benchmarks" / "batch.svg")
    assert [bar.get("class") for bar in chart.iterfind("{*}rect")] == ["background", "missed"]
    assert "ours & yours" in "".join(chart.getroot().itertext())


@pytest.mark.long
@pytest.mark.parametrize("part", ["soak", "soak-warm"])
def test_soak_finds_nothing(part: str, long_count: Callable[[int], int]) -> None:
    done = run("bench.py", part, "--workers", str(max(240, long_count(2000))), "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["part"] for row in rows] == [part] * 8


def test_soak_fails_for_a_verdict_that_is_not_the_one_expected(
    benchmark: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    soak = benchmark("soak")
    blind = replace(soak.QUIET, verdict=soak.fails("crashed"))
    monkeypatch.setattr(soak, "QUIET", blind)
    monkeypatch.setattr(soak, "HOSTILE", ())
    monkeypatch.setattr(soak, "kind_of", lambda _: blind)
    _, wrong = soak.run(10)
    assert wrong[0].startswith("good: ('passed'")
    assert len([text for text in wrong if text.startswith("good")]) == 10


def test_bench_names_its_parts() -> None:
    done = run("bench.py", "start", "--only", "startup")
    assert done.returncode == 2
    assert "startup: the parts are load, start, round-trip, " in done.stderr
    parts = "batch, growth, isolation, environments, judgement, soak, soak-warm\n"
    assert done.stderr.endswith(parts)


@pytest.mark.skipif(not COMMAND.with_name("uv").exists(), reason="uv is not installed beside it")
def test_uv_takes_a_lock_with_hashes_here_as_pip_does(tmp_path: Path) -> None:
    # Where uv is on PATH the scripts install with it: it reads the project's file as well.
    wheel = wheels.make(tmp_path, "tiny", "1.0")
    lock = tmp_path / "some.lock"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock.write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
    uv = str(Path(sys.executable).with_name("uv"))
    words = [uv, "pip", "install", "--dry-run", "--offline", "--require-hashes"]
    where = ["--no-index", "--find-links", str(tmp_path), "--python", sys.executable]
    done = subprocess.run(
        [*words, *where, "-r", str(lock)], cwd=SCRIPTS.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "tiny==1.0" in done.stderr

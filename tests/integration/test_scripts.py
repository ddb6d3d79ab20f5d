"""The scripts of the README do what they say, in the interpreter of the tests."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
RATIOS = ("start", "round-trip", "peers", "bodies", "overhead")
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
    assert {row["part"] for row in rows if row["target"]} == set(RATIOS) - {"peers"}
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
        assert row["met"] == all(held)


@pytest.mark.long
def test_soak_finds_nothing(long_count: Callable[[int], int]) -> None:
    done = run("bench.py", "soak", "--workers", str(max(240, long_count(2000))), "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert len(rows) == 8


def test_soak_fails_for_a_verdict_that_is_not_the_one_expected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    soak = importlib.import_module("benchmarks.soak")
    blind = replace(soak.QUIET, verdict=soak.fails("crashed"))
    monkeypatch.setattr(soak, "QUIET", blind)
    monkeypatch.setattr(soak, "HOSTILE", ())
    monkeypatch.setattr(soak, "kind_of", lambda _: blind)
    _, wrong = soak.run(10)
    assert wrong[0].startswith("good: ('passed'")
    assert len([text for text in wrong if text.startswith("good")]) == 10


def test_bench_names_its_parts() -> None:
    done = run("bench.py", "startup")
    assert done.returncode == 2
    assert "startup: the parts are start, round-trip, " in done.stderr
    assert done.stderr.endswith("isolation, environments, soak\n")

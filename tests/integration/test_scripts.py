"""The scripts of the README do what they say, in the interpreter of the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
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


def test_bench_gives_a_figure_for_every_target() -> None:
    done = run("bench.py", "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["part"] for row in rows if row["target"]} == {"start", "round-trip"}
    for row in rows:
        assert row["lower"] <= row["ratio"] <= row["upper"]
        assert row["met"] == (row["ratio"] <= row["target"] if row["target"] else None)

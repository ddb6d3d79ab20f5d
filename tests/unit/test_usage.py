"""What a call asks of /proc comes from files kept open, as long as they are those files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from worker import usage

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
BEGIN = """
import os, sys
sys.path.insert(0, sys.argv[1])
from worker import usage
from worker.protocol import LIST_FD, MARK_FD
usage.keep_open()
"""


def run(code: str, folder: Path) -> str:
    """Run code in a process that has opened the files, in a folder of its own.

    A shell forks it: the mark of a process starts at its parent's, and a test runner's is high.
    """
    root = str(Path(usage.__file__).parents[1])
    words = ["sh", "-c", '"$@"; exit', "sh", sys.executable, "-c", BEGIN + code, root]
    done = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def test_the_peak_falls_back_to_what_is_held(tmp_path: Path) -> None:
    code = """
block = bytearray(200 << 20)
high = usage.peak_bytes()
del block
usage.reset_peak()
print(high - usage.peak_bytes() > 100 << 20)
"""
    assert run(code, tmp_path) == "True\n"


@pytest.mark.parametrize("kind", ["closed", "replaced"])
def test_what_the_handler_does_to_the_files_changes_neither_its_own_nor_a_count(
    tmp_path: Path, kind: str
) -> None:
    code = """
before = usage.descriptors()
mine = os.open("mine", os.O_CREAT | os.O_RDWR)
for number in (LIST_FD, MARK_FD):
    os.dup2(mine, number) if KIND == "replaced" else os.close(number)
block = bytearray(200 << 20)
high = usage.peak_bytes()
del block
usage.reset_peak()
print(high - usage.peak_bytes() > 100 << 20, usage.descriptors() - before, os.path.getsize("mine"))
"""
    moved = 1 if kind == "replaced" else -1
    assert run(f"KIND = {kind!r}" + code, tmp_path) == f"True {moved} 0\n"

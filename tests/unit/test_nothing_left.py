"""The fixture that all other tests rely on: it must see what a test leaves behind."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TESTS = """
import os, subprocess, tempfile, threading
from tests.conftest import _private_temp, nothing_left

kept = []

def test_leaves_nothing():
    subprocess.run(["true"], check=True)
    threading.Thread(target=print).start()

def test_leaves_one_of_each():
    kept.append(subprocess.Popen(["sleep", "4"]))
    kept.append(open(os.devnull))
    threading.Thread(target=threading.Event().wait, args=(4,), name="a left thread").start()
    tempfile.mkdtemp(prefix="handlerproof-")
"""


def test_everything_left_behind_is_named(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["*left behind: *sleep*a left thread*handlerproof-*", "*test_leaves_one_of_each*"]
    )
    assert "/dev/null" in result.stdout.str()

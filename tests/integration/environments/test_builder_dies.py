"""The tester is killed while it builds, or asked to stop: nothing of the build lives on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from harness.environments.tool import Run
from harness.stop import Stop
from tests.integration.environments.conftest import HANDLER, INPUT, Yard
from tests.waiting import wait_until

BUILD = "from harness.cli import main; main()"


@pytest.mark.long
def test_tester_killed_in_the_middle_leaves_no_half_environment(
    yard: Yard, long_count: Callable[[int], int]
) -> None:
    yard.wheel("many", "1.0", files={f"many/m{number}.py": "" for number in range(400)})
    files = {"code/inference.py": HANDLER + INPUT, "code/requirements.txt": "small==1.0\nmany\n"}
    command = [sys.executable, "-c", BUILD, "env", "build", str(yard.package(files))]
    for number in range(long_count(20)):
        tester = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert tester.stderr is not None
        said = iter(tester.stderr)
        # Killed at another of the tool's lines each time.
        for _ in range(1 + number % 5):
            next(said, "")
        tools = [child.pid for child in psutil.Process(tester.pid).children(recursive=True)]
        os.kill(tester.pid, signal.SIGKILL)
        tester.stderr.close()
        tester.wait()
        assert wait_until(lambda: not any(map(psutil.pid_exists, tools)), 20)  # noqa: B023
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert not yard.half_built()
        (record,) = yard.cache.glob("*.json")
        trees = [path for path in yard.cache.iterdir() if path.is_dir()]
        assert len(trees) == 1
        subprocess.run([sys.executable, "-c", BUILD, "env", "clean"], check=True)
        assert not record.exists()
        assert not [path for path in yard.cache.iterdir() if path.is_dir()]


def test_tool_is_ended_when_its_thread_is_asked_to_stop(tmp_path: Path) -> None:
    told: list[str] = []
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"

    def build(stop: Stop) -> str:
        with stop.heeded():
            return Run(tmp_path, [tmp_path], tmp_path, 600, told.append)(sys.executable, "-c", code)

    with Stop() as stop, ThreadPoolExecutor(1) as pool:
        building = pool.submit(build, stop)
        assert wait_until(lambda: told, 60)
        stop.set()
        with pytest.raises(KeyboardInterrupt):
            building.result()
    assert not psutil.pid_exists(int(told[0]))

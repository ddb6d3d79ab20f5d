"""The tester ends in the middle of a call, or the thread that started a worker does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import psutil
import pytest

from harness import InferenceHandlerSpec, RuntimeTester
from harness.artifacts.workspace import RunDirectory
from harness.runtime import cgroups, layers
from tests.adversarial import levels
from tests.adversarial.conftest import control_groups, processes_of
from tests.adversarial.faults import REQUEST
from tests.adversarial.levels import AS_ROOT, WARM, Level
from tests.adversarial.running import files, spec_for
from tests.conftest import MakePackage
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
TESTER = """
import sys
from harness import InferenceHandlerSpec, RuntimeTester
spec = InferenceHandlerSpec.model_validate_json(sys.stdin.read())
RuntimeTester(sys.argv[1]).test_inference_handler(spec)
"""
START_S = 30.0
END_S = 10.0


@pytest.mark.long
@pytest.mark.parametrize("level", [*AS_ROOT, WARM], ids=lambda level: level.name)
def test_nothing_survives_a_killed_tester(
    level: Level, package: MakePackage, tmp_path: Path, long_count: Callable[[int], int]
) -> None:
    spec = spec_at(level, package(files("killed_with_its_tester")))
    for number in range(long_count(13)):
        workspace = tmp_path / f"workspace-{number}"
        workspace.mkdir()
        namespaces = levels.namespaces()
        with other_tester(workspace, spec) as tester:
            assert wait_until(lambda: in_the_call(workspace), START_S), "no call was begun"  # noqa: B023
            assert list(processes_of(workspace)), "the handler's processes cannot be seen"
            tester.kill()
            tester.wait()
        assert wait_until(lambda: not list(processes_of(workspace)), END_S)  # noqa: B023
        made = levels.new_namespaces(namespaces)
        assert wait_until(lambda: not made & levels.namespaces(), END_S)  # noqa: B023
        assert_next_tester_sweeps(workspace, tester.pid)


def spec_at(level: Level, package: Path) -> InferenceHandlerSpec:
    probes = {name: probe() for name, probe in layers.PROBES.items()}
    reason = levels.why_not(probes, level.isolation)
    if reason is not None:
        pytest.skip(reason)
    return spec_for(package, isolation=level.isolation, start=level.start)


@contextmanager
def other_tester(workspace: Path, spec: InferenceHandlerSpec) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", TESTER, str(workspace)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT) as tester:
        try:
            assert tester.stdin is not None
            tester.stdin.write(spec.model_dump_json().encode())
            tester.stdin.close()
            yield tester
        finally:
            tester.kill()


def in_the_call(workspace: Path) -> bool:
    return bool(list(workspace.glob("handlerproof-*/**/in-the-call")))


def assert_next_tester_sweeps(workspace: Path, dead: int) -> None:
    """The next run removes the directories and the control groups of the one that was killed."""
    assert list(workspace.iterdir())
    with RunDirectory(workspace) as run:
        assert list(workspace.iterdir()) == [run.path]
    if layers.cgroup().works:
        cgroups.find()
    assert control_groups(dead) == []


def test_run_directory_of_a_living_tester_is_left_alone(
    package: MakePackage, tmp_path: Path
) -> None:
    spec = spec_for(package(files("killed_with_its_tester")))
    with other_tester(tmp_path, spec):
        assert wait_until(lambda: in_the_call(tmp_path), START_S)
        with RunDirectory(tmp_path):
            assert in_the_call(tmp_path)


@pytest.mark.parametrize("level", AS_ROOT, ids=lambda level: level.name)
def test_worker_outlives_the_thread_that_started_it(level: Level, package: MakePackage) -> None:
    spec = spec_at(level, package(files("lists_descriptors")))
    others = descendants()
    with RuntimeTester() as tester, tester.open_handler(spec) as handler:
        starter = Thread(target=handler.model_fn)
        starter.start()
        starter.join()
        worker = descendants() - others
        assert handler.input_fn(REQUEST, "text/csv").success
        assert handler.predict_fn().success
        assert descendants() - others == worker != set()


def descendants() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}

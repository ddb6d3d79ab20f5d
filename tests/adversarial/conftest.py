"""What the adversarial tests have beside the others: levels to run under, and nothing left."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from harness import InferenceHandlerSpec, InferenceTestResult, RuntimeTester
from harness.checks import handler_test
from harness.checks.kept import keeping
from harness.runtime import cgroups, layers
from tests.adversarial import levels, nobody
from tests.adversarial.levels import Level
from tests.waiting import wait_until

RunAt = Callable[[Level, InferenceHandlerSpec], InferenceTestResult]

# A sandbox of a neighbour's on the same machine may come and go meanwhile.
NAMESPACES_WAIT_S = 10.0


@pytest.fixture(scope="session")
def unprivileged() -> Iterator[nobody.Nobody | str]:
    """Give a tester that runs as another user, or the reason why there is none."""
    try:
        with nobody.started() as tester:
            yield tester
    except nobody.Impossible as reason:
        yield str(reason)


@pytest.fixture
def run_at(unprivileged: nobody.Nobody | str) -> RunAt:
    """Run a handler under a level; skip with the probe's reason where it cannot be had.

    What is in force must be what the probes promise, and nothing may be left of the run.
    """

    def run(level: Level, spec: InferenceHandlerSpec) -> InferenceTestResult:
        asked = spec.model_copy(update={"isolation": level.isolation, "start": level.start})
        if not level.nobody:
            probes = {name: probe() for name, probe in layers.PROBES.items()}
            tester = by_a_kept_tester if level.kept else RuntimeTester().test_inference_handler
        elif isinstance(unprivileged, str):
            pytest.skip(unprivileged)
        else:
            probes, tester = unprivileged.probes(), unprivileged.run
        reason = levels.why_not(probes, level.isolation)
        if reason is not None:
            pytest.skip(reason)
        result = tester(asked)
        assert result.isolation is not None
        assert set(result.isolation.effective) == levels.words(probes, asked)
        assert result.environment is not None
        assert result.environment.start == level.start, result.environment.start_reason
        return result

    return run


def by_a_kept_tester(spec: InferenceHandlerSpec) -> InferenceTestResult:
    """Test by a fresh worker whose supervisor a template forks, as from the second worker on."""
    with keeping(None) as kept:
        assert kept.templates.for_a_fresh_worker() is None
        assert kept.templates.for_a_fresh_worker() is not None
        return handler_test.run(spec, None, kept=kept)


@pytest.fixture(autouse=True)
def nothing_left_on_the_machine(unprivileged: nobody.Nobody | str) -> Iterator[None]:
    """Fail a test that leaves what is nobody's child: a daemon, a sandbox, a control group."""
    places = [Path(tempfile.gettempdir())]
    if isinstance(unprivileged, nobody.Nobody):
        places.append(unprivileged.temporary)
    namespaces = levels.namespaces()
    yield
    assert [str(process) for place in places for process in processes_of(place)] == []
    assert [path for place in places for path in place.glob("handlerproof-*")] == []
    assert control_groups() == []
    made = levels.new_namespaces(namespaces)
    assert wait_until(lambda: not made & levels.namespaces(), NAMESPACES_WAIT_S), made


def processes_of(place: Path) -> Iterator[psutil.Process]:
    """Find the processes that have a run directory of this place in their variables."""
    mark = f"{place}/handlerproof-"
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if any(mark in value for value in process.environ().values()):
                yield process


def control_groups(pid: int | None = None) -> list[Path]:
    """List the control groups that a tester made: this process, or the one with that id."""
    if not layers.cgroup().works:
        return []
    place = cgroups.find()
    folders = {place.memory, place.pids or place.memory}
    name = f"handlerproof-{pid or os.getpid()}-*"
    return [path for folder in sorted(folders) for path in folder.glob(name)]

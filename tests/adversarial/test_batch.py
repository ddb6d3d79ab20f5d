"""Hundreds of handlers in one batch, a fifth of them hostile; and a tester that is killed in it."""

from __future__ import annotations

import gc
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from harness import InferenceHandlerSpec, RuntimeTester
from harness.batch_results import BatchEntry, BatchResult
from harness.records import Outcome
from tests.adversarial import levels
from tests.adversarial.conftest import processes_of
from tests.adversarial.faults import Fault
from tests.adversarial.running import check, spec_of
from tests.conftest import MakePackage
from tests.handlers import collection
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
HANDLERS = 300
KILLS = 20
MIB = 2**20
# From a third of a batch on: results are kept (about 0.03 MiB each), and nothing else.
GROWTH_MIB = 8.0
GROWTH_MIB_A_HANDLER = 0.1
TESTER = """
import json, sys
from pathlib import Path
from harness import InferenceHandlerSpec, RuntimeTester
texts = json.loads(Path(sys.argv[1]).read_text())
specs = [InferenceHandlerSpec.model_validate(text) for text in texts]
with RuntimeTester(sys.argv[2]) as tester:
    batch = tester.run_batch(specs, jobs=2, state=sys.argv[3], resume=sys.argv[4] == "resume")
batch.save(sys.argv[5])
"""
END_S = 30.0
RUN_S = 300.0

Verdicts = dict[str, list[Outcome]]


@pytest.mark.long
def test_verdicts_are_those_of_single_runs_whatever_the_jobs(
    package: MakePackage, tmp_path: Path, long_count: Callable[[int], int]
) -> None:
    """All faults of the table, and good handlers beside them: one after the other and by four.

    Each hostile one is held to its row of the table, which is what a single run is held to.
    """
    count = long_count(HANDLERS)
    hostile = chosen(count)
    specs = {**{f"fault-{n}": renamed(fault, f"fault-{n}", package)
                for n, fault in enumerate(hostile)}}  # fmt: skip
    good = collection.handler()
    for number in range(count - len(specs)):
        file = tmp_path / f"good-{number}.py"
        file.write_text(good)
        specs[f"good-{number}"] = good_spec(f"good-{number}", file)
    order = list(specs.values())
    random.Random(count).shuffle(order)
    one, four = (batch_of(order, jobs) for jobs in (1, 4))
    assert verdicts(one) == verdicts(four)
    for batch in (one, four):
        entries = {entry.name: entry for entry in batch.entries}
        assert len(entries) == len(batch.entries) == count
        for number, fault in enumerate(hostile):
            check(fault, entries[f"fault-{number}"].result)
        assert all(e.success for name, e in entries.items() if name.startswith("good-"))


def chosen(count: int) -> list[Fault]:
    """Take every fault, or a fifth of the count spread over the table."""
    every = levels.faults_under(levels.AUTO)
    if count == HANDLERS:
        return every
    every = [fault for fault in every if not fault.costly]
    step = max(1, len(every) // (count // 5))
    return every[::step][: count // 5]


def renamed(fault: Fault, name: str, package: MakePackage) -> InferenceHandlerSpec:
    return spec_of(fault, package, patience=4).model_copy(update={"handler_name": name})


def good_spec(name: str, file: Path) -> InferenceHandlerSpec:
    sample = {"sample_name": "rows", "content_type": "text/csv", "request_body": "1,2"}
    return InferenceHandlerSpec.model_validate(
        {
            "handler_name": name,
            "handler_path": str(file),
            "test_data_samples": [sample],
            "supported_accept_types": ["application/json"],
            "timeout_seconds": 60.0,
        }
    )


def batch_of(specs: list[InferenceHandlerSpec], jobs: int) -> BatchResult:
    """Run a batch in which the tester's memory stays flat."""
    seen: list[float] = []
    with RuntimeTester() as tester:
        batch = tester.run_batch(specs, jobs=jobs, on_result=lambda _: seen.append(memory_mib()))
    late = seen[len(seen) // 3 :]
    assert late[-1] - late[0] < GROWTH_MIB + GROWTH_MIB_A_HANDLER * len(late), seen
    return batch


def verdicts(batch: BatchResult) -> Verdicts:
    return {entry.name: outcomes(entry) for entry in batch.entries}


def outcomes(entry: BatchEntry) -> list[Outcome]:
    rows = [*entry.result.function_results(), *entry.result.end_to_end_results]
    return [row.outcome for row in rows]


def memory_mib() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / MIB


# ---------------------------------------------------------------- the tester is killed


@pytest.mark.long
def test_killed_batch_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, long_count: Callable[[int], int]
) -> None:
    """Killed at a random point, again and again: nothing is lost, twice, or left."""
    specs = []
    for number in range(8):
        predict = "os.kill(os.getpid(), 11)" if number % 4 == 3 else "pass"
        file = tmp_path / "handlers" / f"h{number}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(collection.handler(predict))
        specs.append(good_spec(f"h{number}", file))
    (tmp_path / "specs.json").write_text(
        f"[{','.join(spec.model_dump_json(exclude_unset=True) for spec in specs)}]"
    )
    killer = Killer(tmp_path)
    whole = killer.finish(killer.start("whole", resume=False))
    numbers = random.Random(9)
    for kill in range(long_count(KILLS)):
        state = f"state-{kill}"
        tester = killer.start(state, resume=False)
        killer.kill(tester, numbers.uniform(0.3, 1.2) * killer.took_s, state)
        again = killer.finish(killer.start(state, resume=True))
        assert [entry.name for entry in again.entries] == [spec.handler_name for spec in specs]
        assert verdicts(again) == verdicts(whole), [e.result.errors for e in again.entries]
        assert [e.status for e in again.entries] == [e.status for e in whole.entries]


class Killer:
    """Starts testers in processes of their own, and ends them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._workspace = folder / "workspace"
        self._workspace.mkdir()
        self.took_s = 0.0

    def start(self, state: str, *, resume: bool) -> subprocess.Popen[bytes]:
        words = [
            *(sys.executable, "-c", TESTER),
            *(self._folder / "specs.json", self._workspace, self._folder / state),
            *("resume" if resume else "new", self._folder / "result.json"),
        ]
        return subprocess.Popen(list(map(str, words)), cwd=ROOT)

    def finish(self, tester: subprocess.Popen[bytes]) -> BatchResult:
        assert tester.wait(RUN_S) == 0
        result = BatchResult.load(self._folder / "result.json")
        self.took_s = max(self.took_s, result.elapsed_s)
        assert list(processes_of(self._workspace)) == []
        assert list(self._workspace.iterdir()) == []
        return result

    def kill(self, tester: subprocess.Popen[bytes], after_s: float, state: str) -> None:
        """Kill it so long after its journal was begun; it may have ended by itself by then."""
        journal = self._folder / state / "journal.ndjson"
        assert wait_until(journal.exists, RUN_S)
        wait_until(lambda: tester.poll() is not None, after_s)
        tester.send_signal(signal.SIGKILL)
        tester.wait()
        assert wait_until(lambda: not list(processes_of(self._workspace)), END_S)

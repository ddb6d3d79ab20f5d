"""`RuntimeTester.run_batch`: real workers, several at a time."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import InferenceHandlerSpec, Limits, RuntimeTester, SpecError
from harness.batch import scheduling
from harness.batch.budgets import Budgets
from harness.batch.journal import Journal
from harness.batch.scheduling import Listener, Options
from harness.batch.task import Task
from harness.batch_results import BatchEntry, BatchResult
from harness.records import Outcome
from tests.handlers import collection
from tests.waiting import wait_until

Verdicts = dict[str, list[Outcome]]
CRASH = "os.kill(os.getpid(), 11)"
LONG_S = 60


def specs(folder: Path, **predicts: str) -> list[InferenceHandlerSpec]:
    return [spec(folder, name, predict) for name, predict in predicts.items()]


def spec(folder: Path, name: str, predict: str = "pass", **fields: object) -> InferenceHandlerSpec:
    file = folder / f"{name}.py"
    file.write_text(collection.handler(predict))
    sample = {"sample_name": "rows", "content_type": "text/csv", "request_body": "1,2"}
    given = {
        "handler_name": name,
        "handler_path": str(file),
        "test_data_samples": [sample],
        "supported_accept_types": ["application/json"],
        "timeout_seconds": 60.0,
    }
    return InferenceHandlerSpec.model_validate(given | fields)


def verdicts(batch: BatchResult) -> Verdicts:
    return {
        entry.name: [row.outcome for row in entry.result.function_results()]
        for entry in batch.entries
    }


@pytest.fixture
def several(tmp_path: Path) -> list[InferenceHandlerSpec]:
    """Good, wrong, crashing, hanging and impossible handlers."""
    good = specs(tmp_path, good="pass", wrong="raise ValueError('no')", crash=CRASH, last="pass")
    hang = spec(tmp_path, "hang", "time.sleep(600)", limits=Limits(timeout_seconds=1))
    absent = InferenceHandlerSpec(handler_name="absent", packaged_model_path=str(tmp_path / "no"))
    python = {"python": str(tmp_path / "no-python")}
    return [*good[:3], hang, absent, spec(tmp_path, "unstarted", environment=python), good[3]]


def test_every_handler_has_its_verdict_in_the_order_given(
    several: list[InferenceHandlerSpec],
) -> None:
    told: list[str] = []
    with RuntimeTester() as tester:
        batch = tester.run_batch(several, jobs=3, on_result=lambda entry: told.append(entry.name))
    assert [entry.name for entry in batch.entries] == [item.handler_name for item in several]
    assert {entry.name: entry.status.value for entry in batch.entries} == {
        "good": "passed",
        "wrong": "failed",
        "crash": "error",
        "hang": "error",
        "absent": "error",
        "unstarted": "error",
        "last": "passed",
    }
    faults = {entry.name: entry.fault for entry in batch.entries if entry.fault}
    assert faults == {"absent": "spec", "unstarted": "environment"}
    assert batch.entries[4].result.model_fn_result.outcome == "not_started"
    assert "cannot be opened" in batch.entries[4].result.errors[0]
    assert sorted(told) == sorted(item.handler_name for item in several)
    assert not batch.success


def test_one_or_four_at_a_time_give_the_same(several: list[InferenceHandlerSpec]) -> None:
    with RuntimeTester() as tester:
        one, four = (verdicts(tester.run_batch(several, jobs=jobs)) for jobs in (1, 4))
        alone = [tester.test_inference_handler(item) for item in several[:4]]
    assert one == four
    for result in alone:
        assert one[result.handler_name] == [row.outcome for row in result.function_results()]


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_any_executor_of_the_standard_kind(several: list[InferenceHandlerSpec], kind: str) -> None:
    context = multiprocessing.get_context("spawn")
    pool = (
        ProcessPoolExecutor(2, mp_context=context) if kind == "processes" else ThreadPoolExecutor(2)
    )
    with pool, RuntimeTester() as tester:
        batch = tester.run_batch(several[:3], executor=pool)
        assert verdicts(batch) == verdicts(tester.run_batch(several[:3]))
        assert pool.submit(int, "7").result() == 7, "the pool is the caller's, and goes on"
    if kind == "processes":
        # Its own resource tracker stays with this process until it ends.
        multiprocessing.resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]


def test_memory_promised_is_never_more_than_there_is(tmp_path: Path) -> None:
    tasks = [
        Task(spec=spec(tmp_path, f"h{n}", limits=Limits(memory_limit_mb=memory)))
        for n, memory in enumerate((300, 300, 300, 500, 900))
    ]
    watch = Watch()
    batch = scheduling.run(tasks, Options(jobs=5, memory_bytes=700 * 2**20, listener=watch))
    assert batch.success
    assert 500 * 2**20 < watch.most_without_h4 <= 700 * 2**20
    assert watch.beside["h4"] == set(), "larger than all there is, it runs alone"
    assert batch.warnings == ["h4: its memory limit is over what is available; it runs alone"]


class Watch(Listener):
    """Takes down what runs beside what, and how much memory is promised."""

    def __init__(self) -> None:
        self.running: dict[str, int] = {}
        self.beside: dict[str, set[str]] = {}
        self.most_without_h4 = 0

    def started(self, name: str, memory_bytes: int) -> None:
        self.beside[name] = set(self.running)
        for other in self.running:
            self.beside[other].add(name)
        self.running[name] = memory_bytes
        if "h4" not in self.running:
            self.most_without_h4 = max(self.most_without_h4, sum(self.running.values()))

    def finished(self, entry: BatchEntry) -> None:
        del self.running[entry.name]


def test_longest_first_by_history(tmp_path: Path) -> None:
    items = specs(tmp_path, quick="pass", slow="time.sleep(3)", other="pass")
    order: list[str] = []
    with RuntimeTester() as tester:
        tester.run_batch(items, jobs=1, state=tmp_path / "state")
        tester.run_batch(
            items,
            jobs=1,
            state=tmp_path / "state",
            on_result=lambda entry: order.append(entry.name),
        )
    assert order[0] == "slow"


def test_finished_handler_is_on_disk_before_it_is_announced(tmp_path: Path) -> None:
    journal = tmp_path / "state" / "journal.ndjson"
    seen: list[tuple[str, bool]] = []

    def look(entry: BatchEntry) -> None:
        lines = journal.read_text().splitlines()[1:]
        names = [json.loads(line)["entry"]["result"]["handler_name"] for line in lines]
        seen.append((entry.name, entry.name in names))

    with RuntimeTester() as tester:
        tester.run_batch(specs(tmp_path, a="pass", b=CRASH), state=journal.parent, on_result=look)
    assert sorted(seen) == [("a", True), ("b", True)]


def test_fail_fast_and_max_failures(tmp_path: Path) -> None:
    items = specs(tmp_path, a="1/0", b="1/0", c="pass", d="pass")
    with RuntimeTester() as tester:
        first = tester.run_batch(items, jobs=1, fail_fast=True)
        two = tester.run_batch(items, jobs=1, max_failures=2)
    assert [entry.name for entry in first.entries] == ["a"]
    assert {item.reason for item in first.not_run} == {"an earlier handler failed (--fail-fast)"}
    assert [entry.name for entry in two.entries] == ["a", "b"]
    assert [item.handler_name for item in two.not_run] == ["c", "d"]


def test_failures_of_a_batch_that_is_resumed_count_with_the_others(tmp_path: Path) -> None:
    items, state = specs(tmp_path, a="1/0", b="1/0", c="pass"), tmp_path / "state"
    with RuntimeTester() as tester:
        tester.run_batch(items, jobs=1, max_failures=1, state=state)
        batch = tester.run_batch(items, jobs=1, max_failures=2, state=state, resume=True)
    assert [entry.name for entry in batch.entries] == ["a", "b"]
    assert [item.handler_name for item in batch.not_run] == ["c"]


def test_what_passes_after_a_crash_is_flaky_and_never_clean(tmp_path: Path) -> None:
    mark = tmp_path / "crashed"
    once = f"p={str(mark)!r}; os.path.exists(p) or (open(p, 'w').close(), {CRASH})"
    items = [spec(tmp_path, "once", once, isolation="process"), *specs(tmp_path, always=CRASH)]
    with RuntimeTester() as tester:
        batch = tester.run_batch(items, retry_crashed=2)
    flaky, broken = batch.entries
    assert (flaky.status, flaky.earlier_attempts) == ("flaky", ["crashed"])
    assert (broken.status, broken.earlier_attempts) == ("error", ["crashed", "crashed"])


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    item = spec(tmp_path, "a")
    with RuntimeTester() as tester, pytest.raises(SpecError, match="two handlers are named 'a'"):
        tester.run_batch([item, item])


def test_what_is_no_spec_is_refused_in_words(tmp_path: Path) -> None:
    item: Any = spec(tmp_path, "a")
    given: Any = {"handler_name": "a"}
    with RuntimeTester() as tester:
        for call, said in {
            (lambda: tester.run_batch(item)): r"put it into a list: \[spec\]",
            (lambda: tester.run_batch("handlers")): "a list of InferenceHandlerSpec, not a str",
            (lambda: tester.run_batch([item, given])): "handler 2 of a batch is .*not a dict",
            (lambda: tester.run_batch([item], jobs=given)): "jobs must be 1 or more, got {",
            (lambda: tester.run_batch([item], jobs=0)): "jobs must be 1 or more, got 0",
            (lambda: tester.run_batch([item], max_failures=given)): "max_failures must be 0 or",
            (lambda: tester.test_inference_handler(given)): r"InferenceHandlerSpec\(\*\*fields\)",
            (lambda: tester.test_inference_pipeline(given)): "not a dict; make one with",
            (lambda: tester.compare_stacks(given)): "not a dict; make one with",
        }.items():
            with pytest.raises(SpecError, match=said):
                call()


def test_nothing_is_no_success() -> None:
    with RuntimeTester() as tester:
        assert not tester.run_batch([]).success


def test_ctrl_c_ends_workers_and_keeps_what_was_finished(tmp_path: Path) -> None:
    items = [
        *specs(tmp_path, quick="pass"),
        *[spec(tmp_path, f"hang-{n}", "time.sleep(600)") for n in range(3)],
    ]
    before = set(psutil.Process().children(recursive=True))
    done: list[str] = []

    def press() -> None:
        """Press it when one has ended and two workers hang."""
        wait_until(lambda: done and len(workers_since(before)) >= 2, LONG_S)
        os.kill(os.getpid(), signal.SIGINT)

    with RuntimeTester() as tester:
        presser = threading.Thread(target=press)
        presser.start()
        start = time.monotonic()
        batch = tester.run_batch(
            items, jobs=2, state=tmp_path / "state", on_result=lambda entry: done.append(entry.name)
        )
        presser.join()
    assert time.monotonic() - start < 300
    assert batch.interrupted
    assert [entry.name for entry in batch.entries] == ["quick"]
    assert {item.reason for item in batch.not_run} == {"interrupted"}
    assert set(psutil.Process().children(recursive=True)) <= before


def test_ctrl_c_while_an_entry_goes_to_disk_does_not_leave_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Journal.add

    def add_and_press(journal: Journal, task: Task, entry: BatchEntry) -> None:
        add(journal, task, entry)
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "add", add_and_press)
    with RuntimeTester() as tester:
        batch = tester.run_batch(specs(tmp_path, a="pass", b="pass"), jobs=1, state=tmp_path / "s")
    assert batch.interrupted
    assert [entry.name for entry in batch.entries] == ["a"]
    assert [item.handler_name for item in batch.not_run] == ["b"]


def workers_since(before: set[psutil.Process]) -> list[psutil.Process]:
    """List the workers that are there since."""
    found = set(psutil.Process().children(recursive=True)) - before
    return [process for process in found if is_worker(process)]


def is_worker(process: psutil.Process) -> bool:
    try:
        return "serve" in process.cmdline()
    except psutil.Error:
        return False


def test_resume_runs_only_what_is_missing(tmp_path: Path) -> None:
    count = tmp_path / "count"
    items = [
        spec(tmp_path, name, f"open({str(count)!r}, 'a').write('{name}')", isolation="process")
        for name in "abc"
    ]
    with RuntimeTester() as tester:
        whole = tester.run_batch(items, jobs=1, state=tmp_path / "state")
        journal = tmp_path / "state" / "journal.ndjson"
        lines = journal.read_text().splitlines(keepends=True)
        journal.write_text("".join(lines[:2]) + lines[2][:50])
        again = tester.run_batch(items, jobs=1, state=tmp_path / "state", resume=True)
    assert sorted(count.read_text()) == sorted("abc" + "bc")
    assert verdicts(again) == verdicts(whole)
    assert again.entries[0] == whole.entries[0]


def test_budget_that_is_broken_fails_a_handler_that_passes(tmp_path: Path) -> None:
    item = spec(tmp_path, "slow", "time.sleep(0.2)")
    with RuntimeTester() as tester:
        batch = tester.run_batch([item], budgets=Budgets(max_prediction_time=0.1))
        kept = tester.run_batch([item], budgets=Budgets(max_prediction_time=30.0))
    (entry,) = batch.entries
    assert entry.result.overall_success
    assert (entry.status, len(entry.findings[0].values)) == ("failed", 3)
    assert "over the budget of 100 ms" in entry.findings[0].message
    assert kept.success
    assert len(kept.entries[0].findings[0].values) == 1


def test_baseline_finds_what_changed(tmp_path: Path) -> None:
    items = specs(tmp_path, same="pass", broken="pass")
    with RuntimeTester() as tester:
        tester.run_batch(items).save(tmp_path / "before.json")
        spec(tmp_path, "broken", "raise ValueError('no')")
        batch = tester.run_batch(items, baseline=tmp_path / "before.json")
    same, broken = batch.entries
    assert same.success
    assert same.changes == []
    assert ("predict_fn[rows]", "passed", "raised") in [
        (item.place, item.before, item.now) for item in broken.changes
    ]


@pytest.mark.long
def test_budgets_do_not_flake_and_catch_what_is_slower(
    tmp_path: Path, long_count: Callable[[int], int]
) -> None:
    """The same handler again and again: at most 1 false alarm in 100; 30 % slower is found.

    It sleeps for what it takes, so that neighbours on this machine cost it little.
    """
    budgets = Budgets(max_prediction_time=0.2 * 1.15)
    same = [spec(tmp_path, f"same-{n}", "time.sleep(0.2)") for n in range(long_count(200))]
    slow = [spec(tmp_path, f"slow-{n}", "time.sleep(0.26)") for n in range(long_count(100))]
    with RuntimeTester() as tester:
        alarms = [e for e in tester.run_batch(same, budgets=budgets).entries if not e.success]
        missed = [e for e in tester.run_batch(slow, budgets=budgets).entries if e.success]
    assert len(alarms) <= max(0, len(same) // 100), [e.findings for e in alarms]
    assert len(missed) <= len(slow) // 20

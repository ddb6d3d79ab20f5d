"""A batch, run: tasks go out, entries come in, each on disk before the next is announced."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from harness.batch import deputies
from harness.batch import task as tasks
from harness.batch.deputies import Deputies
from harness.batch.history import History
from harness.batch.journal import Journal, fingerprint
from harness.batch.plan import Plan, cores, memory_available
from harness.batch.task import Task
from harness.batch_results import BatchEntry, BatchResult, NotRun
from harness.checks.kept import keeping
from harness.errors import HarnessError, SpecError
from harness.stop import Stop

LOOK_S = 0.5
FAIL_FAST = "an earlier handler failed (--fail-fast)"
TOO_MANY = "too many handlers failed (--max-failures)"
INTERRUPTED = "interrupted"


class Listener:
    """Told of what happens in a batch, by the thread that runs it. Does nothing by itself."""

    def planned(self, total: int, jobs: int) -> None:
        """Hear how many handlers there are, and how many run at one time."""

    def started(self, name: str, memory_bytes: int) -> None:
        """Hear that a handler was started, and what memory it was promised."""

    def finished(self, entry: BatchEntry) -> None:
        """Hear that a handler was finished; its entry is on disk."""

    def waiting(self) -> None:
        """Be called now and then while nothing happens."""


@dataclass(frozen=True)
class Options:
    """How a batch is run. `jobs` None: as many as there are cores. `state`: where it is kept."""

    jobs: int | None = None
    executor: Executor | None = None
    max_failures: int | None = None
    fail_fast: bool = False
    state: Path | None = None
    resume: bool = False
    memory_bytes: int | None = None
    on_result: Callable[[BatchEntry], None] | None = None
    listener: Listener = field(default_factory=Listener)


def run(given: Sequence[Task], options: Options) -> BatchResult:
    """Test every handler of a batch; give what came out in the order given.

    Ctrl-C ends the workers, and the result says so in `interrupted`. Raises SpecError when there is
    nothing to resume or no place for the state, HarnessError when the journal cannot be written.
    """
    for name, least in (("jobs", 1), ("max_failures", 0)):
        count = getattr(options, name)
        if count is not None and (not isinstance(count, int) or count < least):
            raise SpecError(f"{name} must be {least} or more, got {count!r}")
    if options.resume and options.state is None:
        raise SpecError("there is nothing to resume without a place of state; name one")
    with ExitStack() as resources:
        return _Batch(given, options, resources).run()


class _Batch:
    """One batch from its first task to its last entry."""

    def __init__(self, given: Sequence[Task], options: Options, resources: ExitStack) -> None:
        """Open in `resources` whatever lives as long as the batch."""
        self._start = time.monotonic()
        self._given = given
        self._options = options
        self._history = History.load(options.state)
        self._journal = (
            resources.enter_context(Journal(options.state, resume=options.resume))
            if options.state is not None
            else None
        )
        self._entries = self._finished_before()
        self._failed = sum(not entry.success for entry in self._entries.values())
        left = [task for task in given if task.spec.handler_name not in self._entries]
        capacity = options.memory_bytes or memory_available()
        self._plan = Plan.of(left, self._history, capacity)
        self._jobs = min(options.jobs or cores(), max(1, len(left)))
        self._stop = resources.enter_context(Stop())
        place = next((task.workspace for task in given), None)
        self._kept = resources.enter_context(keeping(Path(place) if place else None))
        self._deputies = (
            resources.enter_context(self._forks())
            if options.executor is None and self._jobs > 1 and deputies.possible()
            else None
        )
        self._executor = options.executor or resources.enter_context(self._threads())
        self._futures: dict[Future[Any], Task] = {}
        self._done: SimpleQueue[Future[Any]] = SimpleQueue()
        self._stopped: str | None = None

    def run(self) -> BatchResult:
        warnings = [
            f"{name}: its memory limit is over what is available; it runs alone"
            for name in self._plan.too_large
        ]
        self._options.listener.planned(len(self._given), self._jobs)
        for entry in self._in_order():
            self._tell(entry)
        try:
            self._work()
        except KeyboardInterrupt:
            self._stopped = INTERRUPTED
            self._end()
        except BaseException:
            self._end()
            raise
        finally:
            self._remember()
        return BatchResult(
            entries=self._in_order(),
            not_run=self._not_run(),
            interrupted=self._stopped == INTERRUPTED,
            jobs=self._jobs,
            elapsed_s=time.monotonic() - self._start,
            warnings=warnings,
        )

    def _work(self) -> None:
        self._submit()
        while self._futures:
            try:
                future = self._done.get(timeout=LOOK_S)
            except Empty:
                self._options.listener.waiting()
            else:
                if future in self._futures:  # one that was cancelled is not waited for
                    self._take(future)
            self._submit()

    def _submit(self) -> None:
        while self._stopped is None and len(self._futures) < self._jobs:
            task = self._plan.next()
            if task is None:
                return
            name = task.spec.handler_name
            self._options.listener.started(name, self._plan.running[name])
            future = self._begun(task)
            self._futures[future] = task
            future.add_done_callback(self._done.put)

    def _begun(self, task: Task) -> Future[Any]:
        if self._options.executor is not None:
            return self._executor.submit(tasks.run, task.model_dump_json())
        return self._executor.submit(self._run_in_thread, task)

    def _run_in_thread(self, task: Task) -> BatchEntry:
        with self._stop.heeded():
            if self._deputies is not None:
                return self._deputies.examined(task, self._kept)
            return tasks.examined(task, self._kept)

    def _take(self, future: Future[Any]) -> None:
        """Take in what came of a task: on disk first, then told. Raises what the task raised.

        It is in the result before it is on disk, so that Ctrl-C meanwhile does not leave it out.
        """
        task = self._futures.pop(future)
        self._plan.done(task)
        came = future.result()
        entry = BatchEntry.model_validate_json(came) if isinstance(came, str) else came
        self._entries[entry.name] = entry
        if self._journal is not None:
            self._journal.add(task, entry)
        self._failed += not entry.success
        if self._options.state is not None:
            self._history.learn(entry)
        self._tell(entry)
        self._look_at_failures()

    def _tell(self, entry: BatchEntry) -> None:
        self._options.listener.finished(entry)
        if self._options.on_result is not None:
            self._options.on_result(entry)

    def _look_at_failures(self) -> None:
        if self._failed and self._options.fail_fast:
            self._stopped = FAIL_FAST
        elif self._options.max_failures and self._failed >= self._options.max_failures:
            self._stopped = TOO_MANY
        if self._stopped is not None:
            for future in self._futures:
                future.cancel()
            self._futures = {f: task for f, task in self._futures.items() if not f.cancelled()}

    def _end(self) -> None:
        """End the workers that run, and wait for their threads."""
        self._stop.set()
        for future in self._futures:
            future.cancel()
        if self._options.executor is None:
            wait(self._futures)

    def _remember(self) -> None:
        if self._options.state is not None:
            try:
                self._history.save(self._options.state)
            except OSError as error:
                raise HarnessError(
                    f"the history in {self._options.state} cannot be written: {error.strerror}; "
                    "what was finished is in the journal beside it: make room, then go on with "
                    "--resume"
                ) from error

    def _finished_before(self) -> dict[str, BatchEntry]:
        if self._journal is None or not self._journal.finished:
            return {}
        found = [self._journal.finished.get(fingerprint(task)) for task in self._given]
        return {entry.name: entry for entry in found if entry is not None}

    def _forks(self) -> Deputies:
        return Deputies(
            self._given,
            self._jobs,
            stop=self._stop,
            templates=self._kept.templates,
            journal=None if self._journal is None else self._journal.descriptor,
        )

    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._jobs, thread_name_prefix="handlerproof")

    def _in_order(self) -> list[BatchEntry]:
        names = [task.spec.handler_name for task in self._given]
        return [self._entries[name] for name in names if name in self._entries]

    def _not_run(self) -> list[NotRun]:
        reason = self._stopped or INTERRUPTED
        names = [task.spec.handler_name for task in self._given]
        return [
            NotRun(handler_name=name, reason=reason) for name in names if name not in self._entries
        ]

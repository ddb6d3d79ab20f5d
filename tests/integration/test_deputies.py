"""A batch tested by forks of the tester: the same verdicts, one template, and nothing left.

A tester with several threads forks none, so that each batch here runs in a process of its own.
Which process tested a handler is seen in its worker's TMPDIR: run directories are named by it.
"""

from __future__ import annotations

import glob
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.batch_results import BatchEntry, BatchResult
from harness.records import Outcome
from harness.runtime import cgroups, layers
from tests.adversarial.conftest import processes_of
from tests.conftest import MakePackage
from tests.handlers import collection
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
RUN_S = 120.0
START_S = 60.0
END_S = 30.0
CRASH = "os.kill(os.getpid(), 11)"
TELLS = "print(os.environ['TMPDIR'])"
NAMED = re.compile(r"handlerproof-(\d+)-")
PLAIN = "imported before: nothing but the worker"
FIRST = "the first worker that needs these modules"

BEGIN = """
import json, os, signal, sys, threading
from pathlib import Path
import psutil
from harness import HarnessError, InferenceHandlerSpec, RuntimeTester
from harness.batch import deputies, scheduling
from harness.batch.task import Task

folder = Path(sys.argv[1])
state = folder / "state"
texts = json.loads((folder / "specs.json").read_text())
specs = [InferenceHandlerSpec.model_validate(text) for text in texts]

def batch(**options):
    with RuntimeTester(folder / "workspace") as tester:
        return tester.run_batch(specs, **options)

def saved(batch, name="result.json"):
    batch.save(folder / name)

def descriptors():
    return sorted(os.listdir("/proc/self/fd"))

assert deputies.possible()
"""


class Batcher:
    """Handlers in a directory, and processes that test them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = folder / "workspace"
        self.workspace.mkdir()
        self.specs: list[dict[str, Any]] = []

    def add(self, name: str, predict: str = TELLS, **fields: Any) -> None:
        """Add a handler. All of them have files of one name, by which templates are told apart."""
        code = self.folder / "handlers" / name / "inference.py"
        code.parent.mkdir(parents=True)
        code.write_text(collection.handler(predict))
        self.specs.append(
            {
                "handler_name": name,
                "handler_path": str(code),
                "test_data_samples": [
                    {"sample_name": "rows", "content_type": "text/csv", "request_body": "1,2"}
                ],
                "supported_accept_types": ["application/json"],
                "timeout_seconds": 120.0,
                **fields,
            }
        )

    def gate(self, name: str, **fields: Any) -> Path:
        """Add a handler that says when it is in its call, and waits there for a file; give it."""
        path = self.folder / f"{name}.go"
        # In its private directory, by which it is known who tests it.
        marks = f"print(os.getpid(), file=open(os.environ['TMPDIR'] + '/in-call-{name}', 'w', 1))"
        waits = f"while not os.path.exists({str(path)!r}): time.sleep(0.01)"
        self.add(name, f"{TELLS}; {marks}\n    {waits}", **fields)
        return path

    @contextmanager
    def running(self, script: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
        (self.folder / "specs.json").write_text(json.dumps(self.specs))
        words = [sys.executable, "-c", BEGIN + script, str(self.folder)]
        with subprocess.Popen(
            words, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def end(self, process: subprocess.Popen[str]) -> str:
        """Wait for the end of a script that has nothing to complain of; give what it said."""
        said, complaints = process.communicate(timeout=RUN_S)
        assert (process.returncode, complaints) == (0, "")
        return said

    def run(self, script: str) -> str:
        """Run a script that leaves nothing; give what it said."""
        with self.running(script) as process:
            said = self.end(process)
        self.assert_nothing_left()
        return said

    def result(self, name: str = "result.json") -> BatchResult:
        return BatchResult.load(self.folder / name)

    def calling(self) -> dict[str, int]:
        """Name the gates that are in their call, each with the process that tests it."""
        marks = glob.glob(str(self.workspace / "handlerproof-*/*-tmp/in-call-*"))
        return {name.rpartition("in-call-")[2]: owner_of(name) for name in marks}

    def worker(self, gate: str) -> psutil.Process:
        """Give the worker of a gate that is in its call."""
        (mark,) = glob.glob(str(self.workspace / f"handlerproof-*/*-tmp/in-call-{gate}"))
        written = Path(mark)
        assert wait_until(lambda: written.read_text().endswith("\n"))
        return psutil.Process(int(written.read_text()))

    def finished(self) -> int:
        """Count the handlers in the journal."""
        with suppress(OSError):
            lines = (self.folder / "state" / "journal.ndjson").read_bytes().count(b"\n")
            return max(0, lines - 1)
        return 0

    def assert_nothing_left(self) -> None:
        assert list(processes_of(self.workspace)) == []
        assert list(self.workspace.iterdir()) == []


def owner_of(mark: str) -> int:
    return int(NAMED.findall(mark)[-1])


@pytest.fixture
def batcher(tmp_path: Path) -> Batcher:
    return Batcher(tmp_path)


def told(entry: BatchEntry) -> set[int]:
    """Give the ids of the processes that tested a handler, from what it printed."""
    heads = [row.log.head for row in entry.result.function_results() if row.log is not None]
    return {int(pid) for head in heads for pid in NAMED.findall(head)}


def everyone(batch: BatchResult) -> set[int]:
    return {pid for entry in batch.entries for pid in told(entry)}


def verdicts(batch: BatchResult) -> list[tuple[str, str, str | None, list[Outcome]]]:
    return [
        (entry.name, entry.status.value, entry.fault, outcomes(entry)) for entry in batch.entries
    ]


def outcomes(entry: BatchEntry) -> list[Outcome]:
    rows = [*entry.result.function_results(), *entry.result.end_to_end_results]
    return [row.outcome for row in rows]


def how(entry: BatchEntry) -> tuple[str, str]:
    assert entry.result.environment is not None
    return entry.result.environment.start, entry.result.environment.start_reason


def forks(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """List the deputies of a tester: its children that are the same program."""
    tester = psutil.Process(process.pid)
    words = tester.cmdline()
    return [child for child in tester.children() if words_of(child) == words]


def templates(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children()
    return [child for child in children if "template" in words_of(child)]


def words_of(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def gone(process: psutil.Process) -> bool:
    """Say whether a process has ended; its first parent may not be there to collect it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# ---------------------------------------------------------------- the same as without


SEVERAL = ["good", "wrong", "crash", "hang", "absent", "unstarted", "last"]


def add_several(batcher: Batcher) -> None:
    """Add good, wrong, crashing, hanging and impossible handlers."""
    batcher.add("good")
    batcher.add("wrong", f"{TELLS}; raise ValueError('no')")
    batcher.add("crash", f"{TELLS}; {CRASH}")
    batcher.add("hang", "time.sleep(600)", limits={"timeout_seconds": 1})
    absent = {"handler_name": "absent", "packaged_model_path": str(batcher.folder / "no")}
    batcher.specs.append(absent)
    batcher.add("unstarted", environment={"python": str(batcher.folder / "no-python")})
    batcher.add("last")


def test_layers_are_tried_once_for_all(batcher: Batcher) -> None:
    """Each try is a process; what a deputy finds out is lost with it."""
    batcher.add("first")
    batcher.add("second", isolation="process")
    batcher.run(
        """
from harness.runtime import layers
saved(batch(jobs=2))
assert layers.landlock.cache_info().misses == 1
assert layers.bwrap.cache_info().misses == 0, "nobody asked for it"
"""
    )
    assert all(entry.success for entry in batcher.result().entries)


def test_verdicts_and_order_are_those_of_one_job(batcher: Batcher) -> None:
    add_several(batcher)
    script = "saved(batch(jobs=3), 'three.json'); saved(batch(jobs=1), 'one.json');"
    own = int(batcher.run(script + "print(os.getpid())"))
    one, three = batcher.result("one.json"), batcher.result("three.json")
    assert [entry.name for entry in three.entries] == SEVERAL
    assert verdicts(three) == verdicts(one)
    assert {entry.name: entry.fault for entry in three.entries if entry.fault} == {
        "absent": "spec",
        "unstarted": "environment",
    }
    assert "cannot be opened" in three.entries[4].result.errors[0]
    assert everyone(one) == {own}
    assert len(everyone(three)) >= 3
    assert own not in everyone(three)


THREAD = """
go = threading.Event()
other = threading.Thread(target=go.wait)
other.start()
assert not deputies.possible()
saved(batch(jobs=3), "threads.json")
go.set()
other.join()
print(os.getpid())
"""


def test_beside_another_thread_there_are_none_and_the_result_is_the_same(batcher: Batcher) -> None:
    add_several(batcher)
    own = int(batcher.run("saved(batch(jobs=3))" + THREAD))
    assert verdicts(batcher.result("threads.json")) == verdicts(batcher.result())
    assert everyone(batcher.result("threads.json")) == {own}
    assert own not in everyone(batcher.result())


JOINED = """
for _ in range(500):
    other = threading.Thread(target=int)
    other.start()
    other.join()
    assert deputies.possible()
"""


def test_a_thread_that_was_joined_is_waited_for_until_the_system_has_ended_it(
    batcher: Batcher,
) -> None:
    """The kernel lists a thread for a moment after its last line of Python."""
    batcher.run(JOINED)


DAEMON = """
import multiprocessing

def run(_):
    assert multiprocessing.current_process().daemon
    saved(batch(jobs=2))

with multiprocessing.get_context("fork").Pool(1) as pool:
    pool.map(run, [0])
"""
IGNORED = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
assert not deputies.possible()
saved(batch(jobs=2))
"""


@pytest.mark.parametrize("script", [DAEMON, IGNORED], ids=["daemon", "SIGCHLD ignored"])
def test_where_no_children_can_be_had_it_runs_on_threads(batcher: Batcher, script: str) -> None:
    for name in "abc":
        batcher.add(name)
    batcher.run(script)
    assert batcher.result().success
    assert len(everyone(batcher.result())) == 1


NO_MORE = """
real, left = os.fork, [{left}]

def fork():
    if not left[0]:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    left[0] -= 1
    return real()

os.fork = fork
saved(batch(jobs=3))
os.fork = real
assert not psutil.Process().children()
print(os.getpid())
"""


@pytest.mark.parametrize("left", [0, 1])
def test_as_many_as_can_be_forked_and_the_tester_does_the_rest(batcher: Batcher, left: int) -> None:
    for name in "abcd":
        batcher.add(name)
    own = int(batcher.run(NO_MORE.format(left=left)))
    assert batcher.result().success
    assert own in everyone(batcher.result())
    assert len(everyone(batcher.result())) == 1 + left


def test_crashes_are_retried_and_runs_repeated(batcher: Batcher) -> None:
    mark = batcher.folder / "crashed"
    once = f"p = {str(mark)!r}; os.path.exists(p) or (open(p, 'w').close(), {CRASH}); {TELLS}"
    batcher.add("once", once, isolation="process")
    batcher.add("always", CRASH)
    batcher.add("good")
    own = int(batcher.run("saved(batch(jobs=3, retry_crashed=2, runs=3)); print(os.getpid())"))
    first, always, good = batcher.result().entries
    assert (first.status, first.earlier_attempts) == ("flaky", ["crashed"])
    assert (always.status, always.earlier_attempts) == ("error", ["crashed", "crashed"])
    assert len(good.runs["prediction_s"]) == 3
    assert own not in everyone(batcher.result())


def test_after_a_failure_what_runs_is_finished_and_no_more_begun(batcher: Batcher) -> None:
    batcher.add("wrong", "raise ValueError('no')")
    go = batcher.gate("gate")
    batcher.add("never")
    with batcher.running("saved(batch(jobs=2, state=state, fail_fast=True))") as process:
        assert wait_until(lambda: batcher.finished() == 1 and batcher.calling(), START_S)
        assert batcher.calling()["gate"] in {fork.pid for fork in forks(process)}
        go.touch()
        batcher.end(process)
    batch = batcher.result()
    assert {entry.name: entry.success for entry in batch.entries} == {"wrong": False, "gate": True}
    assert [item.handler_name for item in batch.not_run] == ["never"]
    assert not batch.interrupted
    batcher.assert_nothing_left()


# ---------------------------------------------------------------- templates


WATCHED = """
seen = set()

def look(entry):
    for child in psutil.Process().children():
        if "template" in child.cmdline():
            seen.add(child.pid)

saved(batch(jobs=3, on_result=look))
print(json.dumps(sorted(seen)))
"""


@pytest.mark.parametrize("start", ["warm", "auto"])
def test_one_template_serves_all_of_them(batcher: Batcher, start: str) -> None:
    for number in range(6):
        batcher.add(f"h{number}", start=start)
    seen = json.loads(batcher.run(WATCHED))
    batch = batcher.result()
    assert batch.success
    fresh = [("fresh", FIRST)] if start == "auto" else []
    assert sorted(map(how, batch.entries)) == fresh + [("warm", PLAIN)] * (6 - len(fresh))
    assert len(seen) == 1
    assert len(everyone(batch)) >= 3


# The id of the supervisor's parent.
ANCESTOR = f"""{TELLS}
    with open("/proc/%d/stat" % os.getppid()) as file:
        print("ancestor", int(file.read().rpartition(")")[2].split()[1]))"""


def test_supervisors_of_fresh_workers_are_forked_by_one_template(batcher: Batcher) -> None:
    for number in range(6):
        batcher.add(f"h{number}", ANCESTOR, start="fresh")
    (template,) = json.loads(batcher.run(WATCHED))
    batch = batcher.result()
    assert [how(entry) for entry in batch.entries] == [("fresh", "asked for")] * 6
    ancestors = [ancestor(entry) for entry in batch.entries]
    assert ancestors.count(template) == 5
    (first,) = (pid for pid in ancestors if pid != template)
    assert first in everyone(batch), "the first one is started by the deputy itself"


def ancestor(entry: BatchEntry) -> int:
    (row,) = entry.result.predict_fn_results
    assert row.log is not None
    return int(row.log.head.split("ancestor ")[1].split()[0])


def test_template_that_is_killed_is_not_missed(batcher: Batcher) -> None:
    gates = [batcher.gate(name, start="warm") for name in ("one", "two")]
    batcher.add("last", start="warm")
    with batcher.running("saved(batch(jobs=2))") as process:
        assert wait_until(lambda: len(batcher.calling()) == 2, START_S)
        (template,) = templates(process)
        template.kill()
        assert wait_until(lambda: gone(template), END_S)
        for go in gates:
            go.touch()
        batcher.end(process)
    assert batcher.result().success
    one, two, last = map(how, batcher.result().entries)
    assert one == two == ("warm", PLAIN)
    assert last == ("fresh", "its template ended by itself")
    batcher.assert_nothing_left()


# ---------------------------------------------------------------- one is killed


@pytest.mark.parametrize("start", ["fresh", "warm"])
def test_one_that_is_killed_costs_its_handler_alone(batcher: Batcher, start: str) -> None:
    batcher.gate("hang", start=start)
    go = batcher.gate("gate", start=start)
    batcher.add("a", start=start)
    batcher.add("b", start=start)
    with batcher.running("saved(batch(jobs=2))") as process:
        assert wait_until(lambda: len(batcher.calling()) == 2, START_S)
        hanging, other = batcher.calling()["hang"], batcher.calling()["gate"]
        (victim,) = (fork for fork in forks(process) if fork.pid == hanging)
        victim.kill()
        assert wait_until(lambda: not list(processes_under(batcher, victim.pid)), END_S)
        go.touch()
        batcher.end(process)
    batch = batcher.result()
    assert [entry.name for entry in batch.entries] == ["hang", "gate", "a", "b"]
    lost, *others = batch.entries
    assert (lost.fault, lost.status) == ("tester", "error")
    assert "was ended by signal 9" in lost.result.errors[0]
    assert all(entry.success for entry in others), [entry.result.errors for entry in others]
    assert everyone(batch) == {other}, "not the tester itself, which another loss would end"
    assert not batch.not_run
    batcher.assert_nothing_left()


@pytest.mark.skipif(not layers.cgroup().works, reason="no control groups can be made here")
def test_control_group_of_one_that_is_killed_is_removed(batcher: Batcher) -> None:
    batcher.gate("hang")
    go = batcher.gate("gate")
    with batcher.running("saved(batch(jobs=2))") as process:
        assert wait_until(lambda: len(batcher.calling()) == 2, START_S)
        hanging = batcher.calling()["hang"]
        groups = groups_of(hanging)
        (victim,) = (fork for fork in forks(process) if fork.pid == hanging)
        victim.kill()
        assert wait_until(lambda: not list(processes_under(batcher, victim.pid)), END_S)
        go.touch()
        batcher.end(process)
    assert groups
    assert groups_of(victim.pid) == []
    batcher.assert_nothing_left()


@pytest.mark.parametrize("start", ["fresh", "warm"])
@pytest.mark.parametrize("isolation", ["process", "auto"])
def test_a_worker_ends_with_its_deputy_though_its_supervisor_was_stopped(
    batcher: Batcher, isolation: str, start: str
) -> None:
    """A supervisor that was forked of a template is no child of the deputy's."""
    batcher.gate("hang", start=start, isolation=isolation)
    go = batcher.gate("gate", start=start, isolation=isolation)
    with batcher.running("saved(batch(jobs=2))") as process:
        assert wait_until(lambda: len(batcher.calling()) == 2, START_S)
        hanging = batcher.calling()["hang"]
        (victim,) = (fork for fork in forks(process) if fork.pid == hanging)
        worker = batcher.worker("hang")
        supervisor = worker.parent()
        assert supervisor is not None
        supervisor.suspend()
        victim.kill()
        go.touch()
        batcher.end(process)
        assert gone(worker)
        assert wait_until(lambda: gone(supervisor), END_S)
    if layers.cgroup().works:
        assert groups_of(victim.pid) == []
    batcher.assert_nothing_left()


@pytest.mark.parametrize("ending", ["go", "press"])
def test_one_that_a_handler_has_stopped_goes_on(batcher: Batcher, ending: str) -> None:
    go = batcher.gate("stopped")
    other = batcher.gate("other")
    with batcher.running("saved(batch(jobs=2))") as process:
        assert wait_until(lambda: len(batcher.calling()) == 2, START_S)
        (victim,) = (fork for fork in forks(process) if fork.pid == batcher.calling()["stopped"])
        victim.suspend()
        if ending == "go":
            go.touch()
            other.touch()
        else:
            to_process(process)
        batcher.end(process)
    assert batcher.result().success == (ending == "go")
    assert batcher.result().interrupted == (ending == "press")
    batcher.assert_nothing_left()


STOPS_IN_THE_MIDDLE = """
import socket

tester, send_fds, before = os.getpid(), socket.send_fds, []

def send_head(*given):
    count = send_fds(*given)
    if os.getpid() != tester and not before:
        before.append(1)
        os.kill(os.getpid(), signal.SIGSTOP)
    return count

socket.send_fds = send_head
saved(batch(jobs=2))
"""


def test_one_that_is_stopped_in_the_middle_of_a_word_goes_on(batcher: Batcher) -> None:
    for name in "abc":
        batcher.add(name)
    batcher.run(STOPS_IN_THE_MIDDLE)
    assert batcher.result().success
    assert len(everyone(batcher.result())) == 2


ENDS_UNHURT = """
import multiprocessing.process

def kill(process):
    raise AssertionError("its id may be another's by now")

multiprocessing.process.BaseProcess.kill = kill
saved(batch(jobs=2))
"""


def test_one_that_leaves_is_sent_no_signal(batcher: Batcher) -> None:
    for name in "abc":
        batcher.add(name)
    batcher.run(ENDS_UNHURT)
    assert batcher.result().success


def groups_of(pid: int) -> list[Path]:
    """List the control groups that a process made; to look for a place would remove them."""
    place = cgroups.here()
    folders = {place.memory, place.pids or place.memory}
    return [path for folder in folders for path in folder.glob(f"handlerproof-{pid}-*")]


def processes_under(batcher: Batcher, pid: int) -> Iterator[psutil.Process]:
    """Find the processes in whose variables a run directory of this process is."""
    for process in processes_of(batcher.workspace):
        with suppress(psutil.Error, OSError):
            if any(f"handlerproof-{pid}-" in value for value in process.environ().values()):
                yield process


PROMISED = """
tasks = [Task(spec=spec, workspace=str(folder / "workspace")) for spec in specs]
options = scheduling.Options(jobs=2, memory_bytes=700 << 20, state=state)
saved(scheduling.run(tasks, options))
"""


def test_one_that_is_killed_while_it_waits_costs_nothing(
    batcher: Batcher, package: MakePackage
) -> None:
    """The large one runs alone, so that who tested the quick one waits for the gate."""
    packed = package({"code/inference.py": collection.handler(TELLS)}, as_archive=True)
    go = batcher.gate("gate", limits={"memory_limit_mb": 300})
    batcher.add("quick", limits={"memory_limit_mb": 300}, packaged_model_path=str(packed))
    del batcher.specs[-1]["handler_path"]
    batcher.add("large", limits={"memory_limit_mb": 900})
    with batcher.running(PROMISED) as process:
        assert wait_until(lambda: batcher.finished() == 1 and batcher.calling(), START_S)
        busy = batcher.calling()["gate"]
        (victim,) = (fork for fork in forks(process) if fork.pid != busy)
        kept = list(batcher.workspace.glob(f"handlerproof-{victim.pid}-*"))
        victim.kill()
        go.touch()
        batcher.end(process)
    gate, quick, large = batcher.result().entries
    assert len(kept) == 1, "the package that it has unpacked"
    assert batcher.result().success
    assert told(quick) == {victim.pid}
    assert told(gate) == told(large) == {busy}
    batcher.assert_nothing_left()


SWEPT_IN_VAIN = """
import shutil
seen = []

def end(entry):
    seen.append(entry)
    if len(seen) == 2:
        psutil.Process().children()[0].kill()
        shutil.rmtree(folder / "workspace")
        (folder / "workspace").touch()

saved(batch(jobs=2, on_result=end))
"""


def test_result_is_given_though_what_one_left_cannot_be_removed(batcher: Batcher) -> None:
    batcher.add("good")
    batcher.specs.append({"handler_name": "absent", "packaged_model_path": "/no/package"})
    with batcher.running(SWEPT_IN_VAIN) as process:
        batcher.end(process)
    assert [entry.success for entry in batcher.result().entries] == [True, False]


NO_ROOM = """
import resource

limits = resource.getrlimit(resource.RLIMIT_NOFILE)
seen = []

def lowest():
    number = os.dup(0)
    os.close(number)
    return number

def look(entry):
    seen.append(entry)
    if len(seen) == 3:
        # Other threads open some, and close them again.
        least = min(lowest() for _ in range(20) if not threading.Event().wait(0.005))
        resource.setrlimit(resource.RLIMIT_NOFILE, (least + 3, limits[1]))
    elif len(seen) == 7:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

saved(batch(jobs=2, on_result=look))
"""


@pytest.mark.parametrize("start", ["fresh", "warm"])
def test_workers_are_started_fresh_where_the_tester_has_no_room(
    batcher: Batcher, start: str
) -> None:
    """The tester has a template by then, and no room for the descriptors of another worker."""
    for number in range(8):
        batcher.add(f"h{number}", start=start)
    batcher.run(NO_ROOM)
    batch = batcher.result()
    assert batch.success, [entry.result.errors for entry in batch.entries]
    starts = {how(entry) for entry in batch.entries}
    if start == "warm":
        assert ("fresh", "this process can have no more descriptors") in starts
    assert len(everyone(batch)) == 2


NO_ROOM_THERE = """
import resource

limits = resource.getrlimit(resource.RLIMIT_NOFILE)
seen = []

def look(entry):
    seen.append(entry)
    if len(seen) == 3 or entry.fault:
        for child in psutil.Process().children():
            if child.cmdline() == psutil.Process().cmdline():
                room = limits if entry.fault else (12, limits[1])
                resource.prlimit(child.pid, resource.RLIMIT_NOFILE, room)

saved(batch(jobs=2, on_result=look))
"""


def test_no_room_for_a_worker_costs_its_handler_alone(batcher: Batcher) -> None:
    for number in range(12):
        batcher.add(f"h{number}", start="fresh")
    batcher.run(NO_ROOM_THERE)
    batch = batcher.result()
    lost = [entry for entry in batch.entries if not entry.success]
    assert 1 <= len(lost) <= 3
    assert {(entry.fault, entry.status.value) for entry in lost} == {("tester", "error")}
    texts = [entry.result.errors[0] for entry in lost]
    assert all("Too many open files" in text for text in texts), texts
    assert not batch.not_run
    assert len(batch.entries) == 12


NO_GROUP = """
from harness.runtime import cgroups

class Group(cgroups.Group):
    count = 0

    def __init__(self, *given, **named):
        Group.count += 1
        if Group.count == 2:
            raise cgroups.Unavailable("memory.limit_in_bytes: Too many open files")
        super().__init__(*given, **named)

cgroups.Group = Group
saved(batch(jobs={jobs}))
"""


@pytest.mark.skipif(not layers.cgroup().works, reason="no control groups can be made here")
@pytest.mark.parametrize("jobs", [1, 2])
def test_no_room_for_a_control_group_costs_its_handler_alone(batcher: Batcher, jobs: int) -> None:
    for name in "abcdef":
        batcher.add(name, start="fresh")
    batcher.run(NO_GROUP.format(jobs=jobs))
    batch = batcher.result()
    lost = [entry for entry in batch.entries if not entry.success]
    assert 1 <= len(lost) <= jobs
    assert {entry.fault for entry in lost} == {"tester"}
    assert "Too many open files" in lost[0].result.errors[0]
    assert len(batch.entries) == 6


LEFT_RESISTS = """
from harness.artifacts import workspace
from harness.errors import LeftoverError

remove = workspace.remove

def resist(path, **named):
    keeps = any(path.glob("*-tmp/keep"))
    remove(path, **named)
    if keeps:
        raise LeftoverError(f"{{path}} cannot be removed: 'tmp/keep' resists; remove it by hand")

workspace.remove = resist
saved(batch(jobs={jobs}))
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_handler_whose_directory_resists_costs_no_other_a_row(
    batcher: Batcher, jobs: int
) -> None:
    batcher.add("keeps", "open(os.path.join(os.environ['TMPDIR'], 'keep'), 'w').close()")
    for name in "abc":
        batcher.add(name)
    batcher.run(LEFT_RESISTS.format(jobs=jobs))
    kept, *others = batcher.result().entries
    assert kept.fault == "tester"
    assert "'tmp/keep' resists" in kept.result.errors[0]
    assert all(entry.success for entry in others)


RESISTS = """
from harness.artifacts.shelf import Shelf

tester, leave = os.getpid(), Shelf.__exit__

def resist(shelf, *raised):
    leave(shelf, *raised)
    if os.getpid() != tester:
        raise HarnessError("a directory resists; remove it by hand")

Shelf.__exit__ = resist
saved(batch(jobs=2))
"""


def test_a_directory_that_resists_at_the_end_is_told_in_a_line(batcher: Batcher) -> None:
    for name in ("first", "second"):
        batcher.add(name)
    with batcher.running(RESISTS) as process:
        _, complaints = process.communicate(timeout=RUN_S)
    assert complaints.splitlines() == ["a directory resists; remove it by hand"] * 2
    assert process.returncode == 0
    assert all(entry.success for entry in batcher.result().entries)


# ---------------------------------------------------------------- Ctrl-C


def to_process(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)


def to_group(process: subprocess.Popen[str]) -> None:
    """As a terminal does."""
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.parametrize("press", [to_process, to_group])
def test_ctrl_c_ends_all_and_keeps_what_was_finished(
    batcher: Batcher, press: Callable[[subprocess.Popen[str]], None]
) -> None:
    batcher.add("quick")
    batcher.gate("hang-0")
    batcher.gate("hang-1", start="fresh")
    batcher.add("never")
    script = "saved(batch(jobs=2, state=state)); assert not psutil.Process().children()"
    with batcher.running(script, start_new_session=True) as process:
        assert wait_until(lambda: len(batcher.calling()) == 2 and batcher.finished(), START_S)
        assert {fork.pid for fork in forks(process)} == set(batcher.calling().values())
        family = psutil.Process(process.pid).children(recursive=True)
        press(process)
        batcher.end(process)
    batch = batcher.result()
    assert batch.interrupted
    assert [entry.name for entry in batch.entries] == ["quick"]
    assert {item.handler_name for item in batch.not_run} == {"hang-0", "hang-1", "never"}
    assert all(map(gone, family))
    batcher.assert_nothing_left()


PRESSED_IN_A_FORK = """
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGINT))
saved(batch(jobs=2))
print(os.getpid())
"""
PRESSED_BETWEEN_FORKS = """
before = descriptors()
os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGINT))
try:
    batch(jobs=2)
except KeyboardInterrupt:
    assert not psutil.Process().children()
    print("interrupted", descriptors() == before)
"""


def test_ctrl_c_does_not_end_one_that_has_just_begun(batcher: Batcher) -> None:
    for name in "abc":
        batcher.add(name)
    own = int(batcher.run(PRESSED_IN_A_FORK))
    assert batcher.result().success
    assert own not in everyone(batcher.result())


def test_ctrl_c_between_the_forks_leaves_none(batcher: Batcher) -> None:
    for name in "ab":
        batcher.add(name)
    assert batcher.run(PRESSED_BETWEEN_FORKS) == "interrupted True\n"


# ---------------------------------------------------------------- the tester is killed


def add_two_gates(batcher: Batcher) -> list[Path]:
    batcher.add("quick")
    return [batcher.gate("gate-0"), batcher.gate("gate-1", start="fresh")]


def test_nothing_survives_a_killed_tester(batcher: Batcher) -> None:
    add_two_gates(batcher)
    with batcher.running("batch(jobs=2, state=state)") as process:
        assert wait_until(lambda: len(batcher.calling()) == 2 and batcher.finished(), START_S)
        deputies = forks(process)
        assert {fork.pid for fork in deputies} == set(batcher.calling().values())
        assert templates(process)
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        assert wait_until(lambda: all(map(gone, family)), END_S), family
    assert list(processes_of(batcher.workspace)) == []
    for deputy in deputies:
        assert not list(batcher.workspace.glob(f"handlerproof-{deputy.pid}-*"))


def test_killed_batch_can_be_resumed_at_once(batcher: Batcher) -> None:
    gates = add_two_gates(batcher)
    with batcher.running("batch(jobs=2, state=state)") as process:
        assert wait_until(lambda: len(batcher.calling()) == 2 and batcher.finished(), START_S)
        before = set(batcher.calling().values())
        process.kill()
        process.wait()
        with batcher.running("saved(batch(jobs=2, state=state, resume=True))") as another:
            for go in gates:
                go.touch()
            batcher.end(another)
    batch = batcher.result()
    assert [entry.name for entry in batch.entries] == ["quick", "gate-0", "gate-1"]
    assert batch.success
    assert told(batch.entries[0]) <= before, "it is not tested again"
    assert not (told(batch.entries[1]) | told(batch.entries[2])) & before
    assert wait_until(lambda: not list(batcher.workspace.iterdir()), END_S)
    batcher.assert_nothing_left()


# ---------------------------------------------------------------- errors of ours


ELSEWHERE = """
(folder / "file").touch()
tasks = [Task(spec=spec, workspace=str(folder / "file" / "below")) for spec in specs]
try:
    scheduling.run(tasks, scheduling.Options(jobs=2))
except HarnessError as error:
    print(type(error).__name__, error, *error.__notes__)
assert not psutil.Process().children()
assert threading.active_count() == 1
"""


def test_error_of_ours_is_raised_as_itself(batcher: Batcher) -> None:
    for name in "abc":
        batcher.add(name)
    said = batcher.run(ELSEWHERE)
    assert said.startswith(f"HarnessError no run directory can be made in {batcher.folder}/file")
    assert "name a workspace directory that can be written" in said
    assert "Traceback" in said, "of the process in which it was raised"


RAISED = """
from harness.batch import task

class Worded(Exception):
    def __init__(self, one, other):
        super().__init__(one + other)

class Locked(Exception):
    def __init__(self):
        super().__init__("locked")
        self.lock = threading.Lock()

def examined(task, kept):
    raise {raised}

task.examined = examined
try:
    batch(jobs=2)
except BaseException as error:
    print(f"{{type(error).__name__}}: {{error}}")
    assert "in examined" in error.__notes__[0]
assert not psutil.Process().children()
"""


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("EOFError('too short')", "EOFError: too short"),
        ("SystemExit(3)", "SystemExit: 3"),
        ("Worded('a', 'b')", "RuntimeError: Worded: ab"),
        ("Locked()", "RuntimeError: Locked: locked"),
    ],
)
def test_whatever_a_task_raises_reaches_the_caller(
    batcher: Batcher, raised: str, said: str
) -> None:
    """Also what looks as if the process was gone, and what cannot be sent as it is."""
    for name in "abc":
        batcher.add(name)
    assert batcher.run(RAISED.format(raised=raised)) == f"{said}\n"


# ---------------------------------------------------------------- descriptors


COUNTED = """
before = descriptors()
for _ in range(3):
    assert batch(jobs=3, state=state).success
    assert descriptors() == before, (before, descriptors())
print(os.getpid())
"""


def test_no_descriptor_is_left(batcher: Batcher) -> None:
    for number in range(6):
        batcher.add(f"h{number}", start=("warm", "fresh")[number % 2])
    assert batcher.run(COUNTED)


def test_no_descriptor_that_one_has_is_inheritable(batcher: Batcher) -> None:
    gates = [batcher.gate("one", start="warm"), batcher.gate("two", start="warm")]
    with batcher.running("batch(jobs=2)") as process:
        assert wait_until(lambda: len(batcher.calling()) == 2, START_S)
        for pid in (process.pid, *batcher.calling().values()):
            assert len(os.listdir(f"/proc/{pid}/fd")) > 8
            assert inheritable(pid) <= {"0", "1", "2"}
        for go in gates:
            go.touch()
        batcher.end(process)
    batcher.assert_nothing_left()


def inheritable(pid: int) -> set[str]:
    """Name the descriptors of a process that a program started by it would inherit."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        with suppress(OSError):
            text = Path(f"/proc/{pid}/fdinfo/{name}").read_text()
            flags = int(re.findall(r"^flags:\s*(\d+)$", text, re.M)[0], 8)
            found |= set() if flags & os.O_CLOEXEC else {name}
    return found

"""Two things at the same instant: for every pair that can apply at once, the one that is told.

How a worker ended wins over what was in progress, a limit that was passed over how it ended, and
memory over every other limit; but an answer that was read before the deadline was seen is one.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

import worker.protocol as protocol
from harness import Limits, Outcome
from harness.checks import verdict
from harness.results import FunctionTestResult
from harness.runtime import session as session_module
from harness.runtime import system
from harness.runtime.cgroups import Usage
from harness.runtime.session import Answer, Session
from tests.adversarial.faults import SMALL
from tests.adversarial.running import files, first_rows, run, spec_for
from tests.adversarial.scripted import (
    CALL,
    STACK,
    Kernel,
    Script,
    ScriptedProcess,
    ended,
    returned,
)
from tests.conftest import MakePackage

MIB = 1 << 20
LIMITS = Limits(memory_limit_mb=300, max_processes=100, max_output_bytes=1000)
TIMEOUT_S = 5.0

FLOOD = b"x" * 2000
GARBAGE = b"this is no message\n"
ENDLESS = b"x" * 20_000
LINE_BYTES = 10_000

OOM = Kernel(Usage(peak_bytes=300 * MIB, oom_kills=1, forks_refused=0))
NO_OOM = Kernel(Usage(peak_bytes=200 * MIB, oom_kills=0, forks_refused=0))
REFUSED = Kernel(Usage(peak_bytes=200 * MIB, oom_kills=0, forks_refused=1))

MEMORY = ended("memory", signal=signal.SIGKILL, memory_bytes=310 * MIB)
PROCESSES = ended("processes", signal=signal.SIGKILL, processes=101)
SEGFAULT = ended("exit", signal=signal.SIGSEGV)
SIGKILLED = ended("exit", signal=signal.SIGKILL)
FILE_TOO_LARGE = ended("exit", signal=signal.SIGXFSZ)
EXIT = ended("exit", exit_code=0)
CHANNEL_LOST = ended("exit", exit_code=protocol.EXIT_CHANNEL_LOST)
OVERDUE = ended("deadline", signal=signal.SIGKILL)

# In every case the deadline has passed when the tester looks.
PAIRS = {
    # memory
    "the deadline alone": (Script(), "timed_out"),
    "memory at the deadline": (Script(report=MEMORY), "memory_exceeded"),
    "memory while the deadline's kill was under way": (Script(last=MEMORY), "memory_exceeded"),
    "the kernel's memory kill at the deadline": (Script(kernel=OOM), "memory_exceeded"),
    "the kernel's memory kill": (Script(report=SIGKILLED, kernel=OOM), "memory_exceeded"),
    "the kernel killed a child and the worker answered": (
        Script(replies=returned(), kernel=OOM),
        "memory_exceeded",
    ),
    "memory and processes": (Script(report=PROCESSES, kernel=OOM), "memory_exceeded"),
    "memory and a flood": (Script(log=FLOOD, last=MEMORY), "memory_exceeded"),
    "memory and an endless reply": (Script(replies=ENDLESS, last=MEMORY), "memory_exceeded"),
    "memory and garbage": (Script(replies=GARBAGE, last=MEMORY), "memory_exceeded"),
    "memory and exit": (Script(report=EXIT, kernel=OOM), "memory_exceeded"),
    "memory and a tester that was late": (Script(report=OVERDUE, kernel=OOM), "memory_exceeded"),
    "memory and a lost channel": (Script(report=CHANNEL_LOST, kernel=OOM), "memory_exceeded"),
    # someone else's kill is not ours, and not the kernel's
    "killed by another, with a memory limit": (Script(report=SIGKILLED, kernel=NO_OOM), "crashed"),
    "killed by another, no control group": (Script(report=SIGKILLED), "crashed"),
    # processes
    "processes at the deadline": (Script(last=PROCESSES), "processes_exceeded"),
    "processes and a flood": (Script(log=FLOOD, last=PROCESSES), "processes_exceeded"),
    "processes and garbage": (Script(replies=GARBAGE, last=PROCESSES), "processes_exceeded"),
    "refused forks and exit": (Script(report=EXIT, kernel=REFUSED), "processes_exceeded"),
    "refused forks and a crash": (Script(report=SEGFAULT, kernel=REFUSED), "processes_exceeded"),
    "refused forks and the deadline": (Script(kernel=REFUSED), "processes_exceeded"),
    "refused forks and an answer": (Script(replies=returned(), kernel=REFUSED), "passed"),
    # output
    "a flood at the deadline": (Script(log=FLOOD), "output_exceeded"),
    "a flood and an answer": (Script(log=FLOOD, replies=returned()), "output_exceeded"),
    "a flood and exit": (Script(log=FLOOD, report=EXIT), "output_exceeded"),
    "a flood and a crash": (Script(log=FLOOD, report=SEGFAULT), "output_exceeded"),
    "a flood and garbage": (Script(log=FLOOD, replies=GARBAGE), "output_exceeded"),
    "a flood and a lost channel": (Script(log=FLOOD, report=CHANNEL_LOST), "output_exceeded"),
    "an endless reply at the deadline": (Script(replies=ENDLESS), "output_exceeded"),
    "an endless reply and a crash": (Script(replies=ENDLESS, report=SEGFAULT), "output_exceeded"),
    # disk
    "a file too large at the deadline": (Script(report=FILE_TOO_LARGE), "disk_exceeded"),
    # how it ended
    "exit at the deadline": (Script(report=EXIT), "exited"),
    "a crash at the deadline": (Script(report=SEGFAULT), "crashed"),
    "a crash while the deadline's kill was under way": (Script(last=SEGFAULT), "timed_out"),
    "garbage at the deadline": (Script(replies=GARBAGE), "protocol_violated"),
    "garbage and a crash": (Script(replies=GARBAGE, report=SEGFAULT), "protocol_violated"),
    "a closed channel at the deadline": (Script(channel=False), "timed_out"),
    "a closed channel and exit": (Script(channel=False, report=CHANNEL_LOST), "protocol_violated"),
    "a closed channel and a crash": (Script(channel=False, report=SEGFAULT), "crashed"),
    "the supervisor killed at the deadline": (Script(last=None), "crashed"),
    "the supervisor's own deadline": (Script(report=OVERDUE), "timed_out"),
    # an answer
    "an answer at the deadline": (Script(replies=returned()), "passed"),
    "an answer and exit": (Script(replies=returned(), report=EXIT), "passed"),
    "an answer and memory": (Script(replies=returned(), report=MEMORY), "passed"),
    "an answer and a killed supervisor": (Script(replies=returned(), last=None), "passed"),
    "an answer to another call": (Script(replies=returned("another")), "protocol_violated"),
    "two answers": (Script(replies=returned() + returned()), "passed"),
}

# What came with an answer is found before the next call, and then changes the row of this one.
AFTERWARDS = {
    "an answer at the deadline": None,
    "refused forks and an answer": None,
    "an answer and exit": "exited",
    "an answer and memory": "memory_exceeded",
    "an answer and a killed supervisor": "crashed",
    "two answers": "protocol_violated",
}


@contextmanager
def asked(
    script: Script, monkeypatch: pytest.MonkeyPatch, process: ScriptedProcess | None = None
) -> Iterator[tuple[Session, Answer]]:
    """Make one call of a scripted worker, with the deadline at the instant of its words."""
    process = process or ScriptedProcess(script)
    monkeypatch.setattr(session_module, "time", SimpleNamespace(monotonic=process.now))
    monkeypatch.setattr(protocol, "LINE_OVERHEAD_BYTES", LINE_BYTES)
    session = Session(
        process,  # type: ignore[arg-type]
        max_output_bytes=LIMITS.max_output_bytes,
        max_response_bytes=1000,
    )
    try:
        call = protocol.Call(id=CALL, function="predict_fn", arguments=[])
        yield session, session.request(call, TIMEOUT_S)
    finally:
        process.close()


def row_of(answer: Answer) -> FunctionTestResult:
    fields = verdict.judge(answer, LIMITS, phase="call", function="predict_fn")
    return FunctionTestResult(function_name="predict_fn", **fields)


@pytest.mark.parametrize("name", PAIRS)
def test_of_two_things_at_once_one_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script, outcome = PAIRS[name]
    with asked(script, monkeypatch) as (session, answer):
        row = row_of(answer)
        assert row.outcome == outcome, row
        assert session.alive is row.success
        if not row.success:
            assert row.error_message


@pytest.mark.parametrize("name", AFTERWARDS)
def test_what_came_with_an_answer_changes_its_row(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, _ = PAIRS[name]
    with asked(script, monkeypatch) as (session, answer):
        row, ending = row_of(answer), session.settle()
        if AFTERWARDS[name] is None:
            assert ending is None
            return
        assert ending is not None
        late = verdict.late(row, ending)
        assert (row.outcome, late.outcome) == ("passed", AFTERWARDS[name])
        assert "predict_fn answered, and then: " in (late.error_message or "")


def test_every_answer_is_looked_at_again() -> None:
    passed = {name for name, (_, outcome) in PAIRS.items() if outcome == "passed"}
    assert passed == AFTERWARDS.keys()


def test_every_outcome_of_an_ending_is_in_a_pair() -> None:
    """The others are not of a worker that ended: the function's own, or no call was made."""
    own = {"failed", "raised", "not_started", "skipped"}
    assert {outcome for _, outcome in PAIRS.values()} == set(Outcome) - own


# ---------------------------------------------------------------- the evidence that goes with it


@pytest.mark.parametrize("report", ["report", "last"])
def test_kill_of_ours_is_no_signal_of_the_handlers(
    report: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with asked(Script(**{report: MEMORY}), monkeypatch) as (_, answer):  # type: ignore[arg-type]
        row = row_of(answer)
    assert (row.signal, row.exit_code) == (None, None)
    assert (row.peak_memory_bytes, row.peak_memory_source) == (310 * MIB, "pss")
    assert "310 MiB (limit 300 MiB)" in (row.error_message or "")


def test_kill_by_another_names_the_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    with asked(PAIRS["killed by another, with a memory limit"][0], monkeypatch) as (_, answer):
        row = row_of(answer)
    assert row.signal is not None
    assert (row.signal.name, row.peak_memory_source) == ("SIGKILL", "cgroup")


@pytest.mark.parametrize(
    ("report", "before", "after", "told"),
    [
        (SIGKILLED, 7, 8, True),
        (SIGKILLED, 7, 7, False),
        (SIGKILLED, None, None, False),
        (SEGFAULT, 7, 8, False),
    ],
)
def test_kill_by_the_system_for_memory_is_told_as_possible(
    report: bytes,
    before: int | None,
    after: int | None,
    told: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The machine was out of memory, but nothing says that it was for this worker."""
    counts = iter([before, after])
    monkeypatch.setattr(system, "oom_kills", lambda: next(counts))
    with asked(Script(report=report), monkeypatch) as (_, answer):
        row = row_of(answer)
    assert row.outcome == "crashed"
    assert ("ended a process for want of memory" in (row.error_message or "")) is told


def test_kill_for_memory_is_read_from_the_kernels_table(tmp_path: Path) -> None:
    table = tmp_path / "vmstat"
    table.write_text("nr_free_pages 5\noom_kill 231\ndrop_pagecache 0\n")
    assert system.oom_kills(table) == 231
    table.write_text("nr_free_pages 5\n")
    assert system.oom_kills(table) is None
    assert system.oom_kills(tmp_path / "nowhere") is None


def test_timeout_has_the_stacks_and_orders_them_before_the_kill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = ScriptedProcess(Script())
    with asked(Script(), monkeypatch, process) as (_, answer):
        assert row_of(answer).stack == STACK
    assert process.orders == ["dump", "kill"]


def test_dead_supervisor_makes_the_tester_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    process = ScriptedProcess(Script(last=None))
    with asked(Script(), monkeypatch, process) as (_, answer):
        assert answer.ending is not None
        assert (answer.ending.cause, answer.ending.swept) == ("supervisor", 3)
    assert process.orders[-1] == "sweep"


# ---------------------------------------------------------------- with real processes


@pytest.mark.parametrize("isolation", ["process", "auto"])
def test_bomb_of_processes_and_memory_ends_at_one_of_them(
    isolation: str, package: MakePackage
) -> None:
    """Sixty processes of 20 MiB: whichever limit is seen first, and never the deadline."""
    limits = Limits(**SMALL, max_processes=40)
    spec = spec_for(package(files("fork_bomb_with_memory")), limits=limits, isolation=isolation)
    row = first_rows(run(spec))["predict_fn"]
    assert row.outcome in ("memory_exceeded", "processes_exceeded"), row
    if row.outcome == "memory_exceeded":
        assert (row.peak_memory_bytes or 0) >= 300 * MIB


def test_memory_wins_where_processes_are_under_their_limit(package: MakePackage) -> None:
    spec = spec_for(package(files("fork_bomb_with_memory")), limits=Limits(**SMALL))
    assert first_rows(run(spec))["predict_fn"].outcome == "memory_exceeded"


def test_processes_win_where_memory_is_under_its_limit(package: MakePackage) -> None:
    spec = spec_for(package(files("fork_bomb_with_memory")), limits=Limits(max_processes=40))
    assert first_rows(run(spec))["predict_fn"].outcome == "processes_exceeded"


@pytest.mark.parametrize("isolation", ["process", "auto"])
def test_child_that_was_killed_for_memory_ends_a_call_that_hangs(
    isolation: str, package: MakePackage
) -> None:
    """At once, whoever sees it: the watchdog, or the kernel that tells nobody."""
    spec = spec_for(
        package(files("child_takes_memory")),
        environ_vars={"THEN": "hang"},
        limits=Limits(**SMALL),
        isolation=isolation,
    )
    row = first_rows(run(spec))["predict_fn"]
    assert row.outcome == "memory_exceeded", row
    assert row.execution_time < SMALL["timeout_seconds"] / 4

"""Calls that are sent together are judged, timed and shown as if each had been sent alone."""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

import psutil
import pytest

import worker.protocol as protocol
from harness import InferenceHandlerSpec, InferenceTestResult, Limits, RuntimeTester
from harness.checks import arguments, calls, series
from harness.checks.ledger import Entry, Ledger
from harness.checks.live import LiveHandler
from harness.checks.series import FILE_BYTES, FIRST, LINES_BYTES, MOST, Part, Window
from harness.results import FunctionTestResult
from harness.runtime import wire
from harness.runtime.bodies import Raw
from harness.runtime.session import SECOND_NET_S, Session
from harness.runtime.wire import Series
from harness.stop import Stop
from tests.conftest import MakePackage
from tests.waiting import wait_until

F_SETPIPE_SZ = 1031  # Linux; fcntl has the name from Python 3.10 on
STAGES = ("input_fn", "predict_fn", "output_fn")
GIVEN = dict(zip(STAGES, ("body", "data", "prediction"), strict=True))
SAMPLES = 3
MANY = 40
LONG_S = 60.0
HANDLER = """
import ctypes, fcntl, gc, hashlib, os, subprocess, sys, threading, time
{top}

def wait_for_more():
    while not any(fcntl.ioctl({requests}, 0x541B, bytes(4))):
        time.sleep(0.001)

def wait_until_read():
    while any(fcntl.ioctl({log}, 0x541B, bytes(4))):
        time.sleep(0.001)

def model_fn(model_dir):
    return "model"

def input_fn(body, content_type):
    {input_fn}
    return body

def predict_fn(data, model):
    {predict_fn}
    return data

def output_fn(prediction, accept):
    {output_fn}
    return prediction
"""
PIPES = {"requests": protocol.REQUESTS_FD, "log": protocol.LOG_FD}
PRINTS = {
    "print": "print({0!r})",
    "on standard error": "print({0!r}, file=sys.stderr)",
    "no newline": "sys.stdout.write({0!r})",
    "by its descriptor": "os.write(1, {0!r}.encode())",
    "C library": "ctypes.CDLL(None).printf({0!r}.encode())",
    "of a child": "subprocess.run(['echo', {0!r}])",
    "as much as a pipe holds": "print({0!r} * 6000)",
}


def spec_for(
    package: MakePackage, count: int = SAMPLES, /, bodies: Iterable[str] = (), **pieces: Any
) -> InferenceHandlerSpec:
    """Make the spec of so many samples, whose bodies are their numbers, or of these bodies."""
    code = {name: pieces.pop(name, "pass") for name in ("top", *STAGES)}
    fields = {
        "handler_name": "handler",
        "packaged_model_path": str(package({"code/inference.py": HANDLER.format(**PIPES, **code)})),
        "test_data_samples": [
            {"sample_name": f"row {n}", "content_type": "text/csv", "request_body": body}
            for n, body in enumerate(bodies or map(str, range(count)))
        ],
        "supported_accept_types": ["text/csv"],
        "timeout_seconds": 60,
    }
    return InferenceHandlerSpec.model_validate(fields | pieces)


def run(spec: InferenceHandlerSpec) -> InferenceTestResult:
    return RuntimeTester().test_inference_handler(spec)


def rows(result: InferenceTestResult) -> dict[tuple[str, str | None], FunctionTestResult]:
    return {(row.function_name, row.sample_name): row for row in result.function_results()}


def answers(result: InferenceTestResult) -> list[str | None]:
    return [end.response.body for end in result.end_to_end_results]


def request(model: str, body: str, ids: Sequence[str] = ()) -> list[calls.Planned]:
    """Plan a request on the value of a model's call, under these ids or any."""
    names = ids or [calls.new_name() for _ in STAGES]
    kept = [arguments.kept_argument(name) for name in (*names, model)]
    taken = calls.input_of(body, "text/csv")
    predicted = calls.predict(kept[0], kept[-1], taken.headers)
    sent = calls.output(kept[1], "text/csv", taken.headers)
    return [
        item._replace(name=name) for item, name in zip((taken, predicted, sent), names, strict=True)
    ]


def outcomes(live: LiveHandler, made: list[list[str]]) -> list[list[str]]:
    return [[live.row(call).outcome.value for call in own] for own in made]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was written in each go: the functions of the calls, or "release"."""
    goes: list[list[str]] = []
    encode, send = wire.encode, Session.calls

    def seen(session: Session, go: Iterable[Series], timeout_s: float) -> Any:
        functions: list[str] = []
        goes.append(functions)

        def noting() -> Iterator[Series]:
            for made in go:
                functions.extend(call.function for call in made.calls)
                yield made

        return send(session, noting(), timeout_s)

    def seen_encode(message: object) -> bytes:
        if isinstance(message, protocol.Release):
            goes.append(["release"])
        return encode(message)

    monkeypatch.setattr(Session, "calls", seen)
    monkeypatch.setattr(wire, "encode", seen_encode)
    return goes


def goes_of(counts: Iterable[int]) -> list[list[str]]:
    """Give the goes of a model and of so many requests each."""
    return [["model_fn"], *[[*STAGES] * count for count in counts]]


def begun(sent: list[list[str]]) -> list[int]:
    """Count the requests of each go, less what was sent again of one."""
    return [len(go) // len(STAGES) for go in sent if go[0] == STAGES[0]]


# ---------------------------------------------------------------- what is sent


@pytest.mark.parametrize("start", ["fresh", "warm"])
def test_quiet_requests_are_one_go(start: str, package: MakePackage, sent: list[list[str]]) -> None:
    result = run(spec_for(package, start=start))
    assert result.overall_success, result.errors
    assert answers(result) == ["0", "1", "2"]
    assert sent == [["model_fn"], [*STAGES] * SAMPLES]


SIZES = {
    "many": ([1] * 50, [4, 8, 16, 16, 6]),
    "as much as goes at all": ([(LINES_BYTES - 1) // MOST] * 30, [4, 8, 16, 2]),
    "a third of the lines": ([LINES_BYTES // 3 - 1] * 8, [3, 3, 2]),
    "a little less than half of the lines": ([LINES_BYTES // 2 - 1] * 4, [2, 2]),
    "half of the lines": ([LINES_BYTES // 2] * 3, [1, 1, 1]),
    "more than the lines": ([LINES_BYTES + 1] * 3, [1, 1, 1]),
    "a third of the file": ([FILE_BYTES // 3 - 1] * 8, [3, 3, 2]),
    "half of the file": ([FILE_BYTES // 2] * 3, [1, 1, 1]),
    "more than the file": ([FILE_BYTES + 1] * 3, [1, 1, 1]),
    "lines and file": ([LINES_BYTES // 3 - 1, FILE_BYTES // 3 - 1] * 6, [4, 6, 2]),
    "one among small ones": ([1, 1, LINES_BYTES, 1, 1, 1], [2, 1, 3]),
    "one in the file among small ones": ([1, 1, FILE_BYTES, 1, 1, 1], [2, 1, 3]),
}


@pytest.mark.parametrize("name", SIZES)
def test_large_bodies_go_out_as_far_as_there_is_room(
    name: str, package: MakePackage, sent: list[list[str]]
) -> None:
    sizes, counts = SIZES[name]
    bodies = [chr(ord("0") + number) * size for number, size in enumerate(sizes)]
    digest = "return hashlib.sha256(body.encode()).hexdigest()"
    result = run(spec_for(package, bodies=bodies, input_fn=digest))
    assert result.overall_success, result.errors
    assert answers(result) == [hashlib.sha256(body.encode()).hexdigest() for body in bodies]
    assert sent == goes_of(counts)


NOT_QUIET = {
    "has a thread": {"top": "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"},
    "started a process": {"top": "subprocess.run(['true'])"},
    "spawned": {
        "top": "import multiprocessing",
        "input_fn": "p = multiprocessing.get_context('spawn').Process(); p.start(); p.join()",
    },
    "forked": {"input_fn": "pid = os.fork(); pid or os._exit(0); os.waitpid(pid, 0)"},
}
AGAIN = [list(STAGES[1:]), ["output_fn"]]


@pytest.mark.parametrize("name", NOT_QUIET)
def test_what_follows_a_call_that_was_not_quiet_is_sent_again(
    name: str, package: MakePackage, sent: list[list[str]]
) -> None:
    result = run(spec_for(package, **NOT_QUIET[name]))
    assert result.overall_success, result.errors
    assert answers(result) == ["0", "1", "2"]
    assert len(list(result.function_results())) == 1 + 3 * SAMPLES
    first, second, third = [*STAGES] * SAMPLES, [*STAGES], [*STAGES]
    assert sent == [["model_fn"], first, *AGAIN, second, *AGAIN, third, *AGAIN]


def test_worker_that_is_never_quiet_has_requests_alone(
    package: MakePackage, sent: list[list[str]]
) -> None:
    result = run(spec_for(package, MANY, **NOT_QUIET["has a thread"]))
    assert result.overall_success, result.errors
    assert answers(result) == [str(n) for n in range(MANY)]
    assert begun(sent) == [FIRST, *[1] * (MANY - 1)]
    assert [go for go in sent if go[0] != STAGES[0]] == [["model_fn"], *AGAIN * MANY]


@pytest.mark.parametrize(
    ("stage", "failing", "counts"),
    [
        ("predict_fn", (0,), [4, 1, 4, 8, 16, 10]),
        ("predict_fn", (2, 25), [4, 1, 4, 8, 16, 1, 1, 4, 8]),
        ("predict_fn", (2, 3), [4, 1, 1, 4, 8, 16, 7]),
        ("predict_fn", (3,), [4, 1, 4, 8, 16, 7]),
        ("predict_fn", (4,), [4, 8, 1, 4, 8, 16, 6]),
        ("predict_fn", (39,), [4, 8, 16, 12]),
        ("output_fn", (2,), [4, 1, 4, 8, 16, 8]),
        ("output_fn", (3,), [4, 8, 16, 12]),
        ("output_fn", (2, 3, 4), [4, 1, 4, 1, 1, 4, 8, 16, 5]),
    ],
)
def test_requests_go_alone_after_a_break_and_then_together_again(
    stage: str,
    failing: tuple[int, ...],
    counts: list[int],
    package: MakePackage,
    sent: list[list[str]],
) -> None:
    fails = {stage: f"if int({GIVEN[stage]}) in {failing}: raise ValueError('no')"}
    result = run(spec_for(package, MANY, **fails))
    ends = result.end_to_end_results
    assert [n for n, end in enumerate(ends) if end.outcome == "raised"] == list(failing)
    passed = {n: end.response.body for n, end in enumerate(ends) if end.success}
    assert passed == {n: str(n) for n in range(MANY) if n not in failing}
    assert begun(sent) == counts
    # The last call of a request has freed its values, whatever came of it.
    freed = [["release"]] * len(failing) if stage == "predict_fn" else []
    assert [go for go in sent if go[0] != STAGES[0]] == [["model_fn"], *freed]


def test_who_listens_is_told_before_the_next_call_begins(
    package: MakePackage, sent: list[list[str]]
) -> None:
    told: list[tuple[str, int]] = []
    result = RuntimeTester().test_inference_handler(
        spec_for(package, MOST + 2),
        on_row=lambda row: told.append((row.function_name, len(sent))),
    )
    assert result.overall_success, result.errors
    names = ["model_fn", *STAGES * (MOST + 2)]
    assert sent == [[name] for name in names]
    assert told == [(name, number) for number, name in enumerate(names, start=1)]


# ---------------------------------------------------------------- what is seen of each


@pytest.mark.parametrize("start", ["fresh", "warm"])
@pytest.mark.parametrize("how", PRINTS)
@pytest.mark.parametrize("where", [STAGES, *[(name,) for name in STAGES], STAGES[1:]])
def test_what_a_call_prints_is_its_own(
    where: tuple[str, ...], how: str, start: str, package: MakePackage
) -> None:
    words = {name: f"[{name}]" for name in where}
    pieces = {name: PRINTS[how].format(word) for name, word in words.items()}
    result = run(spec_for(package, start=start, limits=Limits(max_output_bytes=10**6), **pieces))
    assert result.overall_success, result.errors
    assert answers(result) == ["0", "1", "2"]
    for (function, _), row in rows(result).items():
        printed = "" if row.log is None else row.log.head + row.log.tail
        assert {name for name in STAGES if f"[{name}]" in printed} == {function} & set(where)
        if function in where and how == "as much as a pipe holds":
            assert row.log is not None
            assert row.log.total_bytes == len(words[function]) * 6000 + 1


@pytest.mark.parametrize("where", [STAGES, *[(name,) for name in STAGES]])
def test_what_a_call_prints_is_its_own_though_the_next_begins_at_once(
    where: tuple[str, ...], package: MakePackage, sent: list[list[str]]
) -> None:
    """A call whose words the tester has read already is quiet."""
    pieces = {name: f"print({name!r}, {GIVEN[name]}); wait_until_read()" for name in where}
    result = run(spec_for(package, 28, **pieces))
    assert result.overall_success, result.errors
    assert sent == goes_of([4, 8, 16])
    for (function, sample), row in rows(result).items():
        printed = row.log and (row.log.head + row.log.tail)
        number = (sample or "").removeprefix("row ")
        assert printed == (f"{function} {number}\n" if function in where else None)


FAILURES = {
    "raise ValueError('no')": "raised",
    "os._exit(7)": "exited",
    "os.kill(os.getpid(), 11)": "crashed",
    "raise SystemExit(3)": "raised",
    "time.sleep(600)": "timed_out",
    "bytearray(2 * 10**9)": "memory_exceeded",
    "sys.stdout.write('x' * 10**7)": "output_exceeded",
}


@pytest.mark.parametrize("how", FAILURES)
@pytest.mark.parametrize("stage", STAGES)
def test_failure_is_that_of_its_function_and_what_follows_is_not_called(
    stage: str, how: str, package: MakePackage, tmp_path: Path
) -> None:
    called = {name: tmp_path / name for name in STAGES}
    pieces = {name: f"open({str(path)!r}, 'a').close()" for name, path in called.items()}
    pieces[stage] = how
    seconds = 2 if FAILURES[how] == "timed_out" else 60
    limits = Limits(timeout_seconds=seconds, memory_limit_mb=700, max_output_bytes=10**6)
    spec = spec_for(package, limits=limits, isolation="process", **pieces)
    result = run(spec.model_copy(update={"test_data_samples": spec.test_data_samples[:1]}))
    found = {row.function_name: row.outcome.value for row in result.function_results()}
    before = STAGES[: STAGES.index(stage)]
    assert found == {
        "model_fn": "passed",
        **dict.fromkeys(before, "passed"),
        stage: FAILURES[how],
        **dict.fromkeys(STAGES[len(before) + 1 :], "skipped"),
    }
    assert {name for name, path in called.items() if path.exists()} == set(before)


def test_each_has_its_own_time_and_peak(package: MakePackage) -> None:
    pieces = {"predict_fn": "time.sleep(0.5)", "output_fn": "bytearray(300 * 2**20).count(0)"}
    found = rows(run(spec_for(package, **pieces)))
    for (function, sample), row in found.items():
        assert row.peak_memory_bytes is not None
        assert (row.peak_memory_bytes > 300 * 2**20) == (function == "output_fn"), row
        if function == "predict_fn":
            assert found["input_fn", sample].execution_time < 0.5 <= row.execution_time


def test_each_has_a_deadline_of_its_own(
    package: MakePackage, sent: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them together take longer than one may."""
    monkeypatch.setattr(series, "FIRST", MOST)
    spec = spec_for(package, MOST, predict_fn="time.sleep(0.2)", timeout_seconds=2)
    result = run(spec)
    assert result.overall_success, result.errors
    assert sent == goes_of([MOST])
    seconds = [row.execution_time for row in result.predict_fn_results]
    assert sum(seconds) > 2
    assert min(seconds) >= 0.2


FREED: dict[str, dict[str, str]] = {  # an exception is in a circle with what it holds
    "together": {},
    "sent again": NOT_QUIET["has a thread"],
    "one fails": {
        "predict_fn": "if data.body == '1': raise ValueError('no')",
        "output_fn": "gc.collect()",
    },
    "one fails at its last": {
        "output_fn": "gc.collect()\n    if prediction.body == '1': raise ValueError('no')"
    },
}


@pytest.mark.parametrize("name", FREED)
def test_values_of_a_request_are_freed_with_its_last_call(name: str, package: MakePackage) -> None:
    pieces = {"top": "pass", "output_fn": "pass"} | FREED[name]
    pieces["top"] += (
        "\nclass Data:\n"
        "    alive = 0\n"
        "    def __init__(self, body): self.body = body; Data.alive += 1\n"
        "    def __del__(self): Data.alive -= 1\n"
    )
    pieces["output_fn"] += "\n    return str(Data.alive)"
    result = run(spec_for(package, input_fn="return Data(body)", **pieces))
    first, second, third = result.end_to_end_results
    assert [first.response.body, third.response.body] == ["1", "1"]
    assert second.outcome == ("raised" if "fails" in name else "passed")
    assert second.success is (second.response.body == "1")


@pytest.mark.parametrize("input_fn", ["pass", "print('here')", "raise ValueError('no')"])
@pytest.mark.parametrize("size", [10_000, 40_000, 49_000, 60_000, 65_536, 150_000, 400_000])
def test_body_that_fills_the_pipe_does_not_cut_what_follows(
    size: int, input_fn: str, package: MakePackage
) -> None:
    bodies = [f"{n}," * (size // 2) for n in range(SAMPLES)]
    result = run(spec_for(package, bodies=bodies, input_fn=input_fn))
    outcomes = [end.outcome.value for end in result.end_to_end_results]
    assert outcomes == ["raised" if "raise" in input_fn else "passed"] * SAMPLES, result.errors
    if "raise" not in input_fn:
        assert answers(result) == bodies


def test_requests_that_the_pipe_takes_in_pieces_are_whole(package: MakePackage) -> None:
    """Wherever the pieces end, in the middle of a call or of a request that follows as well."""
    with RuntimeTester() as tester, tester.open_handler(spec_for(package)) as live:
        model = live.call(calls.model(live.package.model_dir))
        session = live._session
        assert session is not None
        fcntl.fcntl(session._process.requests, F_SETPIPE_SZ, 4096)
        for size in (*range(0, 1_000, 7), *range(2_500, 3_000, 7)):
            bodies = [letter * size for letter in "abc"]
            left = bodies
            while left:
                live._window = Window()  # it may have been broken
                made = [*live.requests([request(model, body) for body in left])]
                assert outcomes(live, made) == [["passed"] * 3] * len(made), size
                for own, body in zip(made, left, strict=False):
                    response = live.response(own[-1])
                    assert response is not None
                    assert response.body == body
                left = left[len(made) :]
        assert live._session is session, "one worker answered them all"


def test_requests_that_go_out_together_are_one_series_for_the_worker(package: MakePackage) -> None:
    """Each call but the first follows, and the last of a request frees all values of that."""
    with RuntimeTester() as tester, tester.open_handler(spec_for(package)) as live:
        model = live.call(calls.model(live.package.model_dir))
        session = live._session
        assert session is not None
        sizes = (100_000, 1, 200_000)
        requests = [request(model, "x" * size) for size in sizes]
        every = [item for own in requests for item in own]
        parts = [*series.made(session, Window().take(requests))]
        assert [len(part.calls) for part in parts] == [3, 3, 3]
        made = [call for part in parts for call in part.calls]
        assert [call.id for call in made] == [item.name for item in every]
        assert [call.follows for call in made] == [None, *[True] * 8]
        assert [call.leads for call in made] == [*[True] * 8, None]
        for call, own in zip(made[2::3], requests, strict=True):
            assert call.forget == [item.name for item in own]
        assert not any(call.forget for call in (*made[::3], *made[1::3]))
        bodies = [call.arguments[0] for call in made[::3]]
        assert [(body.at, body.size) for body in bodies] == [
            (0, 100_000), (None, None), (100_000, 200_000)
        ]  # fmt: skip
        assert all(part.data.count(b"\n") == len(part.calls) for part in parts)
        (alone,) = series.made(session, [Part(every[:1])])
        assert [(it.follows, it.leads, it.forget) for it in alone.calls] == [(None, None, None)]
        (answer,) = session.calls([alone], LONG_S)
        assert isinstance(answer.reply, protocol.Returned)
        assert answer.reply.goes_on is None, "it was quiet, and nothing follows"


def test_second_net_is_for_what_is_written(
    package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To write a large body may take longer than the call may, and the worker waits for it."""
    carry, paused = Session.carry, Event()

    def slow(session: Session, raw: Raw) -> protocol.Argument:
        paused.wait(SECOND_NET_S + 2.5)
        return carry(session, raw)

    spec = spec_for(package, 1, limits=Limits(timeout_seconds=2))
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        model = live.call(calls.model(live.package.model_dir))
        monkeypatch.setattr(Session, "carry", slow)
        made = [*live.requests([request(model, "0")])]
        assert outcomes(live, made) == [["passed"] * 3]


def test_worker_that_waits_for_a_request_that_cannot_be_made_lives_on(
    package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent, so no deadline runs."""

    def fail(session: Session, raw: Raw) -> protocol.Argument:
        raise OSError("no room")

    spec = spec_for(package, 1, limits=Limits(timeout_seconds=2))
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        model = live.call(calls.model(live.package.model_dir))
        with monkeypatch.context() as patch:
            patch.setattr(Session, "carry", fail)
            with pytest.raises(OSError, match="no room"):
                [*live.requests([request(model, "0"), request(model, "1")])]
        assert not Event().wait(SECOND_NET_S + 2.5)
        made = [*live.requests([request(model, "0")])]
        assert outcomes(live, made) == [["passed"] * 3]


def test_death_before_requests_are_sent_is_that_of_the_call_before(package: MakePackage) -> None:
    with RuntimeTester() as tester, tester.open_handler(spec_for(package)) as live:
        model = live.call(calls.model(live.package.model_dir))
        session = live._session
        assert session is not None
        assert session.ready is not None
        worker = psutil.Process(session.ready.pid)
        worker.kill()
        assert wait_until(lambda: not psutil.pid_exists(worker.pid), LONG_S)
        made = [*live.requests([request(model, "0"), request(model, "1")])]
        assert live.row(model).outcome == "crashed"
        assert outcomes(live, made) == [["skipped"]]


@pytest.mark.parametrize("listens", [False, True])
def test_values_of_a_request_are_freed_after_its_last_call(
    listens: bool, package: MakePackage
) -> None:
    """Also where each call is sent alone, because somebody is told of each."""
    top = """
class Counted:
    alive = 0
    def __init__(self): Counted.alive += 1
    def __del__(self): Counted.alive -= 1
"""
    spec = spec_for(
        package, 5, top=top, input_fn="return Counted()", output_fn="return str(Counted.alive)"
    )
    told: list[FunctionTestResult] = []
    result = RuntimeTester().test_inference_handler(spec, on_row=told.append if listens else None)
    assert answers(result) == ["1"] * 5
    assert len(told) == (16 if listens else 0)


def test_worker_is_at_the_first_request_while_the_others_are_made(
    package: MakePackage, tmp_path: Path
) -> None:
    """It waits for those that it was told of."""
    over = tmp_path / "over"
    spec = spec_for(
        package,
        input_fn="time.sleep(0.2)",
        output_fn=f"open({str(over)!r}, 'w').close()",
        isolation="process",
    )
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        model = live.call(calls.model(live.package.model_dir))
        session = live._session
        assert session is not None

        def planning() -> Iterator[list[calls.Planned]]:
            yield request(model, "0")
            yield request(model, "1")  # the first is sent when it is known that another follows
            assert wait_until(over.exists, LONG_S)
            yield request(model, "2")

        made = [*live.requests(planning())]
        assert outcomes(live, made) == [["passed"] * 3] * SAMPLES
        assert live.row(made[0][0]).execution_time > 0.2, "it ran before the last was planned"
        assert live._session is session


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("failing", range(SAMPLES))
def test_worker_that_has_begun_is_given_up_when_the_others_cannot_be_made(
    failing: int, error: type[BaseException], package: MakePackage, tmp_path: Path
) -> None:
    """Nobody would wait for its answers."""
    left = tmp_path / "left"
    spec = spec_for(package, top=LAST_WORDS.format(str(left)), isolation="process")
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        model = live.call(calls.model(live.package.model_dir))
        session = live._session
        assert session is not None

        def planning() -> Iterator[list[calls.Planned]]:
            for number in range(SAMPLES):
                if number == failing:
                    raise error
                yield request(model, str(number))

        with pytest.raises(error):
            [*live.requests(planning())]
        begun = failing > 1  # the first is sent when it is known whether another follows
        assert session.alive != begun
        if begun:
            assert session.close().detail == "given up during a call"
    assert left.exists() != begun, "a worker that has nothing to do is asked to leave"


@pytest.mark.parametrize("broken", ["nowhere", "input_fn", "predict_fn", "output_fn"])
def test_file_of_bodies_holds_those_of_one_go(broken: str, package: MakePackage) -> None:
    """Also where the worker went on to some of them only."""
    pieces = {"output_fn": "return 'short'"}
    if broken in STAGES:
        pieces[broken] = "raise ValueError('no')"
    with RuntimeTester() as tester, tester.open_handler(spec_for(package, **pieces)) as live:
        model = live.call(calls.model(live.package.model_dir))
        session = live._session
        assert session is not None
        for number in range(5):
            live._window = Window()
            body = str(number) * 100_000
            made = [*live.requests([request(model, body) for _ in range(SAMPLES)])]
            assert len(made) == (1 if broken in STAGES else SAMPLES)
            assert os.fstat(session._process.bodies.given[0]).st_size == SAMPLES * len(body)
        assert live._session is session


# ---------------------------------------------------------------- one request among others


LIMITS = Limits(memory_limit_mb=700, max_output_bytes=10**6, max_response_bytes=10**6)
ONCE = {
    **FAILURES,
    "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()": "passed",
    "subprocess.run(['echo', 'here'])": "passed",
    "print('here')": "passed",
    "return 'long' * 50_000": "passed",
    "return 'long' * 500_000": "",
    "return object()": "",
}


@pytest.mark.parametrize("which", [2, SAMPLES * 2 - 1], ids=["in the middle", "the last"])
@pytest.mark.parametrize("how", ONCE)
@pytest.mark.parametrize("stage", STAGES)
def test_one_request_among_others_is_judged_as_if_it_were_alone(
    stage: str,
    how: str,
    which: int,
    package: MakePackage,
    sent: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether others were before it or behind it, or it had to be sent again."""
    seconds = 2 if ONCE[how] == "timed_out" else 60
    spec = spec_for(
        package,
        SAMPLES * 2,
        limits=LIMITS.model_copy(update={"timeout_seconds": seconds}),
        **{stage: f"if {GIVEN[stage]} == '{which}': {how}"},
    )
    monkeypatch.setattr(series, "FIRST", MOST)
    found = seen_of(run(spec))
    assert begun(sent)[0] == SAMPLES * 2
    assert found == seen_of(run_alone(spec, sent, monkeypatch))
    if ONCE[how]:
        assert found[stage, f"row {which}"][0] == ONCE[how]


@pytest.mark.parametrize("seed", range(4))
def test_several_requests_that_fail_among_many_are_judged_as_if_they_were_alone(
    seed: int, package: MakePackage, sent: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = random.Random(seed)
    ways = [how for how, outcome in ONCE.items() if outcome != "timed_out"]
    numbers = choose.sample(range(MANY), len(ways))
    chosen = {n: (choose.choice(STAGES), how) for n, how in zip(numbers, ways, strict=True)}
    pieces = {
        stage: "\n    ".join(
            f"if {GIVEN[stage]} == '{n}': {how}" for n, (at, how) in chosen.items() if at == stage
        )
        for stage in STAGES
    }
    pieces = {stage: text or "pass" for stage, text in pieces.items()}
    spec = spec_for(package, MANY, limits=LIMITS, **pieces)
    found = seen_of(run(spec))
    assert max(begun(sent)) >= FIRST
    for n, (stage, how) in chosen.items():
        if ONCE[how]:
            assert found[stage, f"row {n}"][0] == ONCE[how], chosen
    assert found == seen_of(run_alone(spec, sent, monkeypatch)), chosen


WISHES: dict[str, tuple[dict[str, Any], int]] = {  # and how often each is made again
    "deterministic": ({"deterministic": True}, 1),
    "max_seconds": ({"max_seconds": 0.01}, 2),
}


@pytest.mark.parametrize("name", WISHES)
def test_request_that_is_made_again_has_none_behind_it(
    name: str, package: MakePackage, sent: list[list[str]]
) -> None:
    wish, times = WISHES[name]
    spec = spec_for(package, 7, predict_fn="time.sleep(0.05)")
    samples = [
        sample.model_copy(update=wish if number in (2, 3, 5) else {})
        for number, sample in enumerate(spec.test_data_samples)
    ]
    result = run(spec.model_copy(update={"test_data_samples": tuple(samples)}))
    assert answers(result) == [str(n) for n in range(7)]
    ends = [end.success for end in result.end_to_end_results]
    assert ends == [name == "deterministic" or n not in (2, 3, 5) for n in range(7)]
    again = [1] * times
    assert sent == goes_of([3, *again, 1, *again, 2, *again, 1])


def test_what_is_hopeless_is_not_sent(
    package: MakePackage, sent: list[list[str]], tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    spec = spec_for(
        package,
        6,
        input_fn=f"open({str(taken)!r}, 'a').write(body)",
        predict_fn="if data == '2': os._exit(7)",
        supported_accept_types=["text/csv", "application/json"],
        isolation="process",
    )
    result = run(spec)
    ends = {(end.sample_name, end.accept_type): end.outcome for end in result.end_to_end_results}
    assert ends.pop(("row 2", "text/csv")) == "exited"
    assert ends.pop(("row 2", "application/json")) == "skipped"
    assert len(ends) == 2 * 5
    assert set(ends.values()) == {"passed"}
    assert sent == [*goes_of([4, 8]), *goes_of([1, 4, 1])]
    assert taken.read_text() == "00112334455"


def run_alone(
    spec: InferenceHandlerSpec, sent: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> InferenceTestResult:
    """Run with one request in each go."""
    sent.clear()
    monkeypatch.setattr(series, "FIRST", 1)
    monkeypatch.setattr(series, "MOST", 1)
    result = run(spec)
    assert max(begun(sent)) == 1
    return result


def seen_of(result: InferenceTestResult) -> dict[tuple[str, str | None], Any]:
    """Give what a result says, but for times, sizes and addresses."""
    found: dict[tuple[str, str | None], Any] = {
        key: (
            row.outcome.value,
            row.log and (row.log.head, row.log.total_bytes > 100),
            re.sub(r"0x\w+|[\d.]+ (s|MiB|bytes)", "", row.error_message or ""),
            row.skip_reason,
        )
        for key, row in rows(result).items()
    }
    for end in result.end_to_end_results:
        body = re.split("object at|Traceback", end.response.body or "")[0]
        found["end", end.sample_name] = end.outcome.value, end.response.status, body
    return found


# ---------------------------------------------------------------- the end of a worker


LAST_WORDS = "import atexit; atexit.register(lambda: open({0!r}, 'w').write('left'))"
BROKEN = {
    "after all of them": ("0", 2, 65_536),
    "after a break": ("no", 2, 65_536),
    "though it has taken only a part of them": ("no", 20_000, 4096),
}


@pytest.mark.parametrize("name", BROKEN)
def test_worker_that_has_been_sent_several_requests_is_asked_to_leave(
    name: str, package: MakePackage, tmp_path: Path
) -> None:
    first, size, pipe = BROKEN[name]
    left = tmp_path / "left"
    spec = spec_for(
        package,
        top=LAST_WORDS.format(str(left)),
        input_fn="if body == 'no': raise ValueError(body)",
        isolation="process",
    )
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        model = live.call(calls.model(live.package.model_dir))
        session = live._session
        assert session is not None
        assert session.ready is not None
        fcntl.fcntl(session._process.requests, F_SETPIPE_SZ, pipe)
        made = [*live.requests([request(model, body) for body in (first, "1" * size, "2")])]
        assert outcomes(live, made) == ([["raised"]] if first == "no" else [["passed"] * 3] * 3)
        worker = session.ready.pid
    assert not psutil.pid_exists(worker)
    assert left.read_text() == "left"
    assert not live.warnings


@pytest.mark.parametrize("stage", STAGES)
def test_worker_is_ended_when_its_thread_is_asked_to_stop_in_the_middle_of_requests(
    stage: str, package: MakePackage, tmp_path: Path
) -> None:
    begun, left = tmp_path / "begun", tmp_path / "left"
    spec = spec_for(
        package,
        top=LAST_WORDS.format(str(left)),
        isolation="process",
        **{stage: f"if {GIVEN[stage]} == '1': open({str(begun)!r}, 'w').close(); time.sleep(600)"},
    )
    with Stop() as stop, stop.heeded(), RuntimeTester() as tester:

        def ask() -> None:
            if wait_until(begun.exists, LONG_S):
                stop.set()

        asking = Thread(target=ask)
        with tester.open_handler(spec) as live:
            model = live.call(calls.model(live.package.model_dir))
            session = live._session
            assert session is not None
            assert session.ready is not None
            requests = [request(model, str(n)) for n in range(FIRST)]
            asking.start()
            with pytest.raises(KeyboardInterrupt):
                [*live.requests(requests)]
            assert not session.alive
            assert not psutil.pid_exists(session.ready.pid)
            answered = [item.name for own in requests for item in own][: 3 + STAGES.index(stage)]
            assert set(live._ledger.rows) == {model, *answered}
            assert {live.row(call).outcome.value for call in answered} == {"passed"}
        asking.join()
    assert not left.exists()


def test_worker_that_went_on_is_ended_at_once_when_nobody_waits_for_it(
    package: MakePackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C may come between two answers, while the worker is at the next call."""
    left = tmp_path / "left"

    def interrupt(ledger: Ledger, entry: Entry) -> None:
        raise KeyboardInterrupt

    spec = spec_for(
        package,
        top=LAST_WORDS.format(str(left)),
        isolation="process",
        predict_fn="time.sleep(600)",
    )
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        model = live.call(calls.model(live.package.model_dir))
        session = live._session
        assert session is not None
        monkeypatch.setattr(Ledger, "enter", interrupt)
        with pytest.raises(KeyboardInterrupt):
            [*live.requests([request(model, "1")])]
        ending = session.close()
        assert (ending.cause, ending.detail) == ("closed", "given up during a call")
    assert not left.exists()


def test_copy_of_the_worker_that_is_made_while_values_are_freed_takes_no_request(
    package: MakePackage,
) -> None:
    """To free values has no reply, before which a copy would end."""
    top = """
class Data:
    def __del__(self): ctypes.CDLL(None).fork()
"""
    spec = spec_for(
        package,
        top=top,
        input_fn="return Data() if body == 'first' else body",
        timeout_seconds=10,
        isolation="process",
    )
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        model = live.call(calls.model(live.package.model_dir))
        first = live.call(calls.input_of("first", "text/csv"))
        live.forget([first])
        for number in range(20):
            made = [*live.requests([request(model, str(number))])]
            assert outcomes(live, made) == [["passed"] * 3]


# ---------------------------------------------------------------- a worker that lies


FORGERIES: dict[str, tuple[Callable[[list[str]], list[tuple[str, bool]]], list[str]]] = {
    # ids -> (id, goes_on) of each reply that the handler forges in input_fn
    "goes on, and never answers": (lambda ids: [(ids[0], True)], ["passed", "timed_out"]),
    "answers another first": (lambda ids: [(ids[1], True)], ["protocol_violated"]),
    "answers one twice": (lambda ids: [(ids[0], True)] * 2, ["passed", "protocol_violated"]),
    "does not go on": (lambda ids: [(ids[0], False)], ["passed", "timed_out"]),
    "goes on after the last": (
        lambda ids: [(name, True) for name in ids],
        ["passed", "passed", "passed"],
    ),
}
WAITS = "time.sleep(600)"


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_replies_are_in_order_or_a_violation(name: str, package: MakePackage) -> None:
    """The handler cannot see the ids; here it is told what they are."""
    forge, expected = FORGERIES[name]
    ids = [f"{number:016x}" for number in range(3)]
    with lying(package, "input_fn", forge(ids), WAITS) as live:
        model = live.call(calls.model(live.package.model_dir))
        made = [*live.requests([request(model, "0", ids)])]
        live.settle()
        assert outcomes(live, made) == [expected]


def test_worker_that_says_it_does_not_go_on_and_answers_when_asked_again_is_found_out(
    package: MakePackage,
) -> None:
    ids = [f"{number:016x}" for number in range(3)]
    with lying(package, "input_fn", [(ids[0], False)], "wait_for_more()") as live:
        model = live.call(calls.model(live.package.model_dir))
        made = [*live.requests([request(model, "0", ids)])]
        assert outcomes(live, made) == [["passed", "protocol_violated"]]


class Forgery(NamedTuple):
    """What a function of the first of two requests forges, does then, and what comes of both."""

    where: str
    replies: Sequence[tuple[int, bool]]
    then: str
    outcomes: list[list[str]]


PASSED = ["passed"] * 3
GOES_ON = tuple((number, True) for number in range(6))
ACROSS = {
    "goes on to the next, and never answers": Forgery(
        "output_fn", [(2, True)], WAITS, [PASSED, ["timed_out"]]
    ),
    "goes on to the next, and answers after all": Forgery(
        "output_fn", [(2, True)], "pass", [PASSED, ["protocol_violated"]]
    ),
    "goes on to the next, and dies": Forgery(
        "output_fn", [(2, True)], "os._exit(7)", [PASSED, ["exited"]]
    ),
    "answers for the whole request, and never again": Forgery(
        "input_fn", GOES_ON[:3], WAITS, [PASSED, ["timed_out"]]
    ),
    "answers for the whole request, and then itself": Forgery(
        "input_fn", GOES_ON[:3], "pass", [PASSED, ["protocol_violated"]]
    ),
    "answers for a part of the next, and never again": Forgery(
        "input_fn", GOES_ON[:4], WAITS, [PASSED, ["passed", "timed_out"]]
    ),
    "answers for a part of the next, and then itself": Forgery(
        "output_fn", GOES_ON[2:5], "pass", [PASSED, ["passed", "passed", "protocol_violated"]]
    ),
    "answers for the next request only": Forgery(
        "input_fn", GOES_ON[3:], WAITS, [["protocol_violated"]]
    ),
    "leaves out what is between": Forgery(
        "input_fn", [(0, True), (3, True)], WAITS, [["passed", "protocol_violated"]]
    ),
    "leaves out the first of the next": Forgery(
        "output_fn", [(2, True), (4, True)], WAITS, [PASSED, ["protocol_violated"]]
    ),
    "answers its last twice": Forgery(
        "output_fn", [(2, True), (2, True)], WAITS, [PASSED, ["protocol_violated"]]
    ),
    "answers for all, and once more": Forgery(
        "input_fn", [*GOES_ON, (5, True)], WAITS, [PASSED, [*PASSED[:2], "protocol_violated"]]
    ),
    "says that it does not go on, and does": Forgery(
        "output_fn", [(2, False)], "pass", [[*PASSED[:2], "protocol_violated"]]
    ),
}


@pytest.mark.parametrize("name", ACROSS)
def test_forged_reply_that_runs_into_the_next_request_passes_for_none_of_its_calls(
    name: str, package: MakePackage
) -> None:
    forgery = ACROSS[name]
    ids = [f"{number:016x}" for number in range(6)]
    replies = [(ids[number], goes_on) for number, goes_on in forgery.replies]
    with lying(package, forgery.where, replies, forgery.then) as live:
        model = live.call(calls.model(live.package.model_dir))
        made = [*live.requests([request(model, "0", ids[:3]), request(model, "1", ids[3:])])]

        def is_found_out() -> bool:
            live.settle()
            return not live.running

        assert wait_until(is_found_out, LONG_S)
        assert outcomes(live, made) == forgery.outcomes


def test_requests_after_one_that_was_forged_for_are_as_good_as_ever(package: MakePackage) -> None:
    """Here the handler finds the id where it should not look."""
    top = forging(forged("THE ID", True))
    spec = spec_for(package, 6, top=top, output_fn="if prediction == '2': forge()")
    result = run(spec)
    found = [row.outcome.value for row in result.input_fn_results]
    assert found == ["passed"] * 3 + ["protocol_violated"] + ["passed"] * 2
    ends = [end.outcome.value for end in result.end_to_end_results]
    assert ends[3] == "protocol_violated"
    assert [answers(result)[n] for n in (0, 1, 4, 5)] == ["0", "1", "4", "5"]


def test_worker_that_would_have_died_of_an_answer_is_given_up_though_it_says_that_it_goes_on(
    package: MakePackage,
) -> None:
    """Its server's worker had been replaced: what it is at is made anew by another one."""
    reply = protocol.Returned(
        id="THE ID",
        value=protocol.Value(type="str", module="builtins", preview="'1'"),
        elapsed_s=0.0,
        response=protocol.Response(status=500, worker_died=True),
        goes_on=True,
    )
    top = forging(wire.encode(reply), "time.sleep(600)")
    result = run(spec_for(package, 4, top=top, output_fn="if prediction == '1': forge()"))
    ends = result.end_to_end_results
    assert [end.success for end in ends] == [True, False, True, True]
    assert ends[1].response.status == 500
    assert [answers(result)[n] for n in (0, 2, 3)] == ["0", "2", "3"]


@contextmanager
def lying(
    package: MakePackage, where: str, replies: Iterable[tuple[str, bool]], then: str
) -> Iterator[LiveHandler]:
    """Open a handler that forges replies in a function of the request "0"."""
    lines = b"".join(forged(*reply) for reply in replies)
    lie = f"os.write({protocol.REPLIES_FD}, {lines!r}); {then}"
    spec = spec_for(
        package,
        limits=Limits(timeout_seconds=2),
        isolation="process",
        **{where: f"if {GIVEN[where]} == '0': {lie}"},
    )
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        yield live


def forging(line: bytes, then: str = "pass") -> str:
    """Define a function that forges a reply to the call that it is in, by the id for THE ID."""
    return f"""
def forge():
    frame = sys._getframe()
    while "request" not in frame.f_locals:
        frame = frame.f_back
    name = frame.f_locals["request"]["id"].encode()
    os.write({protocol.REPLIES_FD}, {line!r}.replace(b"THE ID", name))
    {then}
"""


def forged(name: str, goes_on: bool) -> bytes:
    value = protocol.Value(type="str", module="builtins", preview="'1'")
    return wire.encode(
        protocol.Returned(id=name, value=value, elapsed_s=0.0, goes_on=goes_on or None)
    )

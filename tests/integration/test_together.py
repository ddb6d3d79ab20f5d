"""Calls that are sent together are judged, timed and shown as if each had been sent alone."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import worker.protocol as protocol
from harness import InferenceHandlerSpec, InferenceTestResult, Limits, RuntimeTester
from harness.checks import arguments, calls
from harness.checks import live as live_module
from harness.results import FunctionTestResult
from harness.runtime import session as session_module
from harness.runtime import wire
from harness.runtime.session import Session
from harness.runtime.wire import Series
from tests.conftest import MakePackage

F_SETPIPE_SZ = 1031  # Linux; fcntl has the name from Python 3.10 on
STAGES = ("input_fn", "predict_fn", "output_fn")
SAMPLES = 3
HANDLER = """
import ctypes, os, subprocess, sys, threading, time
{top}

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
PRINTS = {
    "print": "print({0!r})",
    "on standard error": "print({0!r}, file=sys.stderr)",
    "no newline": "sys.stdout.write({0!r})",
    "by its descriptor": "os.write(1, {0!r}.encode())",
    "C library": "ctypes.CDLL(None).printf({0!r}.encode())",
    "of a child": "subprocess.run(['echo', {0!r}])",
    "as much as a pipe holds": "print({0!r} * 6000)",
}


def spec_for(package: MakePackage, **pieces: Any) -> InferenceHandlerSpec:
    code = {name: pieces.pop(name, "pass") for name in ("top", *STAGES)}
    fields = {
        "handler_name": "handler",
        "packaged_model_path": str(package({"code/inference.py": HANDLER.format(**code)})),
        "test_data_samples": [
            {"sample_name": f"row {n}", "content_type": "text/csv", "request_body": str(n)}
            for n in range(SAMPLES)
        ],
        "supported_accept_types": ["text/csv"],
        "timeout_seconds": 60,
    }
    return InferenceHandlerSpec.model_validate(fields | pieces)


def run(spec: InferenceHandlerSpec) -> InferenceTestResult:
    return RuntimeTester().test_inference_handler(spec)


def rows(result: InferenceTestResult) -> dict[tuple[str, str | None], FunctionTestResult]:
    return {(row.function_name, row.sample_name): row for row in result.function_results()}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was written in each go: the functions of the calls, or "release"."""
    goes: list[list[str]] = []
    encode, send = wire.encode, Session.calls

    def seen(session: Session, series: Series, timeout_s: float, *options: Any) -> Any:
        goes.append([call.function for call in series.calls])
        return send(session, series, timeout_s, *options)

    def seen_encode(message: object) -> bytes:
        if isinstance(message, protocol.Release):
            goes.append(["release"])
        return encode(message)

    monkeypatch.setattr(Session, "calls", seen)
    monkeypatch.setattr(wire, "encode", seen_encode)
    return goes


# ---------------------------------------------------------------- what is sent


@pytest.mark.parametrize("start", ["fresh", "warm"])
def test_quiet_request_is_one_go(start: str, package: MakePackage, sent: list[list[str]]) -> None:
    result = run(spec_for(package, start=start))
    assert result.overall_success, result.errors
    assert sent == [["model_fn"], *[list(STAGES)] * SAMPLES]


NOT_QUIET = {
    "has a thread": {"top": "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"},
    "started a process": {"top": "subprocess.run(['true'])"},
    "spawned": {
        "top": "import multiprocessing",
        "input_fn": "p = multiprocessing.get_context('spawn').Process(); p.start(); p.join()",
    },
    "forked": {"input_fn": "pid = os.fork(); pid or os._exit(0); os.waitpid(pid, 0)"},
}
AGAIN = [list(STAGES), list(STAGES[1:]), ["output_fn"]]


@pytest.mark.parametrize("name", NOT_QUIET)
def test_what_follows_a_call_that_was_not_quiet_is_sent_again(
    name: str, package: MakePackage, sent: list[list[str]]
) -> None:
    result = run(spec_for(package, **NOT_QUIET[name]))
    assert result.overall_success, result.errors
    assert len(list(result.function_results())) == 1 + 3 * SAMPLES
    assert sent == [["model_fn"], *AGAIN * SAMPLES]


def test_who_listens_is_told_before_the_next_call_begins(
    package: MakePackage, sent: list[list[str]]
) -> None:
    told: list[int] = []
    spec = spec_for(package)
    RuntimeTester().test_inference_handler(spec, on_row=lambda row: told.append(len(sent)))
    assert [go for go in sent if go != ["release"]] == [
        ["model_fn"], *[[name] for name in STAGES] * SAMPLES
    ]  # fmt: skip
    assert told == sorted(set(told)), "one row between two goes"


def test_who_listens_has_nothing_queued(
    package: MakePackage, queued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "SLOW_S", -1.0)
    told: list[str] = []
    spec = many(package, predict_fn="time.sleep(0.05)")
    result = RuntimeTester().test_inference_handler(
        spec, on_row=lambda row: told.append(row.function_name)
    )
    assert result.overall_success, result.errors
    assert told == ["model_fn", *STAGES * MANY]
    assert queued == []


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
    for (function, _), row in rows(result).items():
        printed = "" if row.log is None else row.log.head + row.log.tail
        assert {name for name in STAGES if f"[{name}]" in printed} == {function} & set(where)
        if function in where and how == "as much as a pipe holds":
            assert row.log is not None
            assert row.log.total_bytes == len(words[function]) * 6000 + 1


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


def test_values_of_a_request_are_freed_with_its_last_call(package: MakePackage) -> None:
    top = (
        "class Data:\n"
        "    alive = 0\n"
        "    def __init__(self): Data.alive += 1\n"
        "    def __del__(self): Data.alive -= 1\n"
    )
    pieces = {"input_fn": "return Data()", "output_fn": "return str(Data.alive)"}
    result = run(spec_for(package, top=top, **pieces))
    assert [end.response.body for end in result.end_to_end_results] == ["1"] * SAMPLES


@pytest.mark.parametrize("input_fn", ["pass", "print('here')", "raise ValueError('no')"])
@pytest.mark.parametrize("size", [40_000, 49_000, 60_000, 65_536, 400_000])
def test_body_that_fills_the_pipe_does_not_cut_what_follows(
    size: int, input_fn: str, package: MakePackage
) -> None:
    body = "1," * (size // 2)
    samples = [
        {"sample_name": f"row {n}", "content_type": "text/csv", "request_body": body}
        for n in range(SAMPLES)
    ]
    result = run(spec_for(package, test_data_samples=samples, input_fn=input_fn))
    outcomes = [end.outcome.value for end in result.end_to_end_results]
    assert outcomes == ["raised" if "raise" in input_fn else "passed"] * SAMPLES, result.errors
    if "raise" not in input_fn:
        assert {end.response.body for end in result.end_to_end_results} == {body}


def test_requests_that_the_pipe_takes_in_pieces_are_whole(package: MakePackage) -> None:
    """Wherever the pieces end, in the middle of a call that follows as well."""
    with RuntimeTester() as tester, tester.open_handler(spec_for(package)) as live:
        model = arguments.kept_argument(live.call(calls.model(live.package.model_dir)))
        session = live._session
        assert session is not None
        fcntl.fcntl(session._process.requests, F_SETPIPE_SZ, 4096)
        for size in range(2_500, 3_000, 7):
            taken = calls.input_of("x" * size, "text/csv")
            predicted = calls.predict(arguments.kept_argument(taken.name), model, calls.NO_REQUEST)
            prediction = arguments.kept_argument(predicted.name)
            made = live.calls([taken, predicted, calls.output(prediction, "text/csv")], forget=True)
            assert [live.row(call).outcome.value for call in made] == ["passed"] * 3, size
            response = live.response(made[-1])
            assert response is not None
            assert response.body == "x" * size
        assert live._session is session, "one worker answered them all"


# ---------------------------------------------------------------- a request behind another


MANY = 6
# Each takes a while, or nothing would be queued behind the next. All but the first, which has none,
# and the last wait for what is queued; it may have been read already with what was before it.
WAITING = f"""
import fcntl

def wait_for_more(data):
    time.sleep(0.02)
    limit = time.monotonic() + (0.5 if data[0] in "1234" else 0.0)
    while time.monotonic() < limit and not any(
        fcntl.ioctl({protocol.REQUESTS_FD}, 0x541B, bytes(4))
    ):
        time.sleep(0.001)
"""


def many(package: MakePackage, size: int = 1, **pieces: Any) -> InferenceHandlerSpec:
    samples = [
        {"sample_name": f"row {n}", "content_type": "text/csv", "request_body": str(n) * size}
        for n in range(MANY)
    ]
    return spec_for(package, test_data_samples=samples, **pieces)


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first function of every series that was sent behind another."""
    found: list[str] = []
    queue = Session.queue

    def seen(session: Session, series: Series) -> None:
        found.append(series.calls[0].function)
        queue(session, series)

    monkeypatch.setattr(Session, "queue", seen)
    return found


@pytest.mark.parametrize("size", [1, 30_000, 60_000, 150_000])
def test_requests_that_take_a_while_have_the_next_behind_them(
    size: int, package: MakePackage, queued: list[str], sent: list[list[str]]
) -> None:
    patience = session_module.PATIENCE
    never = f"data[0] > '{patience}' and {size} > 100_000"  # then nothing is queued any more
    predict = f"{never} or wait_for_more(data)"
    result = run(many(package, size, top=WAITING, predict_fn=predict))
    assert result.overall_success, result.errors
    bodies = [end.response.body for end in result.end_to_end_results]
    assert bodies == [str(n) * size for n in range(MANY)]
    assert sent == [["model_fn"], *[list(STAGES)] * MANY]
    # The first has one behind it where model_fn took a while. What is in the file of responses is
    # read before the worker goes on; a line longer than the pipe may not be there in time.
    most = {MANY - 2, MANY - 1}
    counts = {1: most, 30_000: most, 60_000: {patience, *most}, 150_000: {patience}}
    assert len(queued) in counts[size]
    assert set(queued) == {"input_fn"}


def test_requests_that_take_less_are_alone(
    package: MakePackage, queued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "SLOW_S", 1000.0)
    assert run(many(package, predict_fn="time.sleep(0.02)")).overall_success
    assert queued == []


def test_what_the_last_call_prints_is_its_own_with_a_request_behind_it(
    package: MakePackage, queued: list[str], sent: list[list[str]]
) -> None:
    result = run(many(package, predict_fn="time.sleep(0.1)", output_fn="print(prediction)"))
    assert [row.log and row.log.head for row in result.output_fn_results] == [
        f"{n}\n" for n in range(MANY)
    ]
    assert sent == [["model_fn"], *[list(STAGES)] * MANY]
    assert len(queued) >= session_module.PATIENCE


ONCE = {
    **FAILURES,
    "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()": "passed",
    "subprocess.run(['echo', 'here'])": "passed",
    "print('here')": "passed",
    "return 'long' * 50_000": "passed",
    "return object()": "",
}


@pytest.mark.parametrize("slow_s", [-1.0, 0.001], ids=["always", "now and then"])
@pytest.mark.parametrize("how", ONCE)
@pytest.mark.parametrize("stage", STAGES)
def test_one_request_among_others_is_judged_as_if_it_were_alone(
    stage: str,
    how: str,
    slow_s: float,
    package: MakePackage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether others were behind it, had to be sent again, or never were queued."""
    names = {"input_fn": "body", "predict_fn": "data", "output_fn": "prediction"}
    seconds = 2 if ONCE[how] == "timed_out" else 60
    spec = many(
        package,
        limits=Limits(timeout_seconds=seconds, memory_limit_mb=700, max_output_bytes=10**6),
        **{stage: f"if {names[stage]} == '2': {how}"},
    )
    monkeypatch.setattr(live_module, "SLOW_S", slow_s)
    found = seen_of(run(spec))
    monkeypatch.setattr(live_module, "SLOW_S", 1000.0)
    assert found == seen_of(run(spec))
    if ONCE[how]:
        assert found[stage, "row 2"][0] == ONCE[how]


@pytest.mark.parametrize("wish", [{"deterministic": True}, {"max_seconds": 0.01}])
def test_request_that_is_made_again_has_none_behind_it(
    wish: dict[str, Any], package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "SLOW_S", -1.0)
    spec = many(package, predict_fn="time.sleep(0.05)")
    samples = [sample.model_copy(update=wish) for sample in spec.test_data_samples[::2]]
    mixed = [*samples, *spec.test_data_samples[1::2]]
    result = run(spec.model_copy(update={"test_data_samples": tuple(mixed)}))
    bodies = [end.response.body for end in result.end_to_end_results]
    assert bodies == [sample.request_body for sample in mixed]
    outcomes = [end.success for end in result.end_to_end_results]
    assert outcomes == ["deterministic" in wish] * len(samples) + [True] * (MANY - len(samples))


def test_what_is_hopeless_is_not_queued(
    package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "SLOW_S", -1.0)
    spec = many(
        package,
        predict_fn="if data == '2': os._exit(7)",
        supported_accept_types=["text/csv", "application/json"],
        probe=True,
    )
    result = run(spec)
    ends = {(end.sample_name, end.accept_type): end.outcome for end in result.end_to_end_results}
    assert ends.pop(("row 2", "text/csv")) == "exited"
    assert ends.pop(("row 2", "application/json")) == "skipped"
    assert len(ends) == 2 * (MANY - 1)
    assert set(ends.values()) == {"passed"}


def seen_of(result: InferenceTestResult) -> dict[tuple[str, str | None], Any]:
    found: dict[tuple[str, str | None], Any] = {
        key: (row.outcome.value, row.log and (row.log.head, row.log.total_bytes > 100))
        for key, row in rows(result).items()
    }
    for end in result.end_to_end_results:
        body = re.split("object at|Traceback", end.response.body or "")[0]
        found["end", end.sample_name] = end.outcome.value, end.response.status, body
    return found


def test_handler_is_closed_though_its_worker_is_at_a_request_that_nobody_asks_for(
    package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "SLOW_S", -1.0)
    predict = "time.sleep(600) if data == 'for ever' else wait_for_more(data)"
    spec = spec_for(package, top=WAITING, predict_fn=predict)
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        model = arguments.kept_argument(live.call(calls.model(live.package.model_dir)))

        def planned(body: str) -> list[calls.Planned]:
            taken = calls.input_of(body, "text/csv")
            data = arguments.kept_argument(taken.name)
            return [taken, calls.predict(data, model, calls.NO_REQUEST)]

        live._is_slow = True
        made = live.calls(planned("1"), forget=True, plan_next=lambda: planned("for ever"))
        session = live._session
        assert session is not None
        assert live._ready is not None
        assert session.is_at(live._ready.series)
        live.settle()
        assert [live.row(call).outcome.value for call in made] == ["passed"] * 2
        worker = session.ready and session.ready.pid
    assert worker is not None
    assert not psutil.pid_exists(worker)
    assert not [text for text in live.warnings if "leave" in text]


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


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_replies_are_in_order_or_a_violation(name: str, package: MakePackage) -> None:
    """The handler cannot see the ids; here it is told what they are."""
    forge, outcomes = FORGERIES[name]
    ids = [f"{number:016x}" for number in range(3)]
    lines = b"".join(forged(*reply) for reply in forge(ids))
    spec = spec_for(
        package,
        input_fn=f"os.write({protocol.REPLIES_FD}, {lines!r}); time.sleep(600)",
        limits=Limits(timeout_seconds=2),
        isolation="process",
    )
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        model = live.call(calls.model(live.package.model_dir))
        kept = [protocol.Argument(kind="kept", id=text) for text in (*ids, model)]
        planned = [
            calls.Planned(ids[0], "input_fn", calls.input_of("1", "text/csv").given),
            calls.Planned(ids[1], "predict_fn", [kept[0], kept[3]]),
            calls.Planned(ids[2], "output_fn", [kept[1], kept[2]]),
        ]
        made = live.calls(planned)
        live.settle()
        assert [live.row(call).outcome.value for call in made] == outcomes


def forged(name: str, goes_on: bool) -> bytes:
    value = protocol.Value(type="str", module="builtins", preview="'1'")
    return wire.encode(
        protocol.Returned(id=name, value=value, elapsed_s=0.0, goes_on=goes_on or None)
    )

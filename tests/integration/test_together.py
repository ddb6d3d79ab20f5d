"""Calls that are sent together are judged, timed and shown as if each had been sent alone."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import worker.protocol as protocol
from harness import InferenceHandlerSpec, InferenceTestResult, Limits, RuntimeTester
from harness.checks import arguments, calls
from harness.results import FunctionTestResult
from harness.runtime import wire
from harness.runtime.session import Session
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
    encode, requests = wire.encode, Session.requests

    def seen(session: Session, messages: Any, timeout_s: float, **options: Any) -> Any:
        goes.append([message.function for message in messages])
        return requests(session, messages, timeout_s, **options)

    def seen_encode(message: object) -> bytes:
        if isinstance(message, protocol.Release):
            goes.append(["release"])
        return encode(message)

    monkeypatch.setattr(Session, "requests", seen)
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

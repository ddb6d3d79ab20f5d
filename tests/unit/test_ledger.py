"""A row is made when it is asked for, or while the worker is busy with the next call."""

from __future__ import annotations

from typing import Any

import pytest

from harness import InferenceHandlerSpec, Limits, RuntimeTester
from harness.checks import verdict
from harness.checks.ledger import Entry, Ledger
from harness.results import FunctionTestResult
from harness.runtime.evidence import Answer, Ending
from harness.runtime.pipes import Pipes
from tests.conftest import MakePackage
from worker import protocol

VALUE = protocol.Value(type="str", module="builtins", length=1, size_bytes=1, preview="'1'")
FAILURE = protocol.Failure(type="E", module="m", message="no", traceback="")
LIMITS = Limits(timeout_seconds=1, max_response_bytes=1000)


def returned(**fields: Any) -> protocol.Returned:
    return protocol.Returned(id="a", value=VALUE, elapsed_s=0.5, **fields)


def response(status: int | None) -> protocol.Response:
    return protocol.Response(status=status, body="1", body_encoding="utf-8", reason="why")


ANSWERS: dict[str, Any] = {
    "returned": returned(),
    "a response": returned(response=response(200)),
    "a response without content": returned(response=response(204)),
    "a refused response": returned(response=response(503)),
    "no response": returned(response=response(None)),
    "too much": returned(oversize_bytes=2000),
    "too much for the server": returned(response=response(413), oversize_bytes=2000),
    "raised": protocol.Raised(id="a", failure=FAILURE, elapsed_s=0.5, fatal=False),
    "refused": protocol.Refused(id="a", reason="no"),
    "timeout": Ending("timeout", "no answer before the deadline"),
    "death": Ending("death", "the worker ended without an answer", exit_code=0),
}


def entry(name: str, came: Any) -> Entry:
    ending = came if isinstance(came, Ending) else None
    reply = None if ending else came
    answer = Answer(name, reply, ending, 1.0, 7, "VmHWM", None)
    return Entry(name, "output_fn", answer, "call", True, {"sample_name": "one"})


@pytest.mark.parametrize("name", ANSWERS)
def test_success_is_known_without_the_row(name: str) -> None:
    ledger = Ledger(LIMITS, {}, None)
    ledger.enter(entry(name, ANSWERS[name]))
    known = ledger.succeeded(name)
    assert known is ledger.rows[name].success is ledger.succeeded(name)
    assert known is (name in ("returned", "a response", "a response without content"))


def test_rows_come_in_order_and_at_once_to_who_listens() -> None:
    heard: list[FunctionTestResult] = []
    ledger = Ledger(LIMITS, {}, heard.append)
    for number, came in enumerate(ANSWERS.values()):
        ledger.enter(entry(str(number), came))
        assert len(heard) == number + 1
    assert heard == list(ledger.rows.values())


def test_what_follows_an_answer_is_held_against_its_row() -> None:
    ledger = Ledger(LIMITS, {}, None)
    for name in ("returned", "a response"):
        ledger.enter(entry(name, ANSWERS[name]))
    ledger.amend(Ending("death", "it left", exit_code=3))
    assert ledger.last is ledger.rows["a response"]
    assert (ledger.last.outcome, ledger.last.exit_code) == ("exited", 3)
    assert ledger.response("a response") is None
    assert not ledger.succeeded("a response")
    assert ledger.succeeded("returned")


def test_what_the_import_tried_is_shown_with_the_first_call() -> None:
    attempt = protocol.Attempt(kind="connect", target="a.b", port=1, count=1, seconds=0.0)
    ledger = Ledger(LIMITS, {}, None)
    ledger.loaded(verdict.attempts_of(returned(attempts=[attempt])))
    ledger.enter(entry("returned", returned(attempts=[attempt])))
    ledger.enter(entry("a response", returned()))
    assert [len(row.network_attempts) for row in ledger.rows.values()] == [2, 0]


HANDLER = """
def model_fn(model_dir):
    return 1

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return prediction
"""


def test_row_is_made_when_the_worker_has_the_next_request(
    package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    write, judge = Pipes.write, verdict.judge

    def seen_write(pipes: Pipes, data: bytes = b"") -> None:
        if data:
            happened.append("a request")
        write(pipes, data)

    def seen_judge(*given: Any, function: str, **options: Any) -> dict[str, Any]:
        happened.append(function)
        return judge(*given, function=function, **options)

    monkeypatch.setattr(Pipes, "write", seen_write)
    monkeypatch.setattr(verdict, "judge", seen_judge)
    spec = InferenceHandlerSpec(
        handler_name="handler",
        packaged_model_path=str(package({"code/inference.py": HANDLER})),
        test_data_samples=[
            {"sample_name": "row", "content_type": "text/csv", "request_body": "1"},
        ],
        supported_accept_types=["text/csv"],
    )
    assert RuntimeTester().test_inference_handler(spec).overall_success
    assert happened == [
        *("a request", "a request", "a request"),  # the load, model_fn, and all of the sample's
        *("model_fn", "input_fn", "predict_fn", "output_fn"),
    ]

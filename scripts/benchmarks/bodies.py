"""A large body to the worker and back, against copying it twice in memory."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.measure import Case, Ratio, ratios
from benchmarks.workers import TIMEOUT_S, launcher, succeed
from harness.runtime.bodies import Raw
from harness.runtime.session import Session
from worker import protocol

NAME = "bodies"
WORDS = """\
`scripts/bench bodies`. A request's body to input_fn, and the same out of output_fn, in two calls;
what both return is described, and the response becomes text of the result within that time. The
floor copies the body twice in memory of one process."""
TYPE = "application/octet-stream"
ECHO = """
def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return body

def output_fn(prediction, accept):
    return prediction
"""
SIZES = {"1 KB": 1_000, "100 KB": 100_000, "1 MB": 10**6, "10 MB": 10**7, "100 MB": 10**8}
TARGETS = {"100 MB": 2.0}
WITHOUT_CAPS = {"MMS_MAX_RESPONSE_SIZE": "1000000000"}  # the stack's own is 6,553,500 bytes


def run(rounds: int) -> list[Ratio]:
    """Measure every size in every round."""
    with body_cases() as cases:
        return ratios(NAME, cases, rounds)


@contextmanager
def body_cases() -> Iterator[list[Case]]:
    """Give two cases for each size."""
    with ExitStack() as stack:
        first = stack.enter_context(launcher("auto", ECHO, environ_vars=WITHOUT_CAPS))
        session = stack.enter_context(first.start())
        succeed(first.load(session, "load"))
        cases = []
        for name, size in SIZES.items():
            body = b"x" * size
            base = f"copying {name} twice"
            there_and_back = functools.partial(exchange, session, body)
            cases += [
                Case(base, functools.partial(copy_twice, body), base),
                Case(f"{name} in and out", there_and_back, base, TARGETS.get(name)),
            ]
        yield cases


def copy_twice(body: bytes) -> float:
    """Time two copies, each into fresh memory."""
    begin = time.perf_counter()
    bytes(bytearray(body))
    return time.perf_counter() - begin


def exchange(session: Session, body: bytes) -> float:
    """Time one body to the worker and back."""
    kind = protocol.Argument(kind="json", json=TYPE)
    begin = time.perf_counter()
    given = [session.carry(Raw("body", body, TYPE)), kind]
    succeed(session.request(call("input_fn", given), TIMEOUT_S))
    kept = [protocol.Argument(kind="kept", id="input_fn"), kind]
    reply = succeed(session.request(call("output_fn", kept), TIMEOUT_S))
    elapsed = time.perf_counter() - begin
    if len(reply.response.body) != len(body):
        raise SystemExit("the body did not come back")
    session.release(["input_fn", "output_fn"])
    return elapsed


def call(function: str, given: list[protocol.Argument]) -> protocol.Call:
    """Make a call that has its function's name as its id."""
    return protocol.Call(id=function, function=function, arguments=given)  # type: ignore[arg-type]

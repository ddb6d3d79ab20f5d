"""Whatever bytes a child sends, however cut: a message, or a Violation, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.runtime import wire
from harness.runtime.process import WorkerProcess
from harness.runtime.session import Answer, Session
from worker import protocol

MIB = 2**20
CAP = 64
GOLDEN = [
    json.dumps(message).encode()
    for path in sorted(Path(__file__).with_name("golden").glob("*.json"))
    for message in json.loads(path.read_text(encoding="utf-8")).values()
]
READY = b'{"type":"ready","protocol":%d,"python":"3.11.0","executable":"x","pid":1}' % (
    protocol.VERSION
)

# Real messages with a few bytes changed get further than noise does.
damaged = st.builds(
    lambda line, at, new: line[: at % len(line)] + new + line[at % len(line) + len(new) :],
    st.sampled_from(GOLDEN),
    st.integers(0, 10_000),
    st.binary(max_size=3),
)
lines = st.one_of(st.binary(max_size=200), damaged, st.sampled_from(GOLDEN))
streams = st.lists(lines, max_size=6).map(b"\n".join)
cuts = st.lists(st.integers(0, 2000), max_size=8)


def pieces(stream: bytes, places: list[int]) -> Iterator[bytes]:
    ends = sorted({place for place in places if place < len(stream)})
    for start, end in zip([0, *ends], [*ends, len(stream)], strict=True):
        yield stream[start:end]


def taken(reader: wire.LineReader) -> Iterator[bytes]:
    while (line := reader.next_line()) is not None:
        yield line


@settings(max_examples=300, deadline=None)
@given(streams, cuts)
def test_lines_are_the_same_however_the_stream_is_cut(stream: bytes, places: list[int]) -> None:
    reader = wire.LineReader(len(stream))
    got = []
    for piece in pieces(stream, places):
        reader.feed(piece)
        got += taken(reader)
    *whole, rest = stream.split(b"\n")
    assert got == whole
    assert rest.startswith(reader.pending)
    assert bool(reader.pending) is bool(rest)


@settings(max_examples=300, deadline=None)
@given(streams, cuts, st.booleans())
def test_reader_holds_no_more_than_its_cap(stream: bytes, places: list[int], take: bool) -> None:
    reader = wire.LineReader(CAP)
    held = 0
    for piece in pieces(stream, places):
        try:
            reader.feed(piece)
        except wire.Violation:
            assert held + len(piece) > CAP, "refused within the cap"
            return
        held += len(piece)
        assert held <= CAP
        if take:
            held -= sum(len(line) + 1 for line in taken(reader))


def test_a_line_of_exactly_the_cap_is_read_and_one_byte_more_is_not() -> None:
    reader = wire.LineReader(CAP)
    reader.feed(b"x" * (CAP - 1))
    reader.feed(b"\n")
    assert reader.next_line() == b"x" * (CAP - 1)
    reader.feed(b"x" * CAP)
    with pytest.raises(wire.LineTooLong, match="a line of more than 64 bytes"):
        reader.feed(b"x")


def test_many_short_lines_are_too_much_as_well() -> None:
    reader = wire.LineReader(CAP)
    for _ in range(CAP // 2):
        reader.feed(b"x\n")
    with pytest.raises(wire.Violation) as caught:
        reader.feed(b"x\n")
    assert not isinstance(caught.value, wire.LineTooLong)


@settings(max_examples=1000, deadline=None)
@given(lines)
@example(b"[" * 100_000)
@example(b"9" * 5000)
@example(b'{"type":' * 1000)
@example(b'{"type":"refused","id":"\\ud800","reason":""}')
def test_line_is_a_message_or_a_violation(line: bytes) -> None:
    for decode, kinds in (
        (wire.decode_reply, protocol.REPLIES),
        (wire.decode_report, protocol.REPORTS),
        (wire.decode_template_report, protocol.WARM_REPORTS),
    ):
        message, refusal = None, ""
        try:
            message = decode(line)  # type: ignore[operator]
        except wire.Violation as violation:
            refusal = str(violation)
        assert len(refusal) < 1000
        assert isinstance(message, kinds) or refusal
        wire.encode(message)  # nothing in it that cannot be written


# ---------------------------------------------------------------- a worker that is none

# Stands in for the worker: it writes what is in a file to the channel, then does what it is told.
IMPOSTOR = """
import os, sys
channel, what, then = 1, sys.argv[1], sys.argv[2]
with open(what, "rb") as file:
    data = file.read()
while data:
    data = data[os.write(channel, data):]
while then == "again":
    with open(what, "rb") as file:
        data = file.read()
    while data:
        data = data[os.write(channel, data):]
if then == "wait":
    os.read(0, 1)
"""


@contextmanager
def impostor(folder: Path, data: bytes, then: str) -> Iterator[Session]:
    script, content = folder / "impostor.py", folder / "data"
    script.write_text(IMPOSTOR)
    content.write_bytes(data)
    order = protocol.Start(
        argv=[sys.executable, "-I", "-S", str(script), str(content), then],
        environ={},
        directory=str(folder),
    )
    process = WorkerProcess(order, mark=str(folder))
    with Session(process, max_output_bytes=MIB, max_response_bytes=1000) as session:
        yield session


def is_unharmed(answer: Answer) -> None:
    """Hold an answer to what may come of arbitrary bytes: a greeting, or one of these endings."""
    if answer.reply is None:
        assert answer.ending is not None
        # "not_started": a greeting of another protocol version is well-formed, and refused.
        assert answer.ending.cause in ("not_started", "protocol", "reply", "death", "timeout")
        assert len(answer.ending.detail) < 1000


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=streams, then=st.sampled_from(["exit", "wait"]))
@example(data=READY + b"\n", then="wait")
@example(data=READY + b"\n" + READY + b"\n", then="wait")
@example(data=READY, then="exit")
def test_session_survives_any_bytes_on_the_channel(tmp_path: Path, data: bytes, then: str) -> None:
    with impostor(tmp_path, data, then) as session:
        is_unharmed(session.start(0.3))
        if session.alive:
            answer = session.request(
                protocol.Call(id="c", function="model_fn", arguments=[]), timeout_s=0.3
            )
            is_unharmed(answer)
            assert answer.reply is None, "nothing that was written before can answer this call"
    assert not session.alive


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"x" * MIB, "reply"),
        (b'{"type":"ready"}\n' * 60_000, "protocol"),
        (b"\n" * MIB, "protocol"),
        (READY + b"\n" + b"x" * MIB, "reply"),
    ],
    ids=["one line", "short lines", "empty lines", "after the greeting"],
)
def test_endless_channel_is_ended_within_bounded_memory(
    tmp_path: Path, data: bytes, cause: str
) -> None:
    cap = protocol.LINE_OVERHEAD_BYTES + 1000 * 4 // 3
    tracemalloc.start()
    try:
        with impostor(tmp_path, data, "again") as session:
            answer = session.start(30)
            if answer.ending is None:
                answer = session.request(
                    protocol.Call(id="c", function="model_fn", arguments=[]), timeout_s=30
                )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.ending is not None
    assert answer.ending.cause in (cause, "protocol")
    assert answer.elapsed_s < 10, "ended by its size, not by the deadline"
    # The cap, joined once when it is shown, and a chunk; a tree's bookkeeping beside it.
    assert peak < 4 * cap


# ---------------------------------------------------------------- what cannot be sent


def circular() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("value", [float("nan"), float("-inf"), [{"a": float("inf")}], circular()])
def test_what_json_cannot_carry_is_refused(
    value: object, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fast:
        monkeypatch.setattr(wire, "_pieces", wire._encoder.iterencode)
    with pytest.raises(ValueError, match=r"JSON compliant|holds itself|Circular"):
        wire.encode(protocol.Argument(kind="json", json=value))


@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_line_is_that_of_the_json_package(value: object) -> None:
    line = wire.encode(protocol.Argument(kind="json", json=value))
    assert json.loads(line) == {"kind": "json"} | ({} if value is None else {"json": value})
    assert line.isascii()
    assert line.count(b"\n") == 1


BEGINNING = (
    b'{"type":"returned","id":"x","elapsed_s":0.0,"value":{"type":"str","module":"builtins"}'
)
SWOLLEN = {
    "a list of what is none": BEGINNING + b',"attempts":[%b1]}' % (b"1," * 490_000),
    "a long list of what it holds": BEGINNING + b',"modules":[%b"a"]}' % (b'"a",' * 240_000),
    "lists within": BEGINNING + b',"attempts":[%b1]}' % (b"[]," * 320_000),
    "unknown keys": BEGINNING + b"".join(b',"%d":1' % number for number in range(90_000)) + b"}",
    "a list beyond": BEGINNING + b',"attempts":[%b1]}' % (b"1," * 4_000_000),
    "texts beyond": BEGINNING + b',"modules":[%b"a"]}' % (b'"",' * 3_000_000),
    "keys beyond": BEGINNING + b"".join(b',"%d":1' % number for number in range(400_000)) + b"}",
}
DECODE = """
import sys
from harness.runtime import wire

def memory(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

line = sys.stdin.buffer.read()
before = memory("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
try:
    wire.decode_reply(line)
except wire.Violation as error:
    print(memory("VmHWM") - before, error)
"""


@pytest.mark.parametrize("what", SWOLLEN)
def test_a_swollen_line_is_refused_in_bounded_memory(what: str) -> None:
    words = [sys.executable, "-c", DECODE]
    done = subprocess.run(words, input=SWOLLEN[what], capture_output=True, check=True)
    taken, told = done.stdout.split(b" ", 1)
    assert int(taken) < 64 * MIB, told
    assert len(told) < 400, told


def test_a_long_text_of_any_characters_is_no_swollen_line() -> None:
    body = '[{"a": "\\\\", "b": [1, 2]}, "\\"", \\' * 60_000
    line = BEGINNING + b',"response":%b}' % json.dumps({"status": 200, "body": body}).encode()
    assert len(line) > 2 * protocol.LINE_OVERHEAD_BYTES
    reply = wire.decode_reply(line)
    assert isinstance(reply, protocol.Returned)
    assert reply.response is not None
    assert reply.response.body == body

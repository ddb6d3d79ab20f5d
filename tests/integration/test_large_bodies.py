"""Large bodies cross beside the channel, whole and within their caps, whatever a handler does."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import InferenceHandlerSpec, InferenceTestResult, InferenceTestSample, RuntimeTester
from harness.runtime import bodies as bodies_module
from harness.runtime import layers, wire
from harness.runtime.bodies import INLINE_BYTES, Bodies, Raw
from tests.conftest import MakePackage
from worker import protocol

MIB = 1024 * 1024
ECHO = """
def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    assert type(body) is (str if content_type == "text/csv" else bytearray), type(body)
    return body

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return prediction, accept
"""
TEXT = ("naïve \u2028 row\n" * 80_000).encode()
BINARY = bytes(range(256)) * 5_000


def spec_for(package: Path, body: bytes, content_type: str, **fields: Any) -> InferenceHandlerSpec:
    sample = InferenceTestSample(sample_name="large", content_type=content_type, request_body=body)
    defaults: dict[str, Any] = {
        "handler_name": "echo",
        "packaged_model_path": str(package),
        "test_data_samples": (sample,),
        "supported_accept_types": [content_type],
        "timeout_seconds": 60,
    }
    return InferenceHandlerSpec(**(defaults | fields))


def run(code: str, body: bytes, package: MakePackage, **fields: Any) -> InferenceTestResult:
    kind = fields.pop("content_type", "application/octet-stream")
    spec = spec_for(package({"code/inference.py": ECHO + code}), body, kind, **fields)
    return RuntimeTester().test_inference_handler(spec)


def answered(result: InferenceTestResult) -> bytes:
    (end,) = result.end_to_end_results
    assert end.success, result.errors
    body = end.response.body or ""
    return base64.b64decode(body) if end.response.body_encoding == "base64" else body.encode()


LEVELS = [("process", "fresh"), ("auto", "fresh"), ("auto", "warm"), ("bwrap", "fresh")]


@pytest.mark.parametrize(("isolation", "start"), LEVELS)
def test_every_byte_comes_back(isolation: str, start: str, package: MakePackage) -> None:
    if isolation == "bwrap" and not layers.bwrap().works:
        pytest.skip(layers.bwrap().reason)
    fields = {"isolation": isolation, "start": start}
    assert answered(run("", TEXT, package, content_type="text/csv", **fields)) == TEXT
    assert answered(run("", BINARY, package, **fields)) == BINARY


@pytest.mark.parametrize("size", [INLINE_BYTES - 1, INLINE_BYTES, INLINE_BYTES + 1])
def test_sizes_around_the_threshold(size: int, package: MakePackage) -> None:
    body = os.urandom(size)
    assert answered(run("", body, package)) == body


def test_large_parameters_of_every_kind(package: MakePackage) -> None:
    code = "def predict_fn(data, model):\n    return [type(data).__name__, len(data)]\n"
    path = package({"code/inference.py": ECHO + code})
    with RuntimeTester().open_handler(spec_for(path, b"", "text/csv")) as handler:
        assert handler.model_fn().success
        for value in (BINARY, set(range(50_000)), BINARY + b"x"):
            row = handler.predict_fn(value)
            assert row.success, row.error_message
            assert row.output_data is not None
            assert str([type(value).__name__, len(value)]) in (row.output_data.preview or "")


# ---------------------------------------------------------------- whatever the handler does

STAGE = "\ndef output_fn(prediction, accept):\n    import os, threading\n"
DEEDS = {
    "truncates": "os.ftruncate(204, 0)\n    os.close(203)",
    "closes": "os.closerange(203, 205)",
    "replaces": "os.dup2(os.open('/dev/null', os.O_RDWR), 204)",
    "fills": "os.pwrite(204, b'x' * 3000000, 0)",
}


@pytest.mark.parametrize("deed", DEEDS)
def test_a_handler_that_tampers_gets_a_verdict(deed: str, package: MakePackage) -> None:
    result = run(f"{STAGE}    {DEEDS[deed]}\n    return prediction, accept\n", BINARY, package)
    (row,) = result.output_fn_results
    if deed == "replaces":
        assert row.outcome == "protocol_violated", row
    else:
        assert answered(result) == BINARY


def test_flags_that_a_handler_sets_are_not_the_testers(package: MakePackage) -> None:
    """O_APPEND would have the next bodies written behind those of the calls before."""
    code = """
def input_fn(body, content_type):
    import fcntl, hashlib, os
    fcntl.fcntl(203, fcntl.F_SETFL, fcntl.fcntl(203, fcntl.F_GETFL) | os.O_APPEND)
    return hashlib.sha256(body).hexdigest()
"""
    path = package({"code/inference.py": ECHO + code})
    with RuntimeTester().open_handler(spec_for(path, b"", "text/csv")) as handler:
        assert handler.model_fn().success
        for value in (BINARY, BINARY[::-1], BINARY + b"x"):
            row = handler.input_fn(value, "application/octet-stream")
            assert row.output_data is not None, row.error_message
            assert hashlib.sha256(value).hexdigest() in (row.output_data.preview or "")


def test_a_handler_that_truncates_behind_our_back_gets_a_verdict(package: MakePackage) -> None:
    """A thread that cuts the file again and again: the answer is whole, or a violation."""
    code = f"""{STAGE}
    def cut():
        while True:
            os.ftruncate(204, 0)
    for _ in range(4):
        threading.Thread(target=cut, daemon=True).start()
    return prediction, accept
"""
    (row,) = run(code, BINARY * 4, package).output_fn_results
    assert row.outcome in ("passed", "protocol_violated"), row


def test_forged_sizes_are_violations(package: MakePackage) -> None:
    forged = (
        '{"type":"returned","id":"%s","elapsed_s":0.0,"value":{"type":"str","module":"builtins"},'
        '"response":{"status":200,"stored_bytes":%d}}\\n'
    )
    for size in (10, 2**62):
        code = f"""{STAGE}
    import sys, gc
    worker = [o for o in gc.get_objects() if type(o).__name__ == "Worker"]
    frame = sys._getframe()
    while "request" not in frame.f_locals:
        frame = frame.f_back
    os.write(201, ('{forged}' % (frame.f_locals["request"]["id"], {size})).encode())
    os._exit(0)
"""
        (row,) = run(code, b"1", package).output_fn_results
        assert row.outcome == "protocol_violated", row


def test_the_large_body_of_an_exception_comes_back(package: MakePackage) -> None:
    """The container sends the message: it lies beside the line like any other body."""
    code = f"{STAGE}    raise ValueError('y' * 100_000)\n"
    result = run(code, b"1", package)
    (row,) = result.output_fn_results
    assert row.outcome == "raised", row
    (end,) = result.end_to_end_results
    assert end.response is not None
    assert "y" * 50_000 in (end.response.body or "")


def test_caps_hold(package: MakePackage) -> None:
    limits = {"max_response_bytes": MIB}
    (row,) = run("", BINARY, package, limits=limits).output_fn_results
    assert row.outcome == "output_exceeded", row
    assert answered(run("", BINARY, package, limits={"max_file_bytes": 100_000})) == BINARY


def test_bodies_of_a_series_lie_one_after_another_and_those_of_the_next_over_them() -> None:
    bodies = Bodies()
    given = bodies.given[0]
    try:
        for series in ([BINARY, TEXT, BINARY[::-1]], [TEXT, BINARY]):
            carried = [bodies.carry(Raw("body", data)) for data in series]
            small = bodies.carry(Raw("bytes", b"small"))
            assert (small.at, small.size) == (None, None)
            assert [body.size for body in carried] == [len(data) for data in series]
            ends = [0, len(series[0]), len(series[0]) + len(series[1])]
            assert [body.at for body in carried] == ends[: len(series)]
            whole = b"".join(series)
            assert os.pread(given, len(whole), 0) == whole
            bodies.clear()
        assert bodies.carry(Raw("body", TEXT)).at == 0
    finally:
        bodies.close()


def test_file_of_bodies_does_not_grow_with_the_number_of_requests() -> None:
    bodies = Bodies()
    try:
        for size in (1, 3, 2, 3, 1, 1, 3, 3, 2, 1) * 5:
            bodies.carry(Raw("body", b"x" * (size * 100_000)))
            bodies.clear()
        assert os.fstat(bodies.given[0]).st_size <= 300_000
    finally:
        bodies.close()


def completed(stored: bytes, claimed: int | None = None) -> protocol.Response:
    """Give the response that the tester makes of what a worker left beside the line."""
    reply = protocol.Returned(
        id="x",
        elapsed_s=0.0,
        value=protocol.Value(type="str", module="builtins"),
        response=protocol.Response(status=200, stored_bytes=claimed or len(stored)),
    )
    bodies = Bodies()
    try:
        os.pwrite(bodies.given[1], stored, 0)
        whole = bodies.complete(reply, 2**40)
        assert os.fstat(bodies.given[1]).st_size == 0, "its memory counts as the worker's"
    finally:
        bodies.close()
    assert isinstance(whole, protocol.Returned)
    assert whole.response is not None
    return whole.response


@pytest.mark.parametrize("first", [5, 6, 7, 40])
@pytest.mark.parametrize("piece", [5, 6, 7])
def test_a_response_is_cut_anywhere(first: int, piece: int, monkeypatch: Any) -> None:
    """Neither a character nor a group of base64 ends where a piece does."""
    monkeypatch.setattr(bodies_module, "FIRST_BYTES", first)
    monkeypatch.setattr(bodies_module, "PIECE_BYTES", piece)
    text = "aé€😀bc😀😀€€é."
    for start in range(len(text) + 1):
        response = completed(text[start:].encode())
        assert (response.body, response.body_encoding) == (text[start:], "utf-8")
    for data in (text.encode()[:-2], b"\xff" + text.encode(), bytes(range(128, 165))):
        response = completed(data)
        assert response.body_encoding == "base64", data
        assert base64.b64decode(response.body or "") == data
    with pytest.raises(wire.Violation, match="cut short"):
        completed(b"x" * 20, claimed=21)


@pytest.mark.parametrize(("byte", "length", "most"), [("x", 1.0, 1.2), ("\\xff", 4 / 3, 1.5)])
def test_a_response_takes_little_more_memory_than_its_text(
    byte: str, length: float, most: float
) -> None:
    code = f"""
import os
from harness.runtime.bodies import Bodies
from worker import protocol

def memory(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

size, bodies = 90_000_000, Bodies()
for at in range(0, size, 1_000_000):
    os.pwrite(bodies.given[1], b"{byte}" * 1_000_000, at)
value = protocol.Value(type="str", module="builtins")
response = protocol.Response(status=200, stored_bytes=size)
reply = protocol.Returned(id="x", elapsed_s=0.0, value=value, response=response)
before = memory("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
whole = bodies.complete(reply, size)
print(len(whole.response.body) / size, (memory("VmHWM") - before) / size)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    share, peak = map(float, done.stdout.split())
    assert share == pytest.approx(length)
    assert share - 0.1 < peak < most

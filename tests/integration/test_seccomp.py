"""The seccomp layer: no socket of the internet families, and the attempt is still named."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import InferenceHandlerSpec, InferenceTestSample, RuntimeTester
from harness.cli import main
from harness.runtime import layers

HANDLER = """
import socket

def model_fn(model_dir):
    local = socket.socket(socket.AF_UNIX)
    local.close()
    return 1

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    kind = socket.SOCK_DGRAM if data == "udp" else socket.SOCK_STREAM
    if data == "tcp":
        socket.create_connection(("127.0.0.1", 9), 1)
    return socket.socket(socket.AF_INET, kind)

def output_fn(prediction, accept):
    return "reached"
"""


@pytest.fixture
def handler(tmp_path: Path) -> Path:
    probe = layers.seccomp_filter()
    if not probe.works:
        pytest.skip(f"seccomp: {probe.reason}")
    path = tmp_path / "handler.py"
    path.write_text(HANDLER)
    return path


def spec_of(handler: Path, *bodies: str, **fields: object) -> InferenceHandlerSpec:
    return InferenceHandlerSpec.model_validate(
        {
            "handler_name": "reaches",
            "handler_path": str(handler),
            "supported_accept_types": ["application/json"],
            "test_data_samples": [
                InferenceTestSample(sample_name=body, content_type="text/csv", request_body=body)
                for body in bodies
            ],
            **fields,
        }
    )


def test_neither_tcp_nor_udp_gets_a_socket(handler: Path) -> None:
    result = RuntimeTester().test_inference_handler(spec_of(handler, "tcp", "udp"))
    assert result.isolation is not None
    assert result.isolation.network == "no_inet"
    assert "seccomp:2" in result.isolation.effective
    assert result.model_fn_result.success, "a local socket is nobody's network"
    for row in result.predict_fn_results:
        assert row.outcome == "raised"
        assert row.failure is not None
        assert row.failure.type == "PermissionError"


def test_an_attempt_that_got_no_socket_is_named_with_its_line(handler: Path) -> None:
    result = RuntimeTester().test_inference_handler(spec_of(handler, "tcp"))
    (attempt,) = result.predict_fn_results[0].network_attempts
    assert (attempt.kind, attempt.target, attempt.port) == ("connect", "127.0.0.1", 9)
    line = HANDLER.splitlines().index('        socket.create_connection(("127.0.0.1", 9), 1)') + 1
    assert attempt.line == line
    assert any("sockets of the internet families are refused" in text for text in result.warnings)


@pytest.mark.parametrize("fields", [{"network": True}, {"isolation": "process"}])
def test_it_is_not_loaded_where_it_was_not_asked_for(
    handler: Path, fields: dict[str, object]
) -> None:
    result = RuntimeTester().test_inference_handler(spec_of(handler, "udp", **fields))
    assert result.isolation is not None
    assert not any(layer.startswith("seccomp") for layer in result.isolation.effective)
    assert result.predict_fn_results[0].success


def test_doctor_tells_of_it(handler: Path) -> None:
    told = CliRunner().invoke(main, ["doctor", "--json"])
    assert '"seccomp"' in told.output

"""What a handler tries to reach is told, and what a layer denies stays inside. Loopback only."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from harness import (
    FunctionTestResult,
    InferenceTestResult,
    IsolationUnavailableError,
    RuntimeTester,
)
from harness.summaries import NetworkAttempt
from tests.adversarial.conftest import RunAt
from tests.adversarial.faults import FAULTY
from tests.adversarial.levels import AS_ROOT, LEVELS, Level, in_force
from tests.adversarial.running import files, first_rows, log_of, run, spec_for
from tests.conftest import MakePackage

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Reach:
    """What a level lets out: whether TCP and UDP arrive, and what the result says of it."""

    tcp: str
    udp: bool
    network: str
    warning: str
    told: tuple[str, ...] = ("connect", "send", "resolve")


NONE = Reach("ECONNREFUSED", False, "none", "there is no network in the sandbox")
NO_TCP = Reach("EACCES", True, "tcp_denied", "TCP is denied; UDP, and so a name's look-up, is not")
NO_INET = Reach(
    "EACCES",
    False,
    "no_inet",
    "sockets of the internet families are refused",
    ("connect", "resolve"),  # without a socket there is nobody to send to
)
ALL = Reach("done", True, "allowed", "nothing here denies it")


@dataclass(frozen=True)
class Servers:
    """A TCP server and a UDP socket of this test, and what has come to them."""

    tcp: socket.socket
    udp: socket.socket

    @property
    def ports(self) -> dict[str, str]:
        """Give the handler's variables."""
        return {"PORT": str(port_of(self.tcp)), "UDP_PORT": str(port_of(self.udp))}

    def connections(self) -> int:
        """Count the connections made so far; loopback connects before connect() returns."""
        count = 0
        while True:
            try:
                accepted, _ = self.tcp.accept()
            except BlockingIOError:
                return count
            accepted.close()
            count += 1

    def datagrams(self) -> list[bytes]:
        """Take what has come; loopback delivers before sendto() returns."""
        found = []
        while True:
            try:
                found.append(self.udp.recv(1000))
            except BlockingIOError:
                return found


def port_of(end: socket.socket) -> int:
    return int(end.getsockname()[1])


@pytest.fixture
def servers() -> Iterator[Servers]:
    with (
        socket.create_server((HOST, 0)) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        udp.bind((HOST, 0))
        tcp.setblocking(False)
        udp.setblocking(False)
        yield Servers(tcp, udp)


def reach_of(result: InferenceTestResult) -> Reach:
    layers = in_force(result)
    if "bwrap" in layers:
        return NONE
    if "seccomp" in layers:
        return NO_INET
    return NO_TCP if "landlock:4" in layers else ALL


def predict_row(result: InferenceTestResult) -> FunctionTestResult:
    return first_rows(result)["predict_fn"]


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_attempts_are_told_and_what_is_denied_stays_inside(
    level: Level, package: MakePackage, run_at: RunAt, servers: Servers
) -> None:
    spec = spec_for(package(files("reaches_out")), environ_vars=servers.ports)
    result = run_at(level, spec)
    assert result.overall_success, result.errors
    reach = reach_of(result)
    assert result.isolation is not None
    assert result.isolation.network == reach.network
    row = predict_row(result)
    # Landlock refuses by itself, in a sandbox too; there nobody listens on the other loopback.
    refused = "EACCES" if "landlock:4" in in_force(result) else reach.tcp
    assert f"connect: {refused}\n" in log_of(row)
    assert servers.connections() == (3 if reach.tcp == "done" else 0)
    assert servers.datagrams() == ([b"from the handler"] if reach.udp else [])
    check_attempts(row.network_attempts, servers, reach)
    check_warnings(result, servers, reach)


def check_attempts(attempts: list[NetworkAttempt], servers: Servers, reach: Reach) -> None:
    """Each with host, port, and the very line; what was tried again is counted."""
    found = [(item.kind, item.target, item.port, item.line, item.count) for item in attempts]
    tried = [
        ("connect", HOST, port_of(servers.tcp), line_of("reaches_out", "connect"), 3),
        ("send", HOST, port_of(servers.udp), line_of("reaches_out", "send"), 1),
        ("resolve", "localhost", 80, line_of("reaches_out", "resolve"), 1),
    ]
    assert found == [attempt for attempt in tried if attempt[0] in reach.told]
    assert all((item.file or "").endswith("/code/inference.py") for item in attempts)
    assert all(0 <= item.seconds < 10 for item in attempts)


def check_warnings(result: InferenceTestResult, servers: Servers, reach: Reach) -> None:
    line = line_of("reaches_out", "connect")
    told = (
        rf"predict_fn tried to connect to {HOST}:{port_of(servers.tcp)} "
        rf"\(.*/inference\.py:{line}\), 3 times over [\d.]+ s; {re.escape(reach.warning)}"
    )
    assert [text for text in result.warnings if re.fullmatch(told, text)], result.warnings


def line_of(file: str, name: str) -> int:
    (line,) = (
        number
        for number, text in enumerate((FAULTY / f"{file}.py").read_text().splitlines(), 1)
        if text.endswith(f"# here: {name}")
    )
    return line


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_allowed_network_reaches_a_server(
    level: Level, package: MakePackage, run_at: RunAt, servers: Servers
) -> None:
    spec = spec_for(package(files("reaches_out")), environ_vars=servers.ports, network=True)
    result = run_at(level, spec)
    assert result.overall_success, result.errors
    assert result.isolation is not None
    assert result.isolation.network == "allowed"
    assert "connect: done" in log_of(predict_row(result))
    assert (servers.connections(), servers.datagrams()) == (3, [b"from the handler"])
    check_attempts(predict_row(result).network_attempts, servers, ALL)


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_installing_at_import_is_diagnosed(
    level: Level, package: MakePackage, run_at: RunAt
) -> None:
    result = run_at(level, spec_for(package(files("installs_at_import"))))
    row = result.model_fn_result
    assert (row.outcome, row.phase) == ("not_started", "import"), row
    assert row.failure is not None
    assert row.failure.type == "CalledProcessError"
    (attempt,) = row.network_attempts
    assert (attempt.kind, attempt.line) == ("install", line_of("installs_at_import", "install"))
    assert "-m pip install" in attempt.target
    assert attempt.target.endswith("surely-there-is-no-such-package")
    told = rf"the handler installs packages while it runs \({re.escape(attempt.file or '')}:"
    assert [text for text in result.warnings if re.match(told, text)], result.warnings


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_loopback_needs_a_network_namespace(
    level: Level, package: MakePackage, run_at: RunAt
) -> None:
    spec = spec_for(package(files("loopback_of_its_own")), network="loopback")
    if level.isolation in ("process", "auto"):
        with pytest.raises(IsolationUnavailableError, match='network="loopback" needs'):
            run(spec.model_copy(update={"isolation": level.isolation}))
        return
    result = run_at(level, spec)
    assert result.overall_success, result.errors
    assert result.isolation is not None
    assert result.isolation.network == "loopback"


@pytest.mark.parametrize("level", AS_ROOT[2:], ids=lambda level: level.name)
def test_own_loopback_does_not_reach_that_of_the_machine(
    level: Level, package: MakePackage, run_at: RunAt, servers: Servers
) -> None:
    spec = spec_for(package(files("reaches_out")), environ_vars=servers.ports, network="loopback")
    result = run_at(level, spec)
    assert result.overall_success, result.errors
    assert (servers.connections(), servers.datagrams()) == (0, [])
    check_warnings(
        result, servers, Reach("", False, "", "only a loopback of its own can be reached")
    )


def test_attempt_of_a_loaded_handler_is_in_the_row_of_its_call(
    package: MakePackage, servers: Servers
) -> None:
    """Not in that of another function, nor twice."""
    spec = spec_for(package(files("reaches_out")), environ_vars=servers.ports)
    with RuntimeTester() as tester:
        result = tester.test_inference_handler(spec)
    rows = first_rows(result)
    with_some = [name for name, row in rows.items() if row.network_attempts]
    assert with_some == ["predict_fn"]

"""What the handler's Python code tried to reach: hosts and ports, and packages to install.

An audit hook sees the attempt whether or not a layer stops it, and the frame it came from. Code
that is not Python, and child processes, do not pass here.
"""

from __future__ import annotations

import os
import sys
import time

from .failures import clean
from .protocol import MAX_ATTEMPTS, MAX_NAME_CHARS, Attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_DEPTH = 300


class Watch:
    """Counts attempts by what was tried and from where, until they are collected."""

    def __init__(
        self, handler_roots: list[str], *, count_unrouted: bool = False, no_sockets: bool = False
    ) -> None:
        """With no_sockets an address that is only asked for counts: no connection can follow."""
        self._no_sockets = no_sockets
        self._count_unrouted = count_unrouted
        self._unrouted = _unrouted() if count_unrouted else 0
        self._roots = tuple(root + os.sep for root in handler_roots)
        self._found: dict[tuple[Any, ...], list[float]] = {}
        self._asking = False
        self._has_heard_of_processes = False
        sys.addaudithook(_listener(self._hear))

    @property
    def has_started_processes(self) -> bool:
        """Say whether Python code here has started a process, as far as can be told."""
        modules = sys.modules
        return self._has_heard_of_processes or _SPAWNS in modules or _HAS_FORK_SERVER in modules

    def collect(self) -> list[Attempt] | None:
        """Give the attempts since the last time, in the order of their first; None for none."""
        if not self._found and not self._count_unrouted:
            return None
        found, self._found = self._found, {}
        attempts = [
            Attempt(
                kind=kind,
                target=target,
                port=port,
                file=file,
                line=line,
                count=int(count),
                seconds=max(0.0, last - first),
            )
            for (kind, target, port, file, line), (count, first, last) in found.items()
        ]
        return attempts + self._others(attempts) or None

    def _others(self, attempts: list[Attempt]) -> list[Attempt]:
        """Give what the kernel could not route beside the attempts that were heard.

        Only in a network namespace of the worker's own are the kernel's counts the worker's. A name
        that is looked up makes packets of its own, which cannot be told from others.
        """
        if not self._count_unrouted:
            return []
        before, self._unrouted = self._unrouted, _unrouted()
        count = self._unrouted - before - sum(item.count for item in attempts)
        if count <= 0 or any(item.kind == "resolve" for item in attempts):
            return []
        return [Attempt(kind="other", target="unknown", count=count, seconds=0.0)]

    def _hear(self, event: str, reader: Any, arguments: tuple[Any, ...]) -> None:
        if self._asking:
            return
        self._asking = True
        self._has_heard_of_processes = self._has_heard_of_processes or event in _STARTS
        try:
            attempt = reader(arguments)
            asked = event == "socket.getaddrinfo" and attempt is not None
            if asked and attempt[0] == "connect" and not self._no_sockets:
                return  # the connection itself will be heard
            if attempt is not None:
                self._note(attempt)
        except Exception:  # arguments that are not what the event promises
            pass
        finally:
            self._asking = False

    def _note(self, attempt: tuple[str, str, int | None]) -> None:
        kind, target, port = attempt
        file, line = self._origin()
        key = (kind, clean(target, MAX_NAME_CHARS), port, file, line)
        now = time.monotonic()
        known = self._found.get(key)
        if known is not None:
            known[0] += 1
            known[2] = now
        elif len(self._found) < MAX_ATTEMPTS:
            self._found[key] = [1, now, now]

    def _origin(self) -> tuple[str | None, int | None]:
        """Find the handler's own line: the innermost frame whose file lies in its code."""
        frame = sys._getframe(4)  # beyond what hears, and what listens for it
        for _ in range(MAX_DEPTH):
            if frame is None:
                break
            file = frame.f_code.co_filename
            if file.startswith(self._roots):
                return clean(file, MAX_NAME_CHARS), frame.f_lineno
            frame = frame.f_back  # type: ignore[assignment]
        return None, None


def _listener(hear: Any) -> Any:
    """Make the hook. An import alone raises thousands of events, so it is as quick as one can be.

    A plain function takes half the time of a method: of that the interpreter first asks more.
    """
    reader_of = _READERS.get

    def listen(event: str, arguments: tuple[Any, ...]) -> None:
        reader = reader_of(event)
        if reader is not None:
            hear(event, reader, arguments)

    return listen


def _unrouted() -> int:
    """Count the packets that found no route out of this network namespace (IPv4, IPv6)."""
    try:
        with open("/proc/self/net/snmp") as table:
            names, values = [line.split() for line in table if line.startswith("Ip:")]
        with open("/proc/self/net/snmp6") as table:
            six = [line.split()[1] for line in table if line.startswith("Ip6OutNoRoutes")]
        return int(values[names.index("OutNoRoutes")]) + sum(map(int, six))
    except (OSError, ValueError):
        return 0


def _address(kind: str, address: Any) -> tuple[str, str, int | None] | None:
    if not isinstance(address, tuple) or len(address) < 2:
        return None  # a local socket
    port = address[1] if isinstance(address[1], int) and 0 <= address[1] < 65536 else None
    return kind, str(address[0]), port


def _name(arguments: tuple[Any, ...]) -> tuple[str, str, int | None] | None:
    host = arguments[0]
    if host is None:
        return None  # the wildcard address: nothing is looked up
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    port = arguments[1] if len(arguments) > 1 else None
    known = isinstance(port, int) and 0 <= port < 65536
    is_address = ":" in text or not text.strip("0123456789.")
    return "connect" if is_address else "resolve", text, port if known else None


def _command(words: list[str]) -> tuple[str, str, int | None] | None:
    text = " ".join(words)
    tools = ("pip", "pip3", "conda", "mamba", "apt-get", "apt", "uv", "poetry")
    called = {os.path.basename(word) for word in text.split()}
    if "install" in called and called.intersection(tools):
        return "install", text, None
    return None


def _words(command: Any) -> list[str]:
    if isinstance(command, (list, tuple)):
        return [os.fsdecode(word) for word in command]
    return [os.fsdecode(command)]


_READERS: dict[str, Any] = {
    "os.fork": lambda given: None,
    "os.forkpty": lambda given: None,
    "socket.connect": lambda given: _address("connect", given[1]),
    "socket.sendto": lambda given: _address("send", given[1]),
    "socket.sendmsg": lambda given: _address("send", given[1]),
    "socket.getaddrinfo": _name,
    "socket.gethostbyname": _name,
    "subprocess.Popen": lambda given: _command(_words(given[1])),
    "os.system": lambda given: _command(_words(given[0])),
    "os.exec": lambda given: _command(_words(given[1])),
    "os.posix_spawn": lambda given: _command(_words(given[1])),
}
_STARTS = frozenset(
    "os.fork os.forkpty os.posix_spawn os.system subprocess.Popen".split()  # noqa: SIM905
)
# Loaded by a process that starts another one without an event: for a spawned one, the fork server.
_SPAWNS = "multiprocessing.popen_spawn_posix"
_HAS_FORK_SERVER = "multiprocessing.popen_forkserver"

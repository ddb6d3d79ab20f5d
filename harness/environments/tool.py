"""Run pip or uv: told as it goes, bounded in time, ended whole; its last words when it fails.

Its other half is `worker.leash`, which ends the tool when the tester is gone.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import worker.protocol as protocol
from harness import stop
from harness.environments import user_config
from harness.errors import HandlerEnvironmentError

Note = Callable[[str], None]

CHILD = str(Path(protocol.__file__).with_name("__main__.py"))
SHOWN_LINES = 25
SHOWN_CHARS = 400
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/shm", "/proc/self")
_READ = 1 << 16


class Run:
    """One run of a tool in a directory, with the paths that it may write and its deadline."""

    def __init__(
        self, directory: Path, writable: Sequence[Path], temporary: Path, seconds: float, note: Note
    ) -> None:
        self._directory = directory
        self._writable = [*map(str, (*writable, temporary, *_caches())), *DEVICES]
        self._temporary = temporary
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._note = note

    def __call__(self, *words: str | Path) -> str:
        """Run a command to its end; give all it said.

        Raises HandlerEnvironmentError, and KeyboardInterrupt when this thread is asked to stop.
        """
        argv = [str(word) for word in words]
        try:
            leash = subprocess.Popen(
                [sys.executable, "-I", "-S", CHILD, "leash", json.dumps(self._writable), *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env={**user_config.variables(), "TMPDIR": str(self._temporary)},
                start_new_session=True,
            )
        except OSError as error:
            raise HandlerEnvironmentError(f"environment: {argv[0]}: {error}") from None
        assert leash.stdin is not None
        assert leash.stdout is not None
        said = _Words(self._note)
        try:
            in_time = self._listen(leash.stdout.fileno(), said)
        finally:
            leash.stdin.close()  # the leash ends the tool, then itself
            leash.stdout.close()
            code = leash.wait()
        if not in_time:
            raise HandlerEnvironmentError(
                f"environment: {_shown(argv)} was not done after {self._seconds:g} s and was ended"
                f"{said.last()}; allow more with build_timeout_seconds"
            )
        if code != 0:
            raise HandlerEnvironmentError(
                f"environment: {_shown(argv)} failed with {code}{said.last()}"
            )
        return "\n".join(said.lines)

    def _listen(self, descriptor: int, said: _Words) -> bool:
        """Take what the tool says until it ends; False when its time is over."""
        asked = stop.descriptor()
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            if asked is not None:
                selector.register(asked, selectors.EVENT_READ)
            while (left := self._deadline - time.monotonic()) > 0:
                ready = {key.fd for key, _ in selector.select(left)}
                if asked in ready:
                    raise KeyboardInterrupt
                if descriptor in ready:
                    data = os.read(descriptor, _READ)
                    if not data:
                        return True
                    said.take(data)
        return False


class _Words:
    """The lines of a tool, the last ones kept, each told."""

    def __init__(self, note: Note) -> None:
        self.lines: deque[str] = deque(maxlen=4000)
        self._note = note
        self._rest = b""

    def take(self, data: bytes) -> None:
        *whole, rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        self._rest = rest[-_READ:]
        for line in whole:
            self._add(line)

    def last(self) -> str:
        self._add(self._rest)
        self._rest = b""
        return ":\n" + "\n".join(list(self.lines)[-SHOWN_LINES:]) if self.lines else ""

    def _add(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text.strip():
            self.lines.append(text)
            self._note(text.strip()[:SHOWN_CHARS])


def _caches() -> list[Path]:
    """Give the tools' own caches, made so that a fence can allow them."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folders = [
        Path(os.environ.get("UV_CACHE_DIR") or cache / "uv"),
        Path(os.environ.get("PIP_CACHE_DIR") or cache / "pip"),
    ]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    return folders


def _shown(argv: Sequence[str]) -> str:
    words = [os.path.basename(argv[0]), *argv[1:]]
    return " ".join(words[:4]) + (" ..." if len(words) > 4 else "")

"""Two sides of a comparison, each a process that answers requests: the real toolkit, and ours."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
JSON = "application/json"


@dataclass(frozen=True)
class Request:
    """One request to one handler, with the container's variables."""

    body: bytes = b""
    content_type: str | None = None
    accept: str | None = None
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What a client sees."""

    status: int | None
    content_type: str | None
    body: bytes


class Side:
    """A process that answers a line with a line. Use it in a `with` block."""

    def __init__(self, *command: str | Path, directory: Path) -> None:
        self._directory = directory
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, stack: str, source: str, request: Request) -> dict[str, Any]:
        """Put a handler into place and send it one request."""
        (self._directory / "inference.py").write_text(source, encoding="utf-8")
        asked = asdict(request) | {
            "stack": stack,
            "directory": str(self._directory),
            "body": base64.b64encode(request.body).decode(),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the side has ended"
        told: dict[str, Any] = json.loads(line)
        return told


def ours(directory: Path, python: Path | str = sys.executable) -> Side:
    """Start our side, by default on the tests' own interpreter."""
    return Side(python, "-u", HERE / "subject.py", directory=directory)


def theirs(python: Path, stack: str, directory: Path) -> Side:
    """Start the real toolkit."""
    return Side(python, "-u", HERE / "oracle.py", stack, directory=directory)


def of_ours(told: dict[str, Any], directory: Path) -> Seen:
    """Read the worker's message."""
    assert "none" not in told, told["none"]
    body = told["body"] or ""
    data = base64.b64decode(body) if told["body_encoding"] == "base64" else body.encode("utf-8")
    return Seen(told["status"], told["content_type"], own_frames_only(data, directory))


def of_theirs(told: dict[str, Any], directory: Path) -> Seen:
    """Read the server's frame, and do what Java does with it."""
    if "exits" in told:  # at its load, and again at each: there is no worker to answer
        return Seen(None, None, b"")
    if "died" in told:
        return envelope(500, "Worker died.")
    if told["code"] != 200:
        return envelope(told["code"], re.sub(ADDRESS, "0x", told["message"]))
    body = own_frames_only(base64.b64decode(told["body"]), directory)
    return Seen(told["status"], told["content_type"] or None, body)


ADDRESS = r"\b0x[0-9a-f]{6,}"


def envelope(code: int, message: str) -> Seen:
    """Write an error as the server's Gson does, which escapes what HTML would take for its own."""
    told = json.dumps(message, ensure_ascii=False)
    for sign in "<>&='\u2028\u2029":
        told = told.replace(sign, f"\\u{ord(sign):04x}")
    text = f'{{\n  "code": {code},\n  "type": "InternalServerException",\n  "message": {told}\n}}\n'
    return Seen(code, JSON, text.encode("utf-8", "replace"))


def own_frames_only(body: bytes, directory: Path) -> bytes:
    """Cut the frames of a traceback that are not the handler's, and addresses."""
    body = re.sub(ADDRESS.encode(), b"0x", body)
    frame = re.compile(rb'^  File "([^"]*)", line \d+, in .*\n(?:    .*\n)*', re.MULTILINE)
    own = str(directory).encode() + b"/"
    return frame.sub(lambda found: found[0] if found[1].startswith(own) else b"", body)

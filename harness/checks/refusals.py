"""Failures that are this test's own doing: its sandbox refused what a container may allow."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from harness.results import FunctionTestResult
from harness.summaries import IsolationSummary

# CPython's own words: EACCES is Landlock's and the filter's, EROFS bubblewrap's, where a path is
# named; where none is, a socket was refused. The negative ones are of a name's look-up.
_WRITE = re.compile(r"\[Errno (13|30)\] [^:\[\]']+: '([^'\0]{1,4096})'")
_SOCKET = re.compile(r"\[Errno 13\] Permission denied(?!: ')|\[Errno 101\]")
_LOOK_UP = re.compile(r"\[Errno -[235]\]")
_LAYER = {"13": "landlock", "30": "bwrap"}
_REACHED = ("connect", "send", "resolve")
_SHOWN = 200


class Refusal(NamedTuple):
    """What was refused: the code of its diagnosis, and a sentence."""

    code: str
    message: str


def of(row: FunctionTestResult, isolation: IsolationSummary | None) -> Refusal | None:
    """Say what the sandbox refused, where that is why a function failed; None for anything else."""
    if row.failure is None or isolation is None:
        return None
    said = [row.failure.message, *(cause.message for cause in row.failure.causes)]
    return _of_write(row, said, isolation) or _of_network(row, said, isolation)


def _of_write(
    row: FunctionTestResult, said: list[str], isolation: IsolationSummary
) -> Refusal | None:
    layers = {layer.partition(":")[0] for layer in isolation.effective}
    for match in filter(None, map(_WRITE.search, said)):
        layer = _LAYER[match[1]]
        if layer in layers and _is_open_to_us(match[2]):
            told = f"{layer} refused {row.function_name} to write to {match[2][:_SHOWN]}"
            return Refusal("HP901", told)
    return None


def _is_open_to_us(path: str) -> bool:
    """Say whether the user who tests may write to a path, so that only the sandbox refused it."""
    if not os.path.isabs(path):
        return False
    return os.access(path if os.path.lexists(path) else os.path.dirname(path), os.W_OK)


def _of_network(
    row: FunctionTestResult, said: list[str], isolation: IsolationSummary
) -> Refusal | None:
    tried = next((item for item in row.network_attempts if item.kind in _REACHED), None)
    if tried is None or isolation.network == "allowed":
        return None
    looks_up = isolation.network == "tcp_denied"  # then a name that is not found is nobody's doing
    if not any(_SOCKET.search(text) or (_LOOK_UP.search(text) and not looks_up) for text in said):
        return None
    place = tried.target if tried.port is None else f"{tried.target}:{tried.port}"
    told = f"{row.function_name} asks {place[:_SHOWN]}, and the sandbox has no network for it"
    return Refusal("HP902", told)

"""Failures that are this test's own doing: its sandbox refused what a container may allow."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from harness.artifacts import stale
from harness.results import FunctionTestResult
from harness.summaries import IsolationSummary

# CPython's own words: EACCES is Landlock's and the filter's, EROFS bubblewrap's, where a path is
# named, or two; where none is, a socket may have been refused. The negative ones are of look-ups.
_WRITE = re.compile(r"\[Errno (13|30)\] [^:\[\]']+: (.{1,9000})")
_PATH = re.compile(r"'([^'\0]{1,4096})'|\"([^\"\0]{1,4096})\"")
_SOCKET = re.compile(r"\[Errno 13\] Permission denied(?!: )|\[Errno 101\]")
_LOOK_UP = re.compile(r"\[Errno -[235]\]")
_LAYER = {"13": "landlock", "30": "bwrap"}
# In a traceback: a line that asks for a socket, and what starts a program, which is no write.
_ASKS = re.compile(r"\b(?:socket|connect|connect_ex|create_connection|sendto|getaddrinfo|"
                   r"getnameinfo|gethostbyname|urlopen|request)\(")  # fmt: skip
_STARTS = re.compile(r"\b(?:exec[vl]\w*|posix_spawnp?|fork_exec)\(|/subprocess\.py\"")
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
    traceback = row.failure.traceback if row.failure else ""
    for match in filter(None, map(_WRITE.search, said)):
        layer = _LAYER[match[1]]
        if layer not in layers or _STARTS.search(traceback):
            continue
        refused = next(filter(_is_open_to_us, _paths(match[2])), None)
        if refused is not None:
            told = f"{layer} refused {row.function_name} to write to {refused[:_SHOWN]}"
            return Refusal("HP901", told)
    return None


def _paths(text: str) -> Iterator[str]:
    for match in _PATH.finditer(text):
        yield match[1] or match[2]


def _is_open_to_us(path: str) -> bool:
    """Say whether the user who tests may read and write a path, so that only the sandbox refuses.

    What is below a run directory it does not refuse, or was asked to.
    """
    if not os.path.isabs(path) or stale.NAME.search(path):
        return False
    try:
        if os.path.lexists(path):
            return os.access(path, os.R_OK | os.W_OK)
        return os.access(os.path.dirname(path), os.W_OK | os.X_OK)
    except (OSError, ValueError):  # a name that this tester's encoding has not
        return False


def _of_network(
    row: FunctionTestResult, said: list[str], isolation: IsolationSummary
) -> Refusal | None:
    traceback = row.failure.traceback if row.failure else ""
    if isolation.network == "allowed" or not _ASKS.search(traceback):
        return None
    looks_up = isolation.network == "tcp_denied"  # then a name that is not found is nobody's doing
    if not any(_SOCKET.search(text) or (_LOOK_UP.search(text) and not looks_up) for text in said):
        return None
    tried = next((item for item in row.network_attempts if item.kind in _REACHED), None)
    if tried is not None:
        place = tried.target if tried.port is None else f"{tried.target}:{tried.port}"
        what = f"asks {place[:_SHOWN]}"
    elif isolation.network == "no_inet":  # which refuses the socket, before anything is tried
        what = "opens a socket"
    else:
        return None
    told = f"{row.function_name} {what}, and the sandbox has no network for it"
    return Refusal("HP902", told)

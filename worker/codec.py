"""JSON lines, as fast as the standard library can: its C scanner and encoder without `re`.

`import json` takes as long as the rest of a child's start, because json.decoder imports `re`. The
accelerators alone do the same work. They are private to CPython: where they are not to be had, or
refuse a line, the json package decides.
"""

from __future__ import annotations

from .protocol import parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


try:
    import _json as _fast
except ImportError:  # another implementation of Python
    _fast = None  # type: ignore[assignment]


class _Settings:
    """What the C scanner reads from the decoder that owns it."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant: Any = {}.__getitem__
    memo: Any = {}  # noqa: RUF012 - the scanner empties it itself


def decode(line: bytes) -> Any:
    """Parse one line of JSON (bytes). Raise ValueError when it is none."""
    text = line.decode("utf-8")
    if _scan is not None:
        try:
            value, end = _scan(text, 0)
        except Exception:  # a broken line, or a scanner that changed: let json say which
            return _json().loads(text)
        if end == len(text) or not text[end:].strip(" \t\n\r"):
            return value
    return _json().loads(text)


def encode(value: object) -> bytes:
    """Write messages, dicts, lists, str, int, float, bool and None as one line of ASCII."""
    if _encode is None:
        text = _json().dumps(value, allow_nan=False, separators=(",", ":"), default=parts)
    else:
        text = "".join(_encode(value, 0))
    line: bytes = text.encode("ascii") + b"\n"
    return line


def length(text: str) -> int:
    """Count the characters that a text takes in a line."""
    return len(_fast.encode_basestring_ascii(text) if _fast is not None else _json().dumps(text))


def _json() -> Any:
    import json

    return json


_scan: Any = None if _fast is None else _fast.make_scanner(_Settings)  # type: ignore[arg-type]
_encode: Any = None
if _fast is not None:
    _encode = _fast.make_encoder(
        None, parts, _fast.encode_basestring_ascii, None, ":", ",", False, False, False
    )

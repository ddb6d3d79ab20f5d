"""Forms, which the model servers take apart: each field becomes a parameter of the request.

What a toolkit takes for the body is the parameter `body`; a form without that field has none.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
FIELD = "body"
_HEX = frozenset(b"0123456789abcdefABCDEF")


def is_form(content_type: str | None) -> bool:
    """Say whether the server takes a body apart, whatever the case and the parameters."""
    if content_type is None or "form" not in content_type.lower():
        return False
    kind = content_type.partition(";")[0].strip().lower()
    return kind == URLENCODED or (kind == MULTIPART and _boundary(content_type) is not None)


def body_of(data: bytes | bytearray, content_type: str | None) -> bytearray | None:
    """Give the last field called body of a form."""
    boundary = _boundary(content_type)
    fields = _urlencoded(bytes(data)) if boundary is None else _multipart(bytes(data), boundary)
    found = None
    for name, value in fields:
        if name == FIELD:
            found = bytearray(value)
    return found


def _boundary(content_type: str | None) -> str | None:
    kind, _, parameters = (content_type or "").partition(";")
    return _parameter(parameters, "boundary") if kind.strip().lower() == MULTIPART else None


def _parameter(text: str, wanted: str) -> str | None:
    """Give one of the parameters of a header's value; None for one that is not there or empty."""
    for piece in text.split(";"):
        name, _, value = piece.partition("=")
        if name.strip().lower() == wanted:
            return value.strip().strip('"') or None
    return None


def _urlencoded(data: bytes) -> Iterator[tuple[str, bytes]]:
    for field in data.replace(b"+", b" ").split(b"&"):
        name, _, value = field.partition(b"=")
        yield _unescaped(name).decode("utf-8", "replace"), _unescaped(value)


def _unescaped(text: bytes) -> bytes:
    first, *pieces = text.split(b"%")
    whole = [first]
    for piece in pieces:
        if len(piece) > 1 and _HEX.issuperset(piece[:2]):
            whole += (bytes((int(piece[:2], 16),)), piece[2:])
        else:
            whole += (b"%", piece)
    return b"".join(whole)


def _multipart(data: bytes, boundary: str) -> Iterator[tuple[str, bytes]]:
    for part in (b"\r\n" + data).split(b"\r\n--" + boundary.encode("utf-8"))[1:]:
        if part.startswith(b"--"):
            return
        head, blank, value = part.partition(b"\r\n\r\n")
        name = _name(head.decode("utf-8", "replace"))
        if blank and name is not None:
            yield name, value


def _name(head: str) -> str | None:
    for line in head.split("\r\n"):
        kind, _, text = line.partition(":")
        if kind.strip().lower() == "content-disposition":
            return _parameter(text.partition(";")[2], "name")
    return None

"""Forms, which the model servers take apart: each field becomes a parameter of the request.

What a toolkit takes for the body is the parameter `body`; a form without that field has none.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

import re

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
FIELD = "body"
# Compiled when one is used: forms are rare.
_ESCAPE = rb"%([0-9a-fA-F]{2})"
_BOUNDARY = r';\s*boundary="?([^";]+)"?'
_NAME = rb'(?im)^content-disposition:[^\r\n]*;\s*name="?([^";\r\n]*)"?'


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
    kind = (content_type or "").partition(";")[0].strip().lower()
    match = re.search(_BOUNDARY, content_type or "", re.IGNORECASE) if kind == MULTIPART else None
    return match[1].strip() if match else None


def _urlencoded(data: bytes) -> Iterator[tuple[str, bytes]]:
    for field in data.replace(b"+", b" ").split(b"&"):
        name, _, value = (re.sub(_ESCAPE, _unescaped, piece) for piece in field.partition(b"="))
        yield name.decode("utf-8", "replace"), value


def _unescaped(match: Any) -> bytes:
    return bytes((int(match[1], 16),))


def _multipart(data: bytes, boundary: str) -> Iterator[tuple[str, bytes]]:
    for part in (b"\r\n" + data).split(b"\r\n--" + boundary.encode("utf-8"))[1:]:
        if part.startswith(b"--"):
            return
        head, blank, value = part.partition(b"\r\n\r\n")
        name = re.search(_NAME, head)
        if blank and name:
            yield name[1].decode("utf-8", "replace"), value

"""What the serving container sends for one request: bytes here, text on the wire."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


import binascii

from . import bodies, codec, failures
from .protocol import LINE_OVERHEAD_BYTES, MAX_MESSAGE_CHARS, Response


class Reply:
    """A response: status and body (bytes), None for no answer; why, where that is not plain.

    `oversize_bytes` is the length of a body that the container refuses to carry.
    """

    def __init__(
        self,
        status: int | None,
        content_type: str | None = None,
        body: bytes | bytearray | None = None,
        *,
        reason: str | None = None,
        worker_died: bool = False,
        oversize_bytes: int | None = None,
    ) -> None:
        self.status = status
        # A client reads none of the blanks around the value of a header.
        self.content_type = None if content_type is None else content_type.strip(" \t")
        self.body = body
        self.reason = reason
        self.worker_died = worker_died
        self.oversize_bytes = oversize_bytes


def has_body(status: int) -> bool:
    """Say whether a response of this status has a body; where not, servers leave it out."""
    return status >= 200 and status not in (204, 205, 304)


def on_the_wire(reply: Reply) -> Response:
    """Turn a reply into its message."""
    stored = reply.body is not None and bodies.store(reply.body)
    text, encoding = (None, None) if stored or reply.body is None else as_text(reply.body)
    return Response(
        status=reply.status,
        content_type=_bounded(reply.content_type, LINE_OVERHEAD_BYTES // 8),
        body=text,
        body_encoding=encoding,  # type: ignore[arg-type]
        reason=_bounded(reply.reason, MAX_MESSAGE_CHARS),
        worker_died=reply.worker_died,
        stored_bytes=len(reply.body) if stored and reply.body is not None else None,
    )


def as_text(body: bytes | bytearray) -> tuple[str, str]:
    """Give (body, encoding) for JSON: utf-8 text, and base64 for what is none or grows in JSON.

    Escaping makes up to six characters of one byte; base64 never more than the tester's cap allows.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if body and (not text or codec.length(text) > len(body) * 4 // 3 + 1024):
        return binascii.b2a_base64(body, newline=False).decode("ascii"), "base64"
    return text, "utf-8"


def _bounded(text: Any, limit: int) -> str | None:
    return None if text is None else failures.clean(text, limit)

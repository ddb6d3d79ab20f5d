"""What multi-model-server and TorchServe do around a toolkit: bodies in, contexts, answers out.

The rules are those of multi-model-server 1.1.11 and TorchServe 0.12.0, as seen on live servers.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

import os

from .. import replies
from ..late import json
from ..replies import Reply
from . import forms
from .base import JSON, TEXT_TYPES

MAX_RESPONSE_BYTES = 6_553_500
DIED = "Worker died."
HANGS = "the request waits until the client gives up: %s"
UNSUPPORTED = "Unsupported model output data type."
# What Netty refuses in a phrase, in the value of a header, and in a header's name.
_LINE_BREAK = frozenset("\n\r")
_CONTROL = frozenset("\0\n\v\f\r")
_NO_NAME = frozenset("\0\t\n\v\f\r ,:;=")
# What Gson escapes beside what JSON must: it takes every text for one that may end up in HTML.
_GSON = {ord(sign): "\\u%04x" % ord(sign) for sign in "<>&='\u2028\u2029"}


class Unsendable(Exception):
    """A value that breaks the worker's frame: nothing but its end tells the server so."""


class Unwritable(Exception):
    """A head that the server reads and cannot write: TorchServe ends the worker over it."""


def arrive(data: bytes | bytearray, content_type: str | None) -> str | bytearray | None:
    """Give the body as a toolkit gets it: str for exactly two content types, else bytearray.

    A form is taken for parameters of the request: the body of one is its field of that name.
    """
    if forms.is_form(content_type):
        return forms.body_of(data, content_type)
    if content_type in TEXT_TYPES:
        return data.decode("utf-8")
    return data if isinstance(data, bytearray) else bytearray(data)


def default_accept() -> str:
    """Give the accept type for requests without one (sagemaker-inference, environment)."""
    return os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON)


def carry(
    value: Any, context: Context, prefix: str, encode: Callable[[Any], bytes | None]
) -> Reply:
    """Answer with a value, under what the context says of status, phrase and headers.

    `encode` gives the bytes of what only this server can carry, else None; `prefix` names its
    variables (MMS or TS).
    """
    try:
        status, content_type = _head(context)
        body = _body(value, encode)
        _check_frame(context)
    except TypeError:
        return error(503, UNSUPPORTED)
    except Unsendable as why:
        return died(str(why))
    except Unwritable as why:
        return died(str(why)) if prefix == "TS" else Reply(None, reason=HANGS % why)
    limit = max_response_bytes(prefix)
    if len(body) > limit:
        return died(
            "the response has %d bytes, the server carries %d; raise %s_MAX_RESPONSE_SIZE"
            % (len(body), limit, prefix),
            oversize_bytes=len(body),
        )
    return Reply(status, content_type, body if replies.has_body(status) else b"")


def max_response_bytes(prefix: str) -> int:
    """Give the bytes that a response may have: the server's default, or its variable."""
    try:
        return int(os.environ[prefix + "_MAX_RESPONSE_SIZE"])
    except (KeyError, ValueError):
        return MAX_RESPONSE_BYTES


def died(why: str, oversize_bytes: int | None = None) -> Reply:
    """Answer as the server does for a worker that ended."""
    reply = error(500, DIED)
    reply.reason, reply.worker_died = "Worker died: " + why, True
    reply.oversize_bytes = oversize_bytes
    return reply


def error(status: int, message: str) -> Reply:
    """Answer as the server words an error of its own: JSON as Gson writes it."""
    told = json.dumps(message, ensure_ascii=False).translate(_GSON)
    body = '{\n  "code": %d,\n  "type": "InternalServerException",\n  "message": %s\n}\n'
    return Reply(
        status, JSON, (body % (status, told)).encode("utf-8", "replace"), reason=message or None
    )


def _head(context: Context) -> tuple[int, str | None]:
    """Give status and content type, or raise Unsendable for what cannot be put into a frame."""
    status, phrase = context.get_response_status(0)
    headers = context.get_response_headers(0)
    for name, text in headers.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise Unsendable("%s is %r, not a str" % (_place(name), text))
    status = 200 if status is None else status
    if not isinstance(status, int) or not 100 <= status <= 999:
        raise Unsendable("the status is %r, not an int of three digits" % (status,))
    if phrase is not None and not isinstance(phrase, str):
        raise Unsendable("the status phrase is %r, not a str" % (phrase,))
    return int(status), _content_type(headers)


def _place(name: Any) -> str:
    return "the content type" if name == "content-type" else "the header %r" % (name,)


def _content_type(headers: dict[str, str]) -> str | None:
    """Give the content type that is sent last: the server sets headers in its own order."""
    names = [name for name in headers if name.lower() == "content-type"]
    if len(names) < 2:
        return headers[names[0]] or None if names else None
    size = 16
    while len(headers) > size * 3 // 4:
        size *= 2
    return headers[max(reversed(names), key=lambda name: _hash(name) % size)] or None


def _hash(name: str) -> int:
    """Give what a HashMap of Java's places a key by."""
    code = 0
    for char in name:
        code = (31 * code + ord(char)) & 0xFFFFFFFF
    return code ^ code >> 16


def _check_frame(context: Context) -> None:
    """Raise Unsendable for a frame that is made, and then cannot be read.

    It counts characters where it sends UTF-8, so what is not ASCII shifts all that comes after.
    """
    phrase = context.get_response_status(0)[1]
    content_type = context.get_response_content_type(0)
    for what, text in (("message of the exception", phrase), ("content type", content_type)):
        if text is not None and not text.isascii():
            raise Unsendable("the %s is not ASCII" % what)
        if text is not None and not _LINE_BREAK.isdisjoint(text):
            raise Unwritable("the %s has a line break: %r" % (what, text[:100]))
    for name, text in context.get_response_headers(0).items():
        is_name = name.isascii() and _NO_NAME.isdisjoint(name)
        if not is_name or not _CONTROL.isdisjoint(text):
            raise Unwritable("%s is no header: %r" % (_place(name), text[:100]))


def _body(value: Any, encode: Callable[[Any], bytes | None]) -> bytes | bytearray:
    if isinstance(value, (bytes, bytearray)):
        return value if type(value) in (bytes, bytearray) else bytes(value)
    try:
        if isinstance(value, str):
            return value.encode("utf-8")
        own = encode(value)
        return json.dumps(value, indent=2).encode("utf-8") if own is None else own
    except TypeError:
        raise
    except Exception as refusal:
        raise Unsendable("the response cannot be encoded: %s" % refusal) from None


class Context:
    """The context object of the model servers, with the fields that handlers use."""

    def __init__(
        self,
        model_dir: str,
        content_type: str | None,
        accept: str | None,
        body_bytes: int,
        server_version: str = "1.1.11",
    ) -> None:
        self.model_name = "model"
        self.manifest = None
        self.system_properties = {
            "model_dir": model_dir,
            "gpu_id": None,
            "batch_size": 1,
            "server_name": "MMS",  # TorchServe kept the name
            "server_version": server_version,
        }
        self.metrics = Metrics()
        self.request_ids = {0: "0"}
        self._headers = _request_headers(content_type, accept, body_bytes)
        self._response_headers: dict[str, Any] = {}
        self._status: tuple[Any, Any] = (200, None)
        self.request_processor = [self]
        self.model_yaml_config: dict[str, Any] = {}

    def get_request_id(self, idx: int = 0) -> str | None:
        """Give the request's id."""
        return self.request_ids.get(idx)

    def get_request_header(self, idx: int, key: str) -> Any:
        """Give one header of the request, or None."""
        return self._headers.get(key)

    def get_all_request_header(self, idx: int) -> dict[str, Any]:
        """Give all headers of the request."""
        return self._headers

    def get_request_property(self, key: str) -> Any:
        """Give one header of the request, by the request processor's method."""
        return self._headers.get(key)

    def get_request_properties(self) -> dict[str, Any]:
        """Give all headers of the request, by the request processor's method."""
        return self._headers

    def set_response_content_type(self, idx: int, value: Any) -> None:
        """Set the content type of the response."""
        self.set_response_header(idx, "content-type", value)

    def get_response_content_type(self, idx: int) -> Any:
        """Give the content type set for the response, or None."""
        return self._response_headers.get("content-type")

    def get_response_headers(self, idx: int = 0) -> dict[str, Any]:
        """Give the headers set for the response."""
        return self._response_headers

    def set_response_header(self, idx: int, key: str, value: Any) -> None:
        """Set one header of the response. Raises IndexError: there is one response."""
        self.request_processor[idx].add_response_property(key, value)

    def add_response_property(self, key: str, value: Any) -> None:
        """Set one header of the response, by the request processor's method."""
        self._response_headers[key] = value

    def set_response_status(self, code: Any = 200, phrase: Any = "", idx: int = 0) -> None:
        """Set the status of the response."""
        self._status = (code, phrase)

    def set_all_response_status(self, code: Any = 200, phrase: Any = "") -> None:
        """Set the status of every response; there is one."""
        self._status = (code, phrase)

    def report_status(self, code: Any, reason_phrase: Any = None) -> None:
        """Set the status of the response, by the request processor's method."""
        self._status = (code, reason_phrase)

    def get_response_header(self, key: str) -> Any:
        """Give one header of the response, by the request processor's method."""
        return self._response_headers.get(key)

    def get_response_status_code(self) -> Any:
        """Give the status, by the request processor's method."""
        return self._status[0]

    def get_response_status_phrase(self) -> Any:
        """Give the status's phrase, by the request processor's method."""
        return self._status[1]

    def get_response_status(self, idx: int = 0) -> tuple[Any, Any]:
        """Give the status set for the response and its phrase."""
        return self._status


class Metrics:
    """Takes the metrics that a handler reports, and does nothing with them."""

    def __init__(self) -> None:
        self.store: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("add_"):
            raise AttributeError(name)
        return lambda *arguments, **options: None


def _request_headers(
    content_type: str | None, accept: str | None, body_bytes: int
) -> dict[str, Any]:
    headers: dict[str, Any] = {"Host": "localhost:8080", "Content-Length": str(body_bytes)}
    if content_type is not None:
        headers["Content-Type"] = content_type
    if accept is not None:
        headers["Accept"] = accept
    if not forms.is_form(content_type):  # which has one for each field
        headers["body"] = {"content-type": (content_type or "").partition(";")[0]}
    return headers

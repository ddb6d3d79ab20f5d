"""How the serving stack calls a handler's functions and reads what they return (stack `toolkit`).

The rules are those of sagemaker-inference 1.10.1 on multi-model-server 1.1.11, as seen on the live
server: body type, positional calls, context by the number of parameters, tuple and JSON replies.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


import binascii
import inspect
import json  # at the top: later on, a json.py of the handler's could be found
import os

_counted: dict[int, tuple[Any, int]] = {}  # with the function, so that its id stays its own

TEXT_TYPES = ("application/json", "text/csv")
FORM_TYPE = "application/x-www-form-urlencoded"
ARITY = {"model_fn": 1, "input_fn": 2, "predict_fn": 2, "output_fn": 2}


def decode_body(data: bytes, content_type: str | None) -> str | bytearray | None:
    """Give the body as input_fn gets it: str for exactly two content types, else bytearray.

    multi-model-server takes a form for parameters, so the body of one is None.
    """
    if content_type in TEXT_TYPES:
        return data.decode("utf-8")
    return None if content_type == FORM_TYPE else bytearray(data)


def count_parameters(function: Any) -> int:
    """Count parameters as the toolkit does: every kind counts one, also *args and defaults.

    The toolkit counts at every call; a function's count is kept, for it takes as long as a call.
    """
    known = _counted.get(id(function))
    if known is None:
        known = (function, len(inspect.signature(function).parameters))
        _counted[id(function)] = known
    return known[1]


def invoke(function: Any, arguments: list[Any], context: Context) -> Any:
    """Call by position; a function with one parameter more gets the context as its last."""
    count = count_parameters(function)
    if count == len(arguments):
        return function(*arguments)
    if count == len(arguments) + 1:
        return function(*arguments, context)
    raise TypeError(
        "%s takes %d arguments but %d were given."
        % (function.__name__, count, len(arguments))  # what has no name fails here, as there
    )


class Context:
    """The context object of multi-model-server, with the fields that handlers use."""

    def __init__(
        self, model_dir: str, content_type: str | None, accept: str | None, body_bytes: int
    ) -> None:
        self.model_name = "model"
        self.manifest: dict[str, Any] = {}
        self.system_properties = {
            "model_dir": model_dir,
            "gpu_id": None,
            "batch_size": 1,
            "server_name": "MMS",
            "server_version": "1.1.11",
        }
        self.metrics = Metrics()
        self._headers = _request_headers(content_type, accept, body_bytes)
        self._response_headers: dict[str, Any] = {}
        self._status = (200, "OK")
        self.request_processor = [self]

    def get_request_id(self, idx: int = 0) -> str:
        """Give the request's id."""
        return "0"

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
        self._response_headers["content-type"] = value

    def get_response_content_type(self, idx: int) -> Any:
        """Give the content type set for the response, or None."""
        return self._response_headers.get("content-type")

    def get_response_headers(self, idx: int) -> dict[str, Any]:
        """Give the headers set for the response."""
        return self._response_headers

    def set_response_header(self, idx: int, key: str, value: Any) -> None:
        """Set one header of the response."""
        self._response_headers[key] = value

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Set the status of the response."""
        self._status = (code, phrase)

    def get_response_status(self, idx: int = 0) -> tuple[int, str]:
        """Give the status set for the response and its phrase."""
        return self._status


class Metrics:
    """Takes the metrics that a handler reports, and does nothing with them."""

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
    pseudo = {} if content_type is None else {"content-type": content_type.partition(";")[0]}
    headers["body"] = pseudo
    return headers


def effective_accept(accept: str | None) -> str:
    """Give the accept type that output_fn gets: none and */* mean the container's default."""
    if not accept or accept == "*/*":
        return os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json")
    return accept


def respond(
    value: Any, accept: str, context: Context
) -> tuple[int, str | None, bytes | None, str | None]:
    """Give (status, content_type, body bytes or None, reason) for what output_fn returned.

    A tuple is (body, content_type, ...); str, bytes and bytearray go out as they are; anything else
    as JSON of indent 2, and what JSON cannot carry is a 503.
    """
    content_type = accept
    if isinstance(value, tuple):
        if len(value) < 2:
            return 500, None, None, "the container fails with: tuple index out of range"
        value, content_type = value[0], value[1]
    if not isinstance(content_type, str):
        return (500, None, None, "Worker died: the content type is %r, not a str" % (content_type,))
    status = context.get_response_status()[0]
    if type(status) is not int or not 100 <= status <= 999:
        return (500, None, None, "Worker died: the status is %r, not an int" % (status,))
    if isinstance(value, str):
        return status, content_type, value.encode("utf-8"), None
    if isinstance(value, (bytes, bytearray)):
        return status, content_type, bytes(value), None
    try:
        return status, content_type, json.dumps(value, indent=2).encode("utf-8"), None
    except TypeError:
        return 503, None, None, "Unsupported model output data type."


def as_text(body: bytes) -> tuple[str, str]:
    """Give (body, encoding) for JSON: utf-8 text, and base64 for what is none or grows in JSON.

    Escaping makes up to six characters of one byte; base64 never more than the tester's cap allows.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if body and (not text or len(json.dumps(text)) > len(body) * 4 // 3 + 1024):
        return binascii.b2a_base64(body, newline=False).decode("ascii"), "base64"
    return text, "utf-8"

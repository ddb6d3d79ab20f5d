"""What sklearn and xgboost share: sagemaker-containers 2.8.6.post2 on Flask 3.1 and gunicorn."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import datetime
import decimal
import json
import os
import uuid
from collections.abc import Iterator
from email.utils import format_datetime

from .. import failures, replies
from ..replies import Reply
from . import base, rows

HTML = "text/html; charset=utf-8"
# Flask's page for an exception in the handler; the message is in the log only.
PAGE = (
    "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n"
    "<h1>Internal Server Error</h1>\n"
    "<p>The server encountered an internal error and was unable to complete your request. "
    "Either the server is overloaded or there is an error in the application.</p>\n"
)
# gunicorn's page for an exception outside Flask, which is where the handler is loaded.
OUTER_PAGE = (
    "<html>\n  <head>\n    <title>Internal Server Error</title>\n  </head>\n  <body>\n"
    "    <h1><p>Internal Server Error</p></h1>\n    \n  </body>\n</html>\n"
)
RESET = "the connection is reset: the worker ended without an answer"
EXITS = "the container exits at its start: the import raised %s"
CUT = "the connection is cut after the status line: "
# Media types that get "; charset=utf-8" beside text/* and *+xml (werkzeug).
WITH_CHARSET = frozenset(
    "application/" + name
    for name in ("ecmascript", "javascript", "sql", "xml", "xml-dtd", "xml-external-parsed-entity")
)


class Unsendable(Exception):
    """What was returned is no response to Flask."""


class Outside(Exception):
    """What was returned is a response to Flask, and raises before gunicorn has sent anything."""


class Cut(Exception):
    """What was returned is a response, and gunicorn cannot send it when the head is sent."""


class Profile(base.Profile):
    """Functions called plainly, without a context, and answered by Flask's rules."""

    needs_module = True

    # ------------------------------------------------------------ a request

    def body(self, data: bytes | bytearray, content_type: str | None) -> Any:
        """Give str for exactly two content types, else bytes."""
        if self.content_type(content_type) in base.TEXT_TYPES:
            return data.decode("utf-8", "replace")
        return bytes(data)

    def content_type(self, given: str | None) -> str | None:
        """Take JSON for a request that names no content type."""
        return given or base.JSON

    def accept(self, given: str | None) -> str:
        """Take none and */* for the container's default."""
        if not given or given == "*/*":
            return os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", base.JSON)
        return given

    # ------------------------------------------------------------ the answer

    def reply(self, value: Any, accept: str, context: Any) -> Reply:
        """Answer as Flask does: a tuple is (body, mimetype), a bare text is HTML."""
        try:
            return self._reply(value)
        except Outside as why:
            return _outer_page(str(why))
        except Cut as why:
            return Reply(None, reason=CUT + str(why))
        except Exception as error:
            return _page("the returned %s is no response: %s" % (type(value).__name__, error))

    def _reply(self, value: Any) -> Reply:
        if isinstance(value, tuple):
            return Reply(200, media_type(value[1]), _sent(value[0]))
        if isinstance(value, Answer):
            return Reply(200, value.content_type, value.body)
        if failures.is_a(value, "Response", "werkzeug"):
            status = value.status_code
            has_body = replies.has_body(status) or status == 205  # which werkzeug sends
            body = _sent(value.response) if has_body else b""
            return Reply(status, value.headers.get("Content-Type"), body)
        if isinstance(value, (dict, list)):
            return Reply(200, base.JSON, jsonified(value))
        if isinstance(value, (str, bytes, bytearray, Iterator)):
            return Reply(200, HTML, _sent(value))
        raise Unsendable("give text, bytes, a dict, a list, or (body, content type)")

    def refusal(self, error: BaseException, traceback: str, context: Any) -> Reply:
        """Answer with a page that does not say what happened."""
        if failures.is_ordinary(error):
            return _page(_told(error))
        return self.load_refusal(error, traceback, context)

    def load_refusal(self, error: BaseException, traceback: str, context: Any) -> Reply:
        """Answer with gunicorn's page: every request tries to load the handler again."""
        if issubclass(type(error), SystemExit):
            return Reply(None, reason=RESET, worker_died=True)
        return _outer_page(_told(error))

    def import_refusal(self, error: BaseException, traceback: str, context: Any) -> Reply:
        """Give no answer: the container imports the module before it serves, and exits."""
        return Reply(None, reason=EXITS % _told(error), worker_died=True)

    # ------------------------------------------------------------ what a handler leaves out

    def default_model_fn(self, model_dir: Any) -> Any:
        """Refuse: the container cannot load a model by itself."""
        raise NotImplementedError(
            "\nPlease provide a model_fn implementation.\n"
            "See documentation for model_fn at https://github.com/aws/sagemaker-python-sdk\n"
        )

    def default_output_fn(self, prediction: Any, accept: str) -> Any:
        """Encode for exactly one accept type."""
        return Answer(_sent(rows.encode(prediction, accept)), media_type(accept))


class Answer:
    """The response object that a default makes: a body with its content type."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self.body = body
        self.content_type = content_type


def media_type(given: Any) -> str:
    """Give the Content-Type for a mimetype: JSON for none, text with its charset."""
    if given is None:
        return base.JSON
    if not isinstance(given, str):
        raise Unsendable("the content type is %r, not a str" % (given,))
    if "\n" in given or "\r" in given:
        raise Unsendable("a header has no line break")
    if given.startswith("text/") or given in WITH_CHARSET or given.endswith("+xml"):
        return str(given) + "; charset=utf-8"
    return str(given)


def jsonified(value: Any) -> bytes:
    """Encode as Flask's jsonify: sorted keys, no spaces, a line feed at the end."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)
    return (text + "\n").encode("utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.date):
        return _http_date(value)
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if hasattr(value, "__html__"):
        return str(value.__html__())
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


def _http_date(value: Any) -> str:
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime.combine(value, datetime.time())
    if value.tzinfo is None:
        value = value.replace(tzinfo=datetime.timezone.utc)
    return format_datetime(value.astimezone(datetime.timezone.utc), usegmt=True)


def _sent(value: Any) -> bytes:
    """Give the bytes of a body as they are sent: text, bytes, nothing, or an iterable of those.

    werkzeug adds up the lengths of a list's parts for the head; gunicorn sends the head with the
    first part, and takes bytes alone. Raises Outside and Cut.
    """
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, (bytes, bytearray)):
        return _chunk(value)
    try:
        if isinstance(value, (list, tuple)):
            sum(len(part) for part in value)
        parts = iter(value)
        first = next(parts, b"")
        first = first.encode("utf-8") if isinstance(first, str) else first
    except Exception as error:
        raise Outside("a body of type %s: %s" % (type(value).__name__, _told(error))) from None
    try:
        rest = [_chunk(part.encode("utf-8") if isinstance(part, str) else part) for part in parts]
    except Cut:
        raise
    except Exception as error:
        raise Cut("a part of the body raised %s" % _told(error)) from None
    return b"".join((_chunk(first), *rest))


def _chunk(part: Any) -> bytes:
    if not isinstance(part, bytes):
        raise Cut("gunicorn sends bytes, and the body has a part of type %s" % type(part).__name__)
    return part if type(part) is bytes else bytes(part)


def _told(error: BaseException) -> str:
    return "%s: %s" % (type(error).__name__, failures.message(error))


def _page(why: str) -> Reply:
    return Reply(500, HTML, PAGE.encode("ascii"), reason=why)


def _outer_page(why: str) -> Reply:
    return Reply(500, "text/html", OUTER_PAGE.encode("ascii"), reason=why)

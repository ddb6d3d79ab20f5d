"""The parameters of a call: from what a user gives to the positional arguments on the wire."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness.errors import SpecError
from harness.runtime.bodies import Raw
from worker.protocol import Argument

# The contract's names for each position, beside which the handler's own names are understood.
NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "model_fn": (("model_dir",),),
    "input_fn": (("request_body", "body"), ("content_type", "request_content_type")),
    "predict_fn": (("input_object", "input_data"), ("model", "model_artifacts")),
    "output_fn": (("prediction", "predictions"), ("accept", "accept_type")),
    "transform_fn": (
        ("model", "model_artifacts"),
        ("request_body", "body", "input_data"),
        ("content_type", "request_content_type"),
        ("accept", "accept_type"),
    ),
}


class Headers(NamedTuple):
    """What a request says of itself; every function of it sees the same in its context."""

    content_type: str | None = None
    accept: str | None = None
    body_bytes: int = 0


def positions(function: str, given: Mapping[str, Any], own: Sequence[str]) -> list[Any]:
    """Put parameters given by name into the order of the serving stack's call.

    `own` are the parameter names of the handler's own function. Raises SpecError for an unknown
    name, for one that is missing and for two that mean the same position.
    """
    expected = NAMES[function]
    values: dict[int, Any] = {}
    for name, value in given.items():
        place = _place(function, name, own)
        if place in values:
            raise SpecError(f"test_params: {name!r} and another name give parameter {place + 1}")
        values[place] = value
    missing = [expected[place][0] for place in range(len(expected)) if place not in values]
    if missing:
        raise SpecError(f"test_params: {function} needs {', '.join(missing)} as well")
    return [values[place] for place in range(len(expected))]


def body_bytes(body: Any) -> bytes:
    """Give a request's body as it is sent. Raises SpecError for what no request can have."""
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    if isinstance(body, str) and _is_unicode(body):
        return body.encode("utf-8")
    kind = "text that is not Unicode" if isinstance(body, str) else type(body).__name__
    raise SpecError(f"request_body must be str or bytes, got {kind}; encode it as a client does")


def header(name: str, value: Any) -> str | None:
    """Check the value of a request's header; None is no header. Raises SpecError."""
    if value is None or (isinstance(value, str) and _is_unicode(value)):
        return value
    raise SpecError(f"{name} must be a str or None, got {shown(value)!r}")


def path_text(path: Any) -> str:
    """Give a path as text. Raises SpecError for what is none."""
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if isinstance(text, str) and _is_unicode(text):
        return text
    raise SpecError(f"model_dir must be a path, got {shown(path)!r}")


def body_argument(body: bytes, content_type: str | None) -> Raw:
    """Send a request's body, which the worker decodes by the serving stack's rule."""
    return Raw("body", body, content_type)


def content_type_argument(content_type: str | None) -> Argument:
    """Send a request's content type, of which the worker makes what the serving stack does."""
    return Argument(kind="content_type", content_type=content_type)


def accept_argument(accept: str | None) -> Argument:
    """Send an accept type, of which the worker makes what the serving stack does."""
    return Argument(kind="accept", accept=accept)


def kept_argument(call_id: str) -> Argument:
    """Point to the value that an earlier call returned."""
    return Argument(kind="kept", id=call_id)


def plain_argument(value: Any) -> Argument | Raw:
    """Send a value as JSON where that gives back the same value, else as a cloudpickle."""
    if isinstance(value, bytes):
        return Raw("bytes", value)
    if is_json(value):
        return Argument(kind="json", json=value)
    from harness.checks import pickles  # few need it, and cloudpickle is long to load

    try:
        data = pickles.dumps(value)
    except Exception as error:
        raise SpecError(
            f"a parameter of type {type(value).__name__} cannot be sent to the worker: {error}"
        ) from error
    return Raw("pickle", data)


def is_json(value: Any) -> bool:
    """Say whether a value survives JSON unchanged: exact types, str keys, finite numbers."""
    if value is None or type(value) in (bool, str):
        return not isinstance(value, str) or _is_unicode(value)
    if type(value) is int:
        return abs(value) < 2**63
    if type(value) is float:
        return math.isfinite(value)
    try:
        if type(value) is list:
            return all(is_json(item) for item in value)
        if type(value) is dict:
            return all(type(key) is str and is_json(item) for key, item in value.items())
    except RecursionError:
        return False
    return False


def shown(value: Any) -> Any:
    """Show a parameter in a result: as it is when it is small JSON, else by its type."""
    if is_json(value) and len(json.dumps(value)) <= 500:
        return value
    return f"<{type(value).__name__}>"


def _place(function: str, name: str, own: Sequence[str]) -> int:
    expected = NAMES[function]
    for place, names in enumerate(expected):
        if name in names:
            return place
    if name in own[: len(expected)]:
        return own.index(name)
    known = sorted({*own[: len(expected)], *(names[0] for names in expected)})
    raise SpecError(f"test_params: {function} has no parameter {name!r}; it takes {known}")


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True

"""Calls to be made: of which function, with what, and what their rows say of it from the start."""

import secrets
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from harness.checks import arguments
from harness.checks.arguments import Headers
from harness.runtime.bodies import Raw
from worker.protocol import Argument

NO_REQUEST = Headers()
Parameter = Argument | Raw


class Planned(NamedTuple):
    """One call, not yet made. Its value is kept under its name; `fields` are those of its row."""

    name: str
    function: str
    given: Sequence[Parameter] = ()
    headers: Headers = NO_REQUEST
    fields: Mapping[str, Any] = MappingProxyType({})


def new_name() -> str:
    """Make a name that the handler cannot guess."""
    return secrets.token_hex(8)


def model(model_dir: Any) -> Planned:
    """Plan model_fn with a path. Raises SpecError for what is none."""
    folder = arguments.path_text(model_dir)
    given = [Argument(kind="json", json=folder)]
    shown = {"input_parameters": {"model_dir": folder}}
    return Planned(new_name(), "model_fn", given, fields=shown)


def input_of(
    body: str | bytes,
    content_type: str | None,
    sample_name: str | None = None,
    *,
    accept: str | None = None,
) -> Planned:
    """Plan input_fn with a request's body and headers. Raises SpecError."""
    data = arguments.body_bytes(body)
    content_type = arguments.header("content_type", content_type)
    return Planned(
        new_name(),
        "input_fn",
        [
            arguments.body_argument(data, content_type),
            arguments.content_type_argument(content_type),
        ],
        Headers(content_type, accept, len(data)),
        {
            "sample_name": sample_name,
            "content_type": content_type,
            "input_parameters": {"content_type": content_type, "body_bytes": len(data)},
        },
    )


def predict(data: Parameter, model: Parameter, headers: Headers, **fields: Any) -> Planned:
    """Plan predict_fn."""
    return Planned(new_name(), "predict_fn", [data, model], headers, fields)


def output(
    prediction: Parameter, accept: str | None, headers: Headers | None = None, **fields: Any
) -> Planned:
    """Plan output_fn with the request's accept type. Raises SpecError."""
    accept = arguments.header("accept", accept)
    given = [prediction, arguments.accept_argument(accept)]
    own = {"accept_type": accept, "input_parameters": {"accept": accept}}
    headers = headers or Headers(accept=accept)
    return Planned(new_name(), "output_fn", given, headers, own | fields)


def transform(
    model: Parameter,
    body: str | bytes,
    content_type: str | None,
    accept: str | None,
    sample_name: str | None = None,
) -> Planned:
    """Plan transform_fn with a whole request. Raises SpecError."""
    data = arguments.body_bytes(body)
    content_type = arguments.header("content_type", content_type)
    accept = arguments.header("accept", accept)
    shown = {"content_type": content_type, "accept": accept, "body_bytes": len(data)}
    return Planned(
        new_name(),
        "transform_fn",
        [
            model,
            arguments.body_argument(data, content_type),
            arguments.content_type_argument(content_type),
            arguments.accept_argument(accept),
        ],
        Headers(content_type, accept, len(data)),
        {
            "sample_name": sample_name,
            "content_type": content_type,
            "accept_type": accept,
            "input_parameters": shown,
        },
    )

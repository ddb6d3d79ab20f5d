"""One request to a handler's functions under a stack's profile, in this process.

The same steps as a worker's for the tester: load, the model, then the functions in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from worker import failures, profiles
from worker.replies import Reply

JSON, CSV, NPY, NPZ = "application/json", "text/csv", "application/x-npy", "application/x-npz"
STACKS = ("toolkit", "pytorch", "huggingface", "sklearn", "xgboost")
Functions = dict[str, Any]


def served(
    stack: str,
    functions: Functions,
    body: bytes = b"1",
    content_type: str | None = CSV,
    accept: str | None = JSON,
) -> Reply:
    """Give what a client sees."""
    kind = profiles.profile(stack)
    context = kind.__new__(kind).context("/models", content_type, accept, len(body))
    try:
        profile = kind(SimpleNamespace(**functions))
        model = profile.call("model_fn", ["/models"], context)
    except BaseException as error:
        nothing = kind.__new__(kind)
        return nothing.load_refusal(error, failures.for_a_client(error), context)
    try:
        data = profile.body(body, content_type)
        kept = [profile.content_type(content_type), profile.accept(accept)]
        if profile.own["transform_fn"]:
            value = profile.call("transform_fn", [model, data, *kept], context)
        else:
            data = profile.call("input_fn", [data, kept[0]], context)
            data = profile.call("predict_fn", [data, model], context)
            value = profile.call("output_fn", [data, kept[1]], context)
    except BaseException as error:
        return profile.refusal(error, failures.for_a_client(error), context)
    return profile.reply(value, kept[1], context)


def handler(**functions: Any) -> Functions:
    """Give a whole handler, with some of its functions replaced; None leaves one out."""
    usual: Functions = {
        "model_fn": lambda model_dir: model_dir,
        "input_fn": lambda body, content_type: body,
        "predict_fn": lambda data, model: data,
        "output_fn": lambda prediction, accept: prediction,
    }
    return {name: item for name, item in (usual | functions).items() if item is not None}


def returning(value: Any) -> Functions:
    """Give a handler whose output_fn returns this."""
    return handler(output_fn=lambda prediction, accept: value)


def raising(error: BaseException) -> Callable[..., Any]:
    """Give a function of two that raises this."""

    def function(one: Any, two: Any) -> Any:
        raise error

    return function

"""A package with one planted fault, and what the tables of them are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.conftest import Files

GOOD = """
import json

def model_fn(model_dir):
    return 2.0

def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]

def predict_fn(data, model):
    return [cell * model for cell in data]

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""
SKLEARN = {"stack": "sklearn"}


@dataclass(frozen=True)
class Planted:
    """A package, a request, and what is to be said: the fault's code first, then what follows.

    What follows is right too: a model that is not found is a handler that cannot be loaded. `words`
    are in what a run says.
    """

    files: Files
    codes: tuple[str, ...]
    words: str = ""
    content_type: str | None = "text/csv"
    body: bytes | str = "1,2,3"
    accept: str | None = "application/json"
    spec: Mapping[str, Any] = field(default_factory=dict)


def planted(
    source: str,
    codes: tuple[str, ...],
    words: str = "",
    *,
    name: str = "code/inference.py",
    files: Files | None = None,
    **request: Any,
) -> Planted:
    """Make a package of one module, and of further files."""
    return Planted({name: source, **(files or {})}, codes, words, **request)


def with_(old: str, new: str, code: str = GOOD) -> str:
    """Give the good handler, or another, with something in the place of something else."""
    assert old in code
    return code.replace(old, new)


def returning(expression: str) -> str:
    """Give the handler with another answer."""
    return with_("return json.dumps(prediction)", f"return {expression}")


def raising(statement: str) -> str:
    """Give the handler with another predict_fn."""
    return with_("    return [cell * model for cell in data]", f"    {statement}")


def reading(code: str) -> str:
    """Give the handler with another input_fn."""
    return with_('    return [float(cell) for cell in body.split(",")]', code)


def pickled(module: str, name: str, protocol: int = 4) -> bytes:
    """Give a pickle that refers to a name, as pickle itself writes one, without having it."""
    first, second = module.encode(), name.encode()
    if protocol < 4:
        return b"\x80\x02c%s\n%s\n)R." % (first, second)
    return b"\x80\x04\x8c%c%s\x94\x8c%c%s\x94\x93)R." % (len(first), first, len(second), second)


UNPICKLES = with_(
    "return 2.0", "import pickle; return pickle.load(open(model_dir + '/model.pkl', 'rb'))"
)

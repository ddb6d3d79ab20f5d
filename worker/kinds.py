"""What a value can be taken for by the function that gets it, whatever class it is of.

A table has columns, an array a shape; the rest goes by class, by its name alone, so that no package
is imported. Each question may run code of the handler, so each is asked on its own.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import itertools

from .failures import class_names, is_a
from .protocol import MAX_KINDS

MAX_RECORDS = 1000


def of(value: Any) -> list[str]:
    """List what a value is like, then the names of its class and of those it derives from."""
    kind = type(value)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind is list or kind is tuple:
        found = ["records", "list"] if _answer(_is_records, value) else ["list"]
        return found if kind is list else [*found, "tuple"]
    found = [name for name, holds in _QUESTIONS if _answer(holds, value)]
    return list(dict.fromkeys([*found, *class_names(kind)]))[:MAX_KINDS]


def _answer(holds: Any, value: Any) -> bool:
    try:
        return bool(holds(value))
    except BaseException:
        return False


def _has(value: Any, name: str) -> bool:
    found = getattr(value, name, None)
    return found is not None and not callable(found)


def _is_table(value: Any) -> bool:
    return _has(value, "columns") and len(value.shape) == 2


def _is_array(value: Any) -> bool:
    return _has(value, "shape") and not _is_sparse(value)


def _is_sparse(value: Any) -> bool:
    return _has(value, "nnz") and callable(getattr(value, "toarray", None))


def _is_tensor(value: Any) -> bool:
    return is_a(value, "Tensor", "torch") or is_a(value, "Tensor", "tensorflow")


def _is_records(value: Any) -> bool:
    some = list(itertools.islice(value, MAX_RECORDS)) if isinstance(value, (list, tuple)) else []
    return bool(some) and all(isinstance(item, dict) for item in some)


_QUESTIONS = (
    ("DataFrame", _is_table),
    ("ndarray", _is_array),
    ("tensor", _is_tensor),
    ("sparse", _is_sparse),
    ("dict", lambda value: isinstance(value, dict)),
    ("records", _is_records),
    ("list", lambda value: isinstance(value, (list, tuple))),
    ("bytes", lambda value: isinstance(value, (bytes, bytearray, memoryview))),
    ("str", lambda value: isinstance(value, str)),
)
_PLAIN = {
    type(None): ["NoneType"],
    str: ["str"],
    bytes: ["bytes"],
    bytearray: ["bytes", "bytearray"],
    int: ["int"],
    float: ["float"],
    bool: ["bool", "int"],
    complex: ["complex"],
    dict: ["dict"],
}

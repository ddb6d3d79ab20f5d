"""What the worker tells of an object that stays here: a bounded description, whatever the object.

Every question may run code of the handler (a property, __len__, __repr__), so each is asked on its
own and an answer that raises is no answer. Becomes ValueSummary in results.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


import itertools
import sys

from . import kinds, previews
from .failures import clean
from .protocol import (
    MAX_COLUMNS,
    MAX_DIMENSIONS,
    MAX_NAME_CHARS,
    Value,
)

LARGEST = 2**63 - 1
MADE_IN_PYTHON = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_dtypes: dict[Any, tuple[str | None, list[str]]] = {}  # of arrays seen: its name, their kinds


def describe(value: Any) -> Value:
    """Describe a value: type, shape, dtype, columns, features, length, size, a preview."""
    kind = type(value)
    if kind in _SIMPLE:
        return _describe_simple(value, kind.__name__)
    if kind in _SEQUENCES:
        return _describe_sequence(value, kind.__name__)
    return _ask(_describe_array, value) or Value(
        type=_ask(_type_name, kind) or "?",
        module=_ask(_module_name, kind) or "?",
        shape=_ask(_shape, value),
        dtype=_ask(_dtype, value),
        columns=_ask(_columns, value),
        features=_ask(_features, value),
        length=_ask(_length, value),
        size_bytes=_ask(_size, value),
        preview=_ask(previews.preview, value),
        kinds=kinds.of(value),
    )


def _describe_simple(value: Any, name: str) -> Value:
    """Describe a builtin, which runs no code of the handler's and has no array's fields."""
    sized = isinstance(value, (str, bytes, bytearray))
    return Value(
        type=name,
        module="builtins",
        length=len(value) if sized else None,
        size_bytes=_ask(_size, value),
        preview=_ask(previews.of_builtin, value),
        kinds=kinds.of(value),
    )


def _describe_sequence(value: Any, name: str) -> Value:
    """Describe a builtin that holds others, which are not asked for what it cannot have."""
    return Value(
        type=name,
        module="builtins",
        shape=_ask(_nested_shape, value),
        length=len(value),
        size_bytes=sys.getsizeof(value),
        preview=_ask(previews.of_builtin, value),
        kinds=kinds.of(value),
    )


def _describe_array(array: Any) -> Value | None:
    """Describe a plain array of numbers, as `describe` would in three times the time.

    None for what is none: a class that was made in Python only has the name of numpy's.
    """
    kind = type(array)
    if type(kind) is not type or kind.__flags__ & MADE_IN_PYTHON:
        return None
    if kind is not previews.class_of("numpy", "ndarray") or array.dtype.kind not in previews.PLAIN:
        return None
    dtype = array.dtype
    if dtype not in _dtypes:
        _dtypes[dtype] = _ask(_dtype, array), kinds.of(array)
    name, alike = _dtypes[dtype]
    return Value(
        type="ndarray",
        module="numpy",
        shape=[*array.shape[:MAX_DIMENSIONS]],
        dtype=name,
        length=array.shape[0] if array.shape else None,
        size_bytes=array.nbytes,
        preview=_ask(previews.of_array, array),
        kinds=alike,
    )


def _ask(question: Any, value: Any) -> Any:
    try:
        return question(value)
    except BaseException:  # SystemExit from a __repr__ that no server would call is no verdict
        return None


def _type_name(kind: type) -> str:
    return clean(str(kind.__name__), MAX_NAME_CHARS)


def _module_name(kind: type) -> str:
    return clean(str(kind.__module__), MAX_NAME_CHARS)


def _shape(value: Any) -> list[int] | None:
    """Give an array's shape, or that of a list of lists of one length."""
    if isinstance(value, (list, tuple)):
        return _nested_shape(value)
    shape = getattr(value, "shape", None)
    if shape is None or callable(shape):
        return None
    dimensions = [int(size) for size in itertools.islice(shape, MAX_DIMENSIONS)]
    return dimensions if all(0 <= size <= LARGEST for size in dimensions) else None


def _nested_shape(value: Any) -> list[int]:
    shape = [len(value)]
    while value and isinstance(value[0], (list, tuple)) and len(shape) < MAX_DIMENSIONS:
        width = len(value[0])
        if any(not isinstance(item, (list, tuple)) or len(item) != width for item in value):
            break
        shape.append(width)
        value = value[0]
    return shape


def _dtype(value: Any) -> str | None:
    dtype = getattr(value, "dtype", None)
    return None if dtype is None else clean(str(dtype), MAX_NAME_CHARS)


def _columns(value: Any) -> list[str] | None:
    """Give a table's column names, or those that a model was fitted on."""
    for attribute in ("columns", *_FEATURE_NAMES):
        names = _ask(_names, getattr(value, attribute, None))
        if names is not None:
            return names  # type: ignore[no-any-return]
    inner = _model_in(value)
    return None if inner is None else _columns(inner)


def _names(names_there: Any) -> list[str] | None:
    if names_there is None or callable(names_there) or isinstance(names_there, str):
        return None
    names: list[str] = []
    for name in names_there:
        if len(names) == MAX_COLUMNS:
            break
        names.append(clean(str(name), MAX_NAME_CHARS))
    return names


def _features(value: Any) -> int | None:
    """Count the features that a model was fitted on, by the libraries' own names for it."""
    count = getattr(value, "n_features_in_", None)
    if count is None:
        count = getattr(value, "num_features", None)  # xgboost's Booster: a method
        count = count() if callable(count) else None
    if count is None:
        inner = _model_in(value)
        return None if inner is None else _features(inner)
    return int(count) if 0 < int(count) <= LARGEST else None


def _model_in(value: Any) -> Any:
    """Give the fitted model among a dictionary's few values: many handlers load {"model": ...}."""
    if type(value) is not dict or len(value) > 16:
        return None
    for inner in value.values():
        if type(inner) is not dict and any(hasattr(inner, name) for name in _FITTED):
            return inner
    return None


def _length(value: Any) -> int | None:
    length = len(value)
    return length if 0 <= length <= LARGEST else None


def _size(value: Any) -> int | None:
    """Give the bytes of the data itself: nbytes where there are, else the object's own size."""
    if isinstance(value, (bytes, bytearray)):
        return len(value)
    if isinstance(value, str):
        return len(value if value.isascii() else value.encode("utf-8", "surrogatepass"))
    size = getattr(value, "nbytes", None)
    if size is None or callable(size):
        memory = getattr(value, "memory_usage", None)
        size = _table_size(value, memory) if callable(memory) else sys.getsizeof(value)
    return int(size) if 0 <= int(size) <= LARGEST else None


def _table_size(table: Any, memory: Any) -> Any:
    """Give what memory_usage adds up to, of a plain table of pandas in a tenth of its time."""
    if type(table) is not previews.class_of("pandas", "DataFrame"):
        return memory(index=True).sum()
    plain, kinds_there = sys.modules["numpy"].dtype, list(table.dtypes)
    if not all(isinstance(kind, plain) for kind in kinds_there):
        return memory(index=True).sum()
    return sum(kind.itemsize for kind in kinds_there) * len(table) + table.index.memory_usage()


_FEATURE_NAMES = ("feature_names_in_", "feature_names")  # scikit-learn, xgboost
_FITTED = ("n_features_in_", "num_features", "feature_names_in_")
_SIMPLE = frozenset([str, bytes, bytearray, int, float, bool, complex, type(None)])
_SEQUENCES = frozenset([list, tuple])

"""Whether what one function gives suits the next: kinds of data, and what the next one wants.

What a value is like is asked where it lives (`worker.kinds`) and is in its description. What the
next function wants is given, or it shows in the annotation of its parameter, or in how it fails.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypedDict

from harness.summaries import FailureSummary, ValueSummary

WORDS: Final = {
    "DataFrame": "DataFrame-like object",
    "ndarray": "array-like object with shape",
    "tensor": "tensor",
    "sparse": "sparse matrix",
    "dict": "dictionary object",
    "records": "list of records (dictionaries)",
    "list": "list",
    "bytes": "bytes",
    "str": "text",
}
_SAME: Final = {
    "array": "ndarray",
    "arraylike": "ndarray",
    "ndarray": "ndarray",
    "ndarraylike": "ndarray",
    "series": "ndarray",
    "tensor": "tensor",
    "dict": "dict",
    "mapping": "dict",
    "mutablemapping": "dict",
    "list": "list",
    "sequence": "list",
    "tuple": "list",
    "iterable": "list",
    "bytearray": "bytes",
    "memoryview": "bytes",
    "buffer": "bytes",
    "string": "str",
}
_SPARSE: Final = re.compile(r"(csr|csc|coo|bsr|dia|dok|lil|sp)_?(matrix|array)")
_ANYTHING: Final = {"any", "object", "input", "data", "typevar"}
_ATTRIBUTES: Final = {
    "DataFrame": "columns iloc loc select_dtypes fillna drop reindex dtypes iterrows rename assign",
    "ndarray": "shape ndim reshape astype dtype flatten ravel",
    "tensor": "unsqueeze detach cpu cuda requires_grad",
    "sparse": "toarray tocsr todense nnz",
    "dict": "keys items get",
    "bytes": "decode",
    "str": "split splitlines strip encode",
}
_KIND_OF: Final = {name: kind for kind, names in _ATTRIBUTES.items() for name in names.split()}
# CPython's and numpy's own words, for a value that was taken for another kind.
_NO_ATTRIBUTE: Final = re.compile(r"'([\w.]+)' object has no attribute '(\w+)'")
_INDEXED: Final = (
    (re.compile(r"^(?:list|tuple) indices must be integers or slices, not str"), "dict"),
    (re.compile(r"^string indices must be integers"), "dict"),
    (re.compile(r"^only integers, slices \(`:`\)"), "DataFrame"),
    (re.compile(r"^a bytes-like object is required, not "), "bytes"),
)


class Compatibility(TypedDict):
    """What `validate_data_compatibility` gives."""

    compatible: bool
    source_type: str
    expected_dest_type: str
    issues: list[str]


@dataclass(frozen=True)
class Want:
    """What a function wants, by kinds or classes of which any will do, and how that is known."""

    names: tuple[str, ...]
    evidence: str

    def __str__(self) -> str:
        """Say it in words."""
        return " or ".join(WORDS.get(name, f"{name} object") for name in self.names)


def judge(value: ValueSummary, wanted: str) -> Compatibility:
    """Hold a value against the type that is wanted: a kind, a class or an annotation."""
    names = named(wanted)
    issues = [] if suits(value, names) else [f"Expected {Want(names, '')}, got {value.type}"]
    return {
        "compatible": not issues,
        "source_type": value.type,
        "expected_dest_type": wanted,
        "issues": issues,
    }


def suits(value: ValueSummary, names: tuple[str, ...]) -> bool:
    """Say whether a value is of any of these kinds or classes; none means that anything will do."""
    return not names or not {value.type, *value.kinds}.isdisjoint(names)


def named(annotation: str) -> tuple[str, ...]:
    """Read the kinds and classes of an annotation, such as `pd.DataFrame | None`."""
    try:
        tree = ast.parse(annotation.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return (annotation.strip(),)
    found = list(dict.fromkeys(_named(tree)))
    return () if None in found else tuple(name for name in found if name is not None)


def wanted_by(parameter: str | None, failure: FailureSummary, value: ValueSummary) -> Want | None:
    """Say what a function wanted that failed on a value; None where nothing tells.

    The annotation of its parameter tells, where the value is none of it, and what it asked the
    value for, in the exception or in one behind it.
    """
    names = named(parameter) if parameter is not None else ()
    if not suits(value, names):
        return Want(names, f"its parameter is annotated {parameter}")
    for message in (failure.message, *(cause.message for cause in failure.causes)):
        for kind, evidence in _asked(message, value):
            if not suits(value, (kind,)):
                return Want((kind,), evidence)
    return None


def _asked(message: str, value: ValueSummary) -> Iterator[tuple[str, str]]:
    match = _NO_ATTRIBUTE.search(message)
    if match and match[1].rpartition(".")[2] == value.type and match[2] in _KIND_OF:
        yield _KIND_OF[match[2]], f"it asks for .{match[2]}"
    for pattern, kind in _INDEXED:
        if pattern.search(message):
            yield kind, f"{message.partition(';')[0]}"


def _named(node: ast.expr) -> Iterator[str | None]:
    """Go through the alternatives; None where one of them is anything."""
    match node:
        case ast.Constant(value=None):
            yield "NoneType"
        case ast.Constant(value=str(text)):
            yield from named(text) or (None,)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            yield from (*_named(left), *_named(right))
        case ast.Subscript(value=value, slice=inner):
            yield from _of_generic(_last(value), inner)
        case ast.Name() | ast.Attribute():
            yield _kind(_last(node))
        case _:
            yield None


def _of_generic(name: str, inner: ast.expr) -> Iterator[str | None]:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name in ("Optional", "Union", "Annotated"):
        for part in parts[:1] if name == "Annotated" else parts:
            yield from _named(part)
        if name == "Optional":
            yield "NoneType"
    elif _kind(name) == "list" and list(_named(parts[0])) == ["dict"]:
        yield "records"
    else:
        yield _kind(name)


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _kind(name: str) -> str | None:
    low = name.lower()
    if low in _ANYTHING or len(name) < 2:
        return None
    return "sparse" if _SPARSE.fullmatch(low) else _SAME.get(low, name)

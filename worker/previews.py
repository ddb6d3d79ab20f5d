"""The beginning of a value as text: at most so many items of any container, array or table.

The libraries' own repr of an array or a table takes as long as many a predict_fn. Of those, by
their exact classes, only a corner is written.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


import reprlib
import sys

from .failures import clean
from .protocol import MAX_PREVIEW_CHARS

ITEMS = 20  # of a row
ROWS = 6
PLAIN = "biuf"  # kinds of arrays of numbers, by numpy's letters


def preview(value: Any) -> str:
    """Write the beginning of a value. Raises whatever the value's own methods raise."""
    kind = type(value)
    if kind is class_of("numpy", "ndarray") and value.dtype.kind in PLAIN:
        return of_array(value)
    if kind is class_of("torch", "Tensor"):
        text = "tensor(%s)" % _corner(value, value.shape)
    elif kind is class_of("pandas", "DataFrame"):
        text = _table(value)
    else:
        return of_builtin(value)
    return clean(text, MAX_PREVIEW_CHARS)


def of_array(array: Any) -> str:
    """Write the beginning of a plain array of numbers."""
    return clean("array(%s)" % _corner(array, array.shape), MAX_PREVIEW_CHARS)


def of_builtin(value: Any) -> str:
    """Write the beginning of a value that is no array and no table."""
    return clean(_BOUNDED.repr(value), MAX_PREVIEW_CHARS)


def class_of(module: str, name: str) -> Any:
    """Give a class of a module that is loaded; None, which no value's class is, for none."""
    return getattr(sys.modules.get(module), name, None)


def _corner(array: Any, shape: Any) -> str:
    """Write the first items along the last two dimensions, of the first of the others."""
    if not shape:
        return _cell(array.tolist())
    most = (*[1] * (len(shape) - 2), ROWS, ITEMS)[-len(shape) :]
    items = array[tuple(map(slice, most))].reshape(-1).tolist()
    if items and type(items[0]) is float:  # then all of an array are, and are written at once
        return _form(shape, most, "%.6g") % tuple(items)
    return _form(shape, most, "%s") % tuple(map(_cell, items))


def _form(shape: Any, most: tuple[int, ...], cell: str) -> str:
    """Put the brackets of an array around the form of its items."""
    for size, limit in zip(reversed(shape), reversed(most)):
        shown = [cell] * min(size, limit)
        cell = "[%s]" % ", ".join([*shown, "..."] if size > limit else shown)
    return cell


def _table(table: Any) -> str:
    """Write the first rows below their columns, with the index, as pandas does."""
    head = table.iloc[:ROWS]
    if len(head.columns) > ITEMS:
        head = head.iloc[:, :ITEMS]
    rows = [["", *map(_cell, head.columns.tolist())]]
    for label, row in zip(head.index.tolist(), head.to_numpy().tolist()):
        rows.append([_cell(label), *map(_cell, row)])
    if len(head.columns) < len(table.columns):
        for row in rows:
            row.append("...")
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
    return "\n".join([*lines, "..."] if len(head) < len(table) else lines)


def _cell(item: Any) -> str:
    """Write one item of an array or a table: a float with six digits, text without quotes."""
    if type(item) is float:
        return "%.6g" % item
    return _BOUNDED.repr(item)[1:-1] if type(item) is str else _BOUNDED.repr(item)


class _Bounded(reprlib.Repr):
    """repr() with every container cut short, so that a huge one costs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = ITEMS
        self.maxdict = ITEMS
        self.maxlevel = 4
        self.maxlong = 100
        self.maxstring = 240
        self.maxother = MAX_PREVIEW_CHARS // 2

    def repr_float(self, number: float, level: int) -> str:
        return repr(number)

    def repr_list(self, items: list[Any], level: int) -> str:
        flat = level == self.maxlevel and type(items[0] if items else 0) not in (list, tuple, dict)
        most = ITEMS if flat else ROWS
        return self._repr_iterable(items, level, "[", "]", most)  # type: ignore[attr-defined, no-any-return]

    def repr_str(self, text: str, level: int) -> str:
        return super().repr_str(text[: 2 * self.maxstring], level)

    def repr_bytes(self, data: Any, level: int) -> str:
        return super().repr_str(bytes(data[: 2 * self.maxstring]), level)  # type: ignore[arg-type]

    repr_bytearray = repr_bytes


_BOUNDED = _Bounded()

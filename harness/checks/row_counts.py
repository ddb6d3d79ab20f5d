"""How many rows a body has, by its content type."""

import csv
import io
import json
import re
from typing import Any

from harness.media_types import essence

LINES = ("application/jsonlines", "application/x-jsonlines", "application/jsonl")
NPY = "application/x-npy"
MAX_NPY_HEAD = 4096
NPY_HEAD = re.compile(rb"\x93NUMPY.*?'shape': \((\d{1,18}),", re.DOTALL)


def row_count(body: bytes, content_type: str | None) -> int | None:
    """Count the rows of a request or a response; None where they cannot be counted.

    CSV: lines with anything in them, without a first one that has no number where the second has.
    JSON: elements of a list, of the only list in an object, or of one list in it that `columns`
    or the like stand beside. JSON Lines: lines. npy: the first axis.
    """
    kind = essence(content_type)
    try:
        if kind == NPY:
            return _axis(body)
        text = body.decode("utf-8-sig")
        if kind == "text/csv":
            return _csv_rows(text)
        if kind in LINES:
            return sum(bool(line.strip()) for line in text.splitlines())
        if kind == "application/json":
            return _records(json.loads(text))
    except (ValueError, csv.Error, RecursionError):
        pass
    return None


def _csv_rows(text: str) -> int:
    rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
    headed = len(rows) > 1 and not _has_number(rows[0]) and _has_number(rows[1])
    return len(rows) - headed


def _has_number(row: list[str]) -> bool:
    return any(_is_number(cell) for cell in row)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _records(data: Any) -> int | None:
    if isinstance(data, list):
        return len(data)
    if not isinstance(data, dict):
        return None
    if {"columns", "data"} <= data.keys() and isinstance(data["data"], list):  # pandas: split
        return len(data["data"])
    lists = [value for value in data.values() if isinstance(value, list)]
    return len(lists[0]) if len({len(value) for value in lists}) == 1 else None


def _axis(body: bytes) -> int | None:
    """Read the shape from the header of an npy file, as numpy writes it (numpy.lib.format).

    It is a Python literal, and of a response the handler's: it is searched, not evaluated.
    """
    match = NPY_HEAD.match(body[:MAX_NPY_HEAD])
    return int(match[1]) if match else None

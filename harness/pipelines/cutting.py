"""The beginning of a data file, so many rows of it: what is sent of a script's output."""

import ast
import csv
import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

MAX_BYTES = 64 * 2**20
NPY_MAGIC = b"\x93NUMPY"
# What reading a file that is not what it says may raise; nothing of ours is hidden by it.
UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    SyntaxError,
    MemoryError,
    RecursionError,
    csv.Error,
)


@dataclass(frozen=True)
class Cut:
    """The bytes to send; how many rows they hold and how many were left out, where that is known.

    A format that cannot be cut here (parquet, images) is sent whole.
    """

    body: bytes
    rows: int | None = None
    rows_cut: int | None = None


def cut(path: Path, found: str, max_rows: int) -> Cut | None:
    """Take at most so many rows of a file of a format; None when it is too large to be taken."""
    if path.stat().st_size > MAX_BYTES:
        return None
    data = path.read_bytes()
    cutter = CUTTERS.get(found)
    try:
        return Cut(data) if cutter is None else cutter(data, max_rows)
    except UNREADABLE:
        return Cut(data)


def has_header(rows: list[list[str]]) -> bool:
    """Tell whether the first row names the columns: words, where no other row is all words."""
    if not rows or not rows[0]:
        return False
    first = rows[0]
    if any(not cell.strip() or is_number(cell) for cell in first) or len(set(first)) < len(first):
        return False
    return any(is_number(cell) for row in rows[1:] for cell in row) or len(rows) == 1


def is_number(cell: str) -> bool:
    """Tell whether a cell reads as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _csv(data: bytes, max_rows: int) -> Cut:
    return _table(data, max_rows, ",")


def _tsv(data: bytes, max_rows: int) -> Cut:
    return _table(data, max_rows, "\t")


def _table(data: bytes, max_rows: int, delimiter: str) -> Cut:
    """Cut between records: a quoted cell may have line ends in it."""
    lines = data.decode("utf-8-sig").splitlines(keepends=True)
    reader = csv.reader(lines, delimiter=delimiter)
    ends = [(row, reader.line_num) for row in reader if row]
    header = has_header([row for row, _ in ends[:50]])
    total = len(ends) - header
    if total <= max_rows:
        return Cut(data, total, 0)
    kept = "".join(lines[: ends[max_rows - (not header)][1]])
    return Cut(kept.encode("utf-8"), max_rows, total - max_rows)


def _lines(data: bytes, max_rows: int) -> Cut:
    lines = [line for line in data.splitlines(keepends=True) if line.strip()]
    if len(lines) <= max_rows:
        return Cut(data, len(lines), 0)
    return Cut(b"".join(lines[:max_rows]), max_rows, len(lines) - max_rows)


def _json(data: bytes, max_rows: int) -> Cut:
    value = json.loads(data)
    if not isinstance(value, list):
        return Cut(data, 1, 0)
    if len(value) <= max_rows:
        return Cut(data, len(value), 0)
    return Cut(json.dumps(value[:max_rows]).encode(), max_rows, len(value) - max_rows)


def _npy(data: bytes, max_rows: int) -> Cut:
    """Cut an array of numbers in C order along its first dimension (NEP 1)."""
    start, header = _npy_header(data)
    shape, dtype = header["shape"], header["descr"]
    if not isinstance(dtype, str) or "O" in dtype or header["fortran_order"] or not shape:
        return Cut(data)
    if shape[0] <= max_rows:
        return Cut(data, shape[0], 0)
    size = int(dtype[2:]) * (4 if dtype[1] == "U" else 1)
    text = repr({**header, "shape": (max_rows, *shape[1:])}).encode()
    padded = text + b" " * (-(len(text) + 11) % 64) + b"\n"
    head = NPY_MAGIC + b"\x01\x00" + len(padded).to_bytes(2, "little") + padded
    rows = data[start : start + max_rows * prod(shape[1:]) * size]
    return Cut(head + rows, max_rows, shape[0] - max_rows)


def _npy_header(data: bytes) -> tuple[int, dict[str, Any]]:
    width = 2 if data[6:7] == b"\x01" else 4
    start = 8 + width
    end = start + int.from_bytes(data[8:start], "little")
    header = ast.literal_eval(data[start : min(end, start + 10_000)].decode("latin-1").strip())
    if not isinstance(header, dict) or not {"shape", "descr", "fortran_order"} <= header.keys():
        raise ValueError("no header of an npy file")
    return end, header


CUTTERS = {
    "csv": _csv,
    "tsv": _tsv,
    "json": _json,
    "jsonl": _lines,
    "libsvm": _lines,
    "text": _lines,
    "npy": _npy,
}

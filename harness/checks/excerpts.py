"""Where a body is wrong, by our own reading of it: line, column, and the place under a caret."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from harness.artifacts.formats import MAGIC

MAX_BYTES: Final = 16 << 20  # what is larger is not read again
_WIDTH = 72
_LINES: Final = 100  # of JSON Lines, each looked at
_QUOTED: Final = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_PARQUET: Final = b"PAR1"
_BEGINS: Final = {
    "application/x-parquet": _PARQUET,
    "application/parquet": _PARQUET,
    "application/vnd.apache.parquet": _PARQUET,
    "application/x-npy": b"\x93NUMPY",
    "application/x-npz": b"PK\x03\x04",
}


@dataclass(frozen=True)
class Spot:
    """What is wrong with a body, and where: line and column from 1; 0 for the body as a whole."""

    what: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.what} (line {self.line}, column {self.column})" if self.line else self.what


def of_json(text: str) -> Spot | None:
    """Find where a text stops being JSON; None where it is."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        if not text.strip():
            return Spot("the body is empty")
        spot = Spot(error.msg, error.lineno, error.colno)
        if error.msg == "Extra data" and error.lineno > 1:
            return Spot("a second document begins, as in JSON Lines", spot.line, spot.column)
        return spot
    except RecursionError:
        return Spot("it is nested too deeply")
    except ValueError:  # a number with more digits than Python reads, which JSON has no limit for
        return None
    return None


def is_said_of_json(text: str, said: str) -> bool:
    """Say whether these are the words with which json refuses a text, or a line of it."""
    lines = (line for line in text.splitlines()[:_LINES] if line.strip())
    return any(_words(piece) == said for piece in (text, text.strip(), *lines))


def _words(text: str) -> str | None:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        return str(error)
    return None


def of_csv(text: str, said: str) -> Spot | None:
    """Find what a reader of CSV that failed with these words may have met; None for nothing odd."""
    if not text.strip():
        return Spot("the body is empty")
    if text.count('"') % 2:
        line, column = _place(text, text.rindex('"'))
        return Spot("a quote is opened and not closed", line, column)
    rows = [(line, cells) for line, cells in _rows(text) if cells]
    return _of_quoted(text, rows, said) or _of_width(text, rows)


def of_binary(content_type: str, body: bytes) -> Spot | None:
    """Find that a body is not of its binary type by its first bytes; None where it is, or text."""
    begin = _BEGINS.get(content_type)
    if begin is None:
        return None
    if not body:
        return Spot("the body is empty")
    if not body.startswith(begin):
        return Spot(f"it begins with {body[:8]!r}{_format_of(body)}, not with {begin!r}")
    if begin == _PARQUET and not body.endswith(_PARQUET):
        return Spot(f"it does not end with {begin!r}: it was cut short or changed on its way")
    return None


def of_text(body: bytes) -> Spot | None:
    """Find the first byte of a body that is no UTF-8; None where all is."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return Spot("the body is UTF-16: it begins with a byte order mark")
        before = body[: error.start]
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        told = f"byte 0x{body[error.start]:02x} at offset {error.start} is no UTF-8"
        return Spot(told, before.count(b"\n") + 1, column)
    return None


def is_header(rows: list[list[str]]) -> bool:
    """Say whether the first row only names columns: none of its cells is a number, others have."""
    first, *others = rows
    return not any(map(_is_number, first)) and any(
        _is_number(cell) for row in others for cell in row
    )


def excerpt(text: str, spot: Spot) -> str | None:
    """Show the line of a spot, and a caret below the place; None for the body as a whole."""
    lines = text.split("\n")
    if not 0 < spot.line <= len(lines):
        return None
    line = "".join(char if char.isprintable() else " " for char in lines[spot.line - 1])
    start = max(0, min(spot.column - 1 - _WIDTH // 2, len(line) - _WIDTH))
    shown = line[start : start + _WIDTH]
    left, right = "..." * (start > 0), "..." * (start + _WIDTH < len(line))
    return f"{left}{shown}{right}\n{' ' * (len(left) + spot.column - 1 - start)}^"


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(text.splitlines())
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error:
        return


def _of_quoted(text: str, rows: list[tuple[int, list[str]]], said: str) -> Spot | None:
    """Find the cell that the words quote."""
    quoted = {single or double for single, double in _QUOTED.findall(said)}
    for number, (line, cells) in enumerate(rows):
        for cell in cells:
            if cell.strip() and cell.strip() in quoted and not _is_number(cell):
                column = text.splitlines()[line - 1].find(cell.strip()) + 1
                if number == 0 and not any(map(_is_number, cells)):
                    return Spot("the first line is a header, and was read as data", line, column)
                return Spot(f"{cell.strip()[:40]!r} is no number", line, column)
    return None


def _of_width(text: str, rows: list[tuple[int, list[str]]]) -> Spot | None:
    wide = len(rows[0][1])
    for line, cells in rows[1:]:
        if len(cells) != wide:
            told = f"line {line} has {len(cells)} cells, and line {rows[0][0]} has {wide}"
            return Spot(told, line, len(text.splitlines()[line - 1]) or 1)
    return None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _place(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _format_of(body: bytes) -> str:
    for magic, name in MAGIC:
        if body.startswith(magic):
            return f" ({name})"
    begin = body[:64].decode("utf-8", "replace")
    return " (text)" if all(char.isprintable() or char.isspace() for char in begin) else ""

"""The columns of a handler's input: how many, what they are called, what they hold."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "integer", "text"]
Cell = float | int | str
Row = list[Cell]


@dataclass(frozen=True)
class Column:
    """One column: its name (None: it has none), its kind, and values seen in it."""

    name: str | None
    kind: Kind = "number"
    seen: tuple[Cell, ...] = ()

    def value(self, chance: random.Random) -> Cell:
        """Make up a value: one of those seen, else a plain one of the kind."""
        if self.seen:
            return chance.choice(self.seen)
        if self.kind == "text":
            return chance.choice(("a", "b", "c"))
        return chance.randrange(10) if self.kind == "integer" else round(chance.uniform(0, 10), 3)


@dataclass(frozen=True)
class Columns:
    """All columns in order, and where they are known from."""

    columns: tuple[Column, ...]
    source: str

    @property
    def names(self) -> list[str]:
        """Name every column; one without a name is feature_<number>, from 0."""
        return [column.name or f"feature_{index}" for index, column in enumerate(self.columns)]

    @property
    def width(self) -> int:
        """Count the columns."""
        return len(self.columns)

    def rows(self, count: int, chance: random.Random) -> list[Row]:
        """Make up rows; the same chance gives the same rows."""
        return [[column.value(chance) for column in self.columns] for _ in range(count)]


def unnamed(width: int, source: str) -> Columns:
    """Give columns of numbers without names."""
    return Columns(tuple(Column(None) for _ in range(width)), source)


def named(names: Sequence[str], source: str) -> Columns:
    """Give columns of numbers with these names."""
    return Columns(tuple(Column(name) for name in names), source)


def from_rows(rows: Sequence[Sequence[str]], header: Sequence[str] | None, source: str) -> Columns:
    """Tell the columns of rows of text, such as those of a CSV file."""
    width = len(rows[0]) if rows else len(header or ())
    cells = [[row[index] for row in rows if index < len(row)] for index in range(width)]
    names = [header[index] if header and index < len(header) else None for index in range(width)]
    return Columns(
        tuple(_column(name, texts) for name, texts in zip(names, cells, strict=True)), source
    )


def from_records(records: Sequence[dict[str, object]], source: str) -> Columns:
    """Tell the columns of JSON objects with the same keys."""
    names = list(records[0])
    cells = [[str(record.get(name, "")) for record in records] for name in names]
    return Columns(
        tuple(_column(name, texts) for name, texts in zip(names, cells, strict=True)), source
    )


def _column(name: str | None, texts: Sequence[str]) -> Column:
    filled = [text for text in texts if text]
    for kind, read in (("integer", int), ("number", float)):
        values = _all(read, filled)
        if values is not None:
            return Column(name, kind, tuple(dict.fromkeys(values))[:_SEEN])  # type: ignore[arg-type]
    return Column(name, "text", tuple(dict.fromkeys(filled))[:_SEEN])


def _all(read: type[int] | type[float], texts: Sequence[str]) -> list[Cell] | None:
    try:
        return [read(text) for text in texts]
    except ValueError:
        return None


_SEEN = 50

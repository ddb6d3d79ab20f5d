"""Data as an adapter sees it: a table of text or a value of JSON, and the small changes to it."""

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

from harness.pipeline_results import AdapterChange, Change
from harness.pipelines.cutting import UNREADABLE, has_header

BOM = b"\xef\xbb\xbf"
DELIMITERS = {"csv": ",", "tsv": "\t"}
CSV, JSON, JSONL = "text/csv", "application/json", "application/jsonlines"
MAX_COLUMNS = 30
MAX_WANTED = 4
NEAREST = 3
# Columns that a model is trained with or that rows are told apart by, and that no request has.
NOT_FEATURES = re.compile(
    r"(?i)^(label|labels|target|targets|y|class|outcome|churn\w*|id|\w+_id|index|unnamed: 0|split)$"
)
QUOTED = re.compile(r"['\"`]([^'\"`\n]{1,80})['\"`]")


@dataclass(frozen=True)
class Parcel:
    """Something to be sent: its bytes, its format, the name of its file, and its content type."""

    body: bytes
    format: str
    name: str
    content_type: str | None = None
    changes: tuple[AdapterChange, ...] = ()

    def changed(self, change: Change, detail: str, **fields: Any) -> "Parcel":
        """Give it with one more change."""
        step = AdapterChange(change=change, detail=detail)
        return replace(self, changes=(*self.changes, step), **fields)


def variants(parcel: Parcel, error: str, content_types: tuple[str, ...]) -> Iterator[Parcel]:
    """Give what is one small change away, the likeliest first.

    `error` is what was said when the parcel was refused: names in it are what columns and files
    may have to be called. Without content types, the parcel is a file that a script reads.
    """
    yield from _under_other_types(parcel, content_types)
    if parcel.body.startswith(BOM):
        yield parcel.changed("other", "drop the byte order mark", body=parcel.body[len(BOM) :])
    with suppress(*UNREADABLE):  # not what its format says: nothing to change
        yield from _of_data(parcel, error, to_send=bool(content_types))
    if not content_types:
        yield from _renamed_files(parcel, error)


def _under_other_types(parcel: Parcel, content_types: tuple[str, ...]) -> Iterator[Parcel]:
    for content_type in content_types:
        if content_type != parcel.content_type:
            yield parcel.changed(
                "content_type", f"send as {content_type}", content_type=content_type
            )


def _renamed_files(parcel: Parcel, error: str) -> Iterator[Parcel]:
    """Give the file under the names that a script was looking for."""
    for path in QUOTED.findall(error):
        name = path.rpartition("/")[2]
        if "." in name and name != parcel.name:
            yield parcel.changed("other", f"name the file {name!r}", name=name)


def _of_data(parcel: Parcel, error: str, *, to_send: bool) -> Iterator[Parcel]:
    if parcel.format in DELIMITERS:
        yield from _of_table(parcel, error, to_send=to_send)
    elif parcel.format == "json":
        yield from _of_value(parcel, json.loads(parcel.body), error, to_send=to_send)
    elif parcel.format == "jsonl":
        value = [json.loads(line) for line in parcel.body.splitlines() if line.strip()]
        yield parcel.changed(
            "other", "a JSON list instead of lines", **_json(value, to_send=to_send)
        )
        yield from _of_value(parcel, value, error, to_send=to_send)


# ---------------------------------------------------------------- tables


def _of_table(parcel: Parcel, error: str, *, to_send: bool) -> Iterator[Parcel]:
    """Give the changes to a table; of two as small, the one that loses less comes first."""
    delimiter = DELIMITERS[parcel.format]
    text = parcel.body.decode("utf-8-sig")
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    if not rows:
        return
    header = has_header(rows[:50])

    def changed(change: Change, detail: str, new: list[list[str]]) -> Parcel:
        return parcel.changed(change, detail, body=_written(new, delimiter))

    yield from (changed("other", *parted) for parted in _parted(rows, delimiter))
    for old, new in _renamings(rows[0], error) if header else ():
        first = [new if cell == old else cell for cell in rows[0]]
        detail = f"rename the column {old!r} to {new!r}"
        yield changed("rename_column", detail, [first, *rows[1:]])
    named, others = _droppable(rows[0], header=header)
    for place in named:
        yield changed("drop_column", *_without(rows, place, header=header))
    if header and len(rows) > 1:
        yield changed("drop_header", "drop the header", rows[1:])
    for place in others:
        yield changed("drop_column", *_without(rows, place, header=header))
    whole = [row for row in rows if all(cell.strip() for cell in row)]
    if header < len(whole) < len(rows):
        yield changed("other", "drop the rows with empty cells", whole)
    if to_send and header:
        records = [dict(zip(rows[0], map(_number, row), strict=False)) for row in rows[1:]]
        yield parcel.changed("other", "JSON records instead of CSV", **_json(records, to_send=True))
    if len(rows) > 1 + header:
        yield changed("one_record", "one record instead of all", rows[: 1 + header])


def _parted(rows: list[list[str]], delimiter: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Part the rows of a table by what parts them, where that is not what it should be."""
    for other in ";", "\t", "|", ",":
        if other != delimiter and all(len(row) == 1 and other in row[0] for row in rows):
            parted = [row[0].split(other) for row in rows]
            yield f"part the columns by {delimiter!r}", parted


def _without(rows: list[list[str]], place: int, *, header: bool) -> tuple[str, list[list[str]]]:
    name = repr(rows[0][place]) if header else str(place + 1)
    return f"drop the column {name}", [row[:place] + row[place + 1 :] for row in rows]


def _droppable(first: list[str], *, header: bool) -> tuple[list[int], list[int]]:
    """List the columns that could be left out: those named like no feature, and the others.

    Of the others the last is the likeliest, for that is where labels are put.
    """
    if len(first) < 2:
        return [], []
    last = len(first) - 1
    places = dict.fromkeys([last, *range(min(last, MAX_COLUMNS))])
    named = [place for place in places if header and NOT_FEATURES.match(first[place])]
    return named, [place for place in places if place not in named]


def _renamings(names: list[str], error: str) -> Iterator[tuple[str, str]]:
    """Pair the names that are missing by an error's words with those there, the nearest first."""
    wanted = [name for name in dict.fromkeys(QUOTED.findall(error)) if name not in names]
    for new in wanted[:MAX_WANTED]:
        free = [name for name in names if name not in wanted]
        for old in sorted(free, key=lambda name: -_likeness(name, new))[:NEAREST]:
            yield old, new


def _likeness(name: str, other: str) -> float:
    return SequenceMatcher(None, name.lower(), other.lower(), autojunk=False).ratio()


def _written(rows: list[list[str]], delimiter: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")


def _number(cell: str) -> Any:
    try:
        return int(cell)
    except ValueError:
        pass
    try:
        return float(cell)
    except ValueError:
        return cell


# ---------------------------------------------------------------- JSON


def _of_value(parcel: Parcel, value: Any, error: str, *, to_send: bool) -> Iterator[Parcel]:
    def changed(change: Change, detail: str, new: Any) -> Parcel:
        return parcel.changed(change, detail, **_json(new, to_send=to_send))

    if isinstance(value, dict):
        if len(value) == 1 and isinstance(next(iter(value.values())), list):
            name, inner = next(iter(value.items()))
            yield changed("other", f"the list of {name!r} without the object around it", inner)
        yield changed("other", "a list of the one record", [value])
        for change, detail, record in _record_changes([value], error):
            yield changed(change, detail, record[0])
    elif isinstance(value, list) and value:
        if all(isinstance(item, dict) for item in value):
            yield from _of_records(parcel, value, error, to_send=to_send)
        for name in _keys_wanted(error):
            yield changed("other", f"an object with the list as {name!r}", {name: value})
        yield changed("one_record", "one record instead of a list", value[0])


def _keys_wanted(error: str) -> list[str]:
    """List the names that an error says are missing; of an attribute none is a key."""
    names = [] if "attribute" in error else QUOTED.findall(error)
    return [name for name in dict.fromkeys(names) if name.isidentifier()][:MAX_WANTED]


def _of_records(
    parcel: Parcel, records: list[dict[str, Any]], error: str, *, to_send: bool
) -> Iterator[Parcel]:
    for change, detail, new in _record_changes(records, error):
        yield parcel.changed(change, detail, **_json(new, to_send=to_send))
    names = list(records[0])
    if any(list(record) != names for record in records):
        return
    values = [list(record.values()) for record in records]
    yield parcel.changed(
        "drop_header", "lists of values without their names", **_json(values, to_send=to_send)
    )
    if to_send:
        rows = [[str(cell) for cell in row] for row in values]
        for lead, detail in ([names], "CSV with a header"), ([], "CSV without a header"):
            yield parcel.changed(
                "other",
                f"{detail} instead of JSON",
                body=_written([*lead, *rows], ","),
                format="csv",
                content_type=CSV,
            )


def _record_changes(
    records: list[dict[str, Any]], error: str
) -> Iterator[tuple[Change, str, list[dict[str, Any]]]]:
    names = list(records[0])
    for old, new in _renamings(names, error):
        moved = [
            {(new if key == old else key): item for key, item in record.items()}
            for record in records
        ]
        yield "rename_column", f"rename the column {old!r} to {new!r}", moved
    for place in (place for places in _droppable(names, header=True) for place in places):
        name = names[place]
        left = [{key: item for key, item in record.items() if key != name} for record in records]
        yield "drop_column", f"drop the column {name!r}", left


def _json(value: Any, *, to_send: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"body": json.dumps(value).encode(), "format": "json"}
    return {**fields, "content_type": JSON} if to_send else fields

"""Rows as the body of a request, in each format that handlers of tables read."""

from __future__ import annotations

import csv
import io
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.errors import SpecError
from harness.generation.columns import Cell, Columns, Row

JSON, CSV = "application/json", "text/csv"
JSON_LINES, NPY, PARQUET = "application/jsonlines", "application/x-npy", "application/x-parquet"
EXTENSIONS = {JSON: "json", CSV: "csv", JSON_LINES: "jsonl", NPY: "npy", PARQUET: "parquet"}


@dataclass(frozen=True)
class Form:
    """One way to write rows down: its name, its content type, and the writer."""

    name: str
    content_type: str
    write: Callable[[Columns, Sequence[Row]], bytes]


def csv_rows(columns: Columns, rows: Sequence[Row]) -> bytes:
    """Write CSV without a header, ended by a line feed."""
    return _csv(rows)


def csv_with_header(columns: Columns, rows: Sequence[Row]) -> bytes:
    """Write CSV with a header."""
    return _csv([list(columns.names), *rows])


def records(columns: Columns, rows: Sequence[Row]) -> bytes:
    """Write a JSON list of objects by column name."""
    return _json([dict(zip(columns.names, row, strict=True)) for row in rows])


def record(columns: Columns, rows: Sequence[Row]) -> bytes:
    """Write one JSON object by column name, of the first row."""
    return _json(dict(zip(columns.names, rows[0], strict=True)))


def matrix(columns: Columns, rows: Sequence[Row]) -> bytes:
    """Write a JSON list of lists."""
    return _json(list(rows))


def split(columns: Columns, rows: Sequence[Row]) -> bytes:
    """Write what pandas calls split: columns, index and data."""
    return _json({"columns": columns.names, "index": list(range(len(rows))), "data": list(rows)})


def instances(columns: Columns, rows: Sequence[Row]) -> bytes:
    """Write {"instances": rows}, as TensorFlow Serving and many handlers read."""
    return _json({"instances": list(rows)})


def data(columns: Columns, rows: Sequence[Row]) -> bytes:
    """Write {"data": rows}."""
    return _json({"data": list(rows)})


def inputs(columns: Columns, rows: Sequence[Row]) -> bytes:
    """Write {"inputs": rows}, as the HuggingFace containers read."""
    return _json({"inputs": list(rows)})


def json_lines(columns: Columns, rows: Sequence[Row]) -> bytes:
    """Write one JSON object a line."""
    return b"".join(_json(dict(zip(columns.names, row, strict=True))) + b"\n" for row in rows)


def npy(columns: Columns, rows: Sequence[Row]) -> bytes:
    """Write a numpy file, version 1.0, of 64-bit floats; shape (rows, columns).

    The format is laid down in numpy.lib.format; numpy itself is not needed. Raises SpecError for
    columns of text.
    """
    if any(isinstance(cell, str) for row in rows for cell in row):
        raise SpecError("columns of text cannot be written as .npy; leave this form out")
    shape = (len(rows), columns.width)
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    numbers = [float(cell) for row in rows for cell in row]
    return (
        b"\x93NUMPY\x01\x00"
        + struct.pack("<H", len(header))
        + header.encode("latin-1")
        + struct.pack(f"<{len(numbers)}d", *numbers)
    )


def parquet(columns: Columns, rows: Sequence[Row]) -> bytes:
    """Write a parquet file. Raises SpecError where pyarrow is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise SpecError("parquet bodies need pyarrow; install it, or leave this form out") from None
    table = pyarrow.table(
        {name: [row[index] for row in rows] for index, name in enumerate(columns.names)}
    )
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()


FORMS = {
    form.name: form
    for form in (
        Form("csv", CSV, csv_rows),
        Form("csv_header", CSV, csv_with_header),
        Form("json_matrix", JSON, matrix),
        Form("json_records", JSON, records),
        Form("json_record", JSON, record),
        Form("json_instances", JSON, instances),
        Form("json_data", JSON, data),
        Form("json_inputs", JSON, inputs),
        Form("json_split", JSON, split),
        Form("jsonlines", JSON_LINES, json_lines),
        Form("npy", NPY, npy),
        Form("parquet", PARQUET, parquet),
    )
}


def _csv(rows: Sequence[Sequence[Cell]]) -> bytes:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()

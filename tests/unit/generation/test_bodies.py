"""Every form of body is read back by the library that real handlers read it with."""

from __future__ import annotations

import io
import json
import random

import numpy
import pandas
import pytest

from harness import SpecError
from harness.generation import columns
from harness.generation.bodies import FORMS
from harness.generation.columns import Column, Columns

NUMBERS = columns.named(["amount", "age"], "a test")
MIXED = Columns((Column("amount"), Column("city", "text", ("Łódź, PL", 'a "b"'))), "a test")
ROWS = NUMBERS.rows(3, random.Random(1))
TABLE = pandas.DataFrame(ROWS, columns=NUMBERS.names)


@pytest.mark.parametrize(
    ("form", "read"),
    [
        ("csv", lambda body: pandas.read_csv(body, header=None, names=NUMBERS.names)),
        ("csv_header", pandas.read_csv),
        ("json_matrix", lambda body: pandas.DataFrame(json.load(body), columns=NUMBERS.names)),
        ("json_records", lambda body: pandas.read_json(body, orient="records")),
        ("json_split", lambda body: pandas.read_json(body, orient="split")),
        ("jsonlines", lambda body: pandas.read_json(body, lines=True)),
        ("npy", lambda body: pandas.DataFrame(numpy.load(body), columns=NUMBERS.names)),
        ("parquet", pandas.read_parquet),
    ],
)
def test_table_is_read_back(form: str, read: object) -> None:
    pytest.importorskip("pyarrow" if form == "parquet" else "pandas")
    body = FORMS[form].write(NUMBERS, ROWS)
    pandas.testing.assert_frame_equal(read(io.BytesIO(body)), TABLE)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("json_record", dict(zip(NUMBERS.names, ROWS[0], strict=True))),
        ("json_instances", {"instances": ROWS}),
        ("json_data", {"data": ROWS}),
        ("json_inputs", {"inputs": ROWS}),
    ],
)
def test_json_wrapper(form: str, expected: object) -> None:
    assert json.loads(FORMS[form].write(NUMBERS, ROWS)) == expected


def test_text_is_quoted_in_csv_and_refused_in_npy() -> None:
    rows = MIXED.rows(4, random.Random(2))
    read = pandas.read_csv(io.BytesIO(FORMS["csv_header"].write(MIXED, rows)))
    assert read.to_numpy().tolist() == rows
    with pytest.raises(SpecError, match=r"columns of text cannot be written as \.npy"):
        FORMS["npy"].write(MIXED, rows)


def test_npy_header_is_aligned_for_every_shape() -> None:
    for width in range(1, 40):
        wide = columns.unnamed(width, "a test")
        rows = wide.rows(2, random.Random(3))
        assert numpy.load(io.BytesIO(FORMS["npy"].write(wide, rows))).tolist() == rows

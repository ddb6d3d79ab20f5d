"""The beginning of a data file: as many rows as asked for, and bytes that still read."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy
import pytest

from harness.pipelines.cutting import cut, has_header


def made(folder: Path, data: bytes) -> Path:
    (folder / "data").write_bytes(data)
    return folder / "data"


def test_a_table_is_cut_between_records(tmp_path: Path) -> None:
    data = b'a,b\n1,"x\ny"\n2,z\n3,w\n'
    found = cut(made(tmp_path, data), "csv", 2)
    assert found is not None
    assert (found.body, found.rows, found.rows_cut) == (b'a,b\n1,"x\ny"\n2,z\n', 2, 1)


def test_what_is_short_enough_stays_byte_for_byte(tmp_path: Path) -> None:
    for data, kind in (
        (b"\xef\xbb\xbf1,2\r\n3,4", "csv"),
        (b"[ 1,2 ]\n", "json"),
        (b"x\n\n", "jsonl"),
    ):
        found = cut(made(tmp_path, data), kind, 5)
        assert found is not None
        assert (found.body, found.rows_cut) == (data, 0)


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_json_is_cut(kind: str, tmp_path: Path) -> None:
    rows = [{"a": number} for number in range(9)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    data = json.dumps(rows) if kind == "json" else lines
    found = cut(made(tmp_path, data.encode()), kind, 4)
    assert found is not None
    assert (found.rows, found.rows_cut) == (4, 5)
    text = found.body.decode()
    left = json.loads(text) if kind == "json" else [json.loads(line) for line in text.splitlines()]
    assert left == rows[:4]


@pytest.mark.parametrize(
    "array", [numpy.arange(24.0).reshape(6, 2, 2), numpy.array(["ab", "c", "d"])]
)
def test_an_array_is_cut_along_its_first_dimension(array: numpy.ndarray, tmp_path: Path) -> None:  # type: ignore[type-arg]
    data = io.BytesIO()
    numpy.save(data, array)
    found = cut(made(tmp_path, data.getvalue()), "npy", 2)
    assert found is not None
    assert (found.rows, found.rows_cut) == (2, len(array) - 2)
    assert (numpy.load(io.BytesIO(found.body)) == array[:2]).all()


def header_of(text: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"{", "json"),
        (b"[" * 100_000, "json"),
        (b"\x93NUMPY\x01\x00\xff\xff{}", "npy"),
        (header_of(b"(" * 9_000), "npy"),
        (header_of(b"{'shape': 'x', 'descr': '<f8', 'fortran_order': 0}"), "npy"),
        (header_of(b"{'shape': (9, None), 'descr': '<', 'fortran_order': 0}"), "npy"),
        (b"\xff\xfe,\n", "csv"),
        (b"PAR1", "parquet"),
    ],
)
def test_what_is_not_what_it_says_is_sent_whole(data: bytes, kind: str, tmp_path: Path) -> None:
    found = cut(made(tmp_path, data), kind, 2)
    assert found is not None
    assert (found.body, found.rows) == (data, None)


@pytest.mark.parametrize(
    ("rows", "there"),
    [
        ([["a", "b"], ["1", "x"]], True),
        ([["a", "b"]], True),
        ([["1", "2"], ["3", "4"]], False),
        ([["x", "y"], ["z", "w"]], False),
        ([["a", "a"], ["1", "2"]], False),
        ([["a", ""], ["1", "2"]], False),
        ([], False),
    ],
)
def test_header(rows: list[list[str]], there: bool) -> None:
    assert has_header(rows) is there

"""What a file is, told by its content first."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy
import pytest

from harness.artifacts import formats


def tar_gz() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("model.bin"))
    return data.getvalue()


def npy(**arrays: object) -> bytes:
    data = io.BytesIO()
    if arrays:
        numpy.savez(data, **arrays)  # type: ignore[arg-type]
    else:
        numpy.save(data, numpy.arange(3))
    return data.getvalue()


def zipped(name: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(name, "x")
    return data.getvalue()


CASES = {
    "rows.csv": (b"a,b\n1,2\n", "csv"),
    "one_column.csv": (b"a\n1\n", "csv"),
    "part-0000": (b"a,b\n1,2\n", "csv"),
    "text.txt": (b"a, b\n", "text"),
    "notes": (b"nothing of the kind\n", "text"),
    "tabs.tsv": (b"a\tb\n", "tsv"),
    "a.json": (b'{"a": [1,\n 2]}\n', "json"),
    "lines.json": (b'{"a": 1}\n{"a": 2}\n', "jsonl"),
    "a.jsonl": (b'{"a": 1}\n{"a": 2}\n', "jsonl"),
    "renamed.csv": (b'[{"a": 1}]', "json"),
    "broken.json": (b'{"a": ', "text"),
    "a.parquet": (b"PAR1....PAR1", "parquet"),
    "renamed.bin": (b"PAR1....PAR1", "parquet"),
    "a.npy": (npy(), "npy"),
    "a.npz": (npy(x=numpy.arange(2)), "npz"),
    "a.pkl": (pickle.dumps({}), "pickle"),
    "a.joblib": (pickle.dumps({}), "joblib"),
    "model.tar.gz": (tar_gz(), "tar.gz"),
    "renamed.dat": (tar_gz(), "tar.gz"),
    "a.csv.gz": (gzip.compress(b"a,b\n" * 500), "gzip"),
    "a.pt": (zipped("archive/data.pkl"), "pytorch"),
    "a.zip": (zipped("x.txt"), "zip"),
    "model.onnx": (b"\x08\x07\x12\x00", "onnx"),
    "a.csv": (b"\xff\xfe\x00broken", "unknown"),
    "empty": (b"", "text"),
}


@pytest.mark.parametrize("name", CASES)
def test_format_of_a_file(name: str, tmp_path: Path) -> None:
    content, expected = CASES[name]
    (tmp_path / name).write_bytes(content)
    assert formats.detect(tmp_path / name) == expected


def test_a_look_that_ends_in_the_middle(tmp_path: Path) -> None:
    """Of a large file only the beginning is looked at, whatever is cut in two there."""
    (tmp_path / "a.csv").write_bytes("é,ü\n".encode() * 20_000)
    (tmp_path / "a.json").write_bytes(b"[" + b'{"a": 1},' * 20_000 + b"1]")
    (tmp_path / "a.jsonl").write_bytes(b'{"a": "bcdefg"}\n' * 20_000)
    assert [formats.detect(tmp_path / name) for name in ("a.csv", "a.json", "a.jsonl")] == [
        "csv",
        "json",
        "jsonl",
    ]


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(bytes(1 << 24)))
    assert formats.detect(tmp_path / "bomb.tar.gz") == "gzip"

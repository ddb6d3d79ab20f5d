"""What a file is: by its first bytes where a format has any of its own, else by its extension.

Only the standard library looks, and nothing is unpickled: the file may come from anywhere.
"""

import csv
import json
import os
import zlib
from pathlib import Path

from harness import media_types

LOOK_BYTES = 65_536
TAR_HEADER_BYTES = 512
UNKNOWN = "unknown"
DIRECTORY = "directory"

MAGIC = (
    (b"PAR1", "parquet"),
    (b"\x93NUMPY", "npy"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"ARROW1", "arrow"),
    (b"Obj\x01", "avro"),
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"%PDF", "pdf"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ", "xz"),
    (b"{L\x00", "ubjson"),  # XGBoost's own binary JSON
)
OF_EXTENSION = {
    ".bst": "xgboost",
    ".cbm": "catboost",
    ".csv": "csv",
    ".htm": "html",
    ".html": "html",
    ".joblib": "joblib",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".libsvm": "libsvm",
    ".svm": "libsvm",
    ".log": "text",
    ".md": "text",
    ".onnx": "onnx",
    ".parquet": "parquet",
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".pt": "pytorch",
    ".pth": "pytorch",
    ".tsv": "tsv",
    ".txt": "text",
    ".yaml": "yaml",
    ".yml": "yaml",
}
MEDIA_TYPE = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "json": "application/json",
    "jsonl": "application/jsonlines",
    "libsvm": "text/libsvm",
    "parquet": "application/x-parquet",
    "npy": "application/x-npy",
    "npz": "application/x-npz",
    "avro": "application/avro",
    "text": "text/plain",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "pdf": "application/pdf",
}


def detect(path: Path) -> str:
    """Name the format of a file or directory; "unknown" when nothing is known of it."""
    if path.is_dir():
        return DIRECTORY
    try:
        with path.open("rb") as file:
            head = file.read(LOOK_BYTES)
    except OSError:
        return UNKNOWN
    return of_content(head, path.name, whole=len(head) < LOOK_BYTES)


def of_content(head: bytes, name: str, *, whole: bool) -> str:
    """Name the format of a file by its first bytes and its name; whole: they are all of it."""
    if head.startswith((b"\x1f\x8b", b"PK\x03\x04")):
        return _archive(head)
    for magic, found in MAGIC:
        if head.startswith(magic):
            return found
    known = _of_name(name)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return known if known in ("joblib", "pytorch") else "pickle"
    if head[257:262] == b"ustar":
        return "tar"
    text = _as_text(head, whole=whole)
    if text is None:
        return known if known not in MEDIA_TYPE else UNKNOWN
    return _of_text(text, known, whole=whole)


def media_type(path: Path, found: str) -> str | None:
    """Give the content type that a file of a format is sent under; None when there is none."""
    return MEDIA_TYPE.get(found) or media_types.of_extension(path.name)


def _of_name(name: str) -> str:
    return OF_EXTENSION.get(os.path.splitext(name)[1].lower(), UNKNOWN)


def _archive(head: bytes) -> str:
    """Tell what a gzip or zip file holds by its first bytes, however much it would unpack to."""
    if head.startswith(b"\x1f\x8b"):
        try:
            first = zlib.decompressobj(wbits=31).decompress(head, TAR_HEADER_BYTES)
        except zlib.error:
            return "gzip"
        return "tar.gz" if first[257:262] == b"ustar" else "gzip"
    first_name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    if first_name.endswith(b".npy"):
        return "npz"
    return "pytorch" if first_name.endswith(b"/data.pkl") else "zip"


def _as_text(head: bytes, *, whole: bool) -> str | None:
    if b"\0" in head:
        return None
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The look may have ended in the middle of a character.
        cut = not whole and error.start > len(head) - 4
        return head[: error.start].decode("utf-8") if cut else None


def _of_text(text: str, known: str, *, whole: bool) -> str:
    if known not in ("csv", "tsv", "json", "jsonl", "text", UNKNOWN):
        return known
    lines = [line for line in text.splitlines() if line.strip()]
    lines = lines if whole or len(lines) < 2 else lines[:-1]
    if text.lstrip()[:1] in ("{", "["):
        return _of_json(text, lines, whole=whole) or (known if known != "json" else "text")
    if known in ("csv", "tsv"):
        return known
    if known == UNKNOWN and _has_columns(lines):
        return "csv"
    return "text" if lines else (known if known != UNKNOWN else "text")


def _of_json(text: str, lines: list[str], *, whole: bool) -> str | None:
    if len(lines) > 1 and all(_is_json(line) for line in lines[:20]):
        return "jsonl"
    return "json" if not whole or _is_json(text) else None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _has_columns(lines: list[str]) -> bool:
    try:
        counts = {len(row) for row in csv.reader(lines[:50])}
    except csv.Error:
        return False
    return len(counts) == 1 and counts.pop() > 1

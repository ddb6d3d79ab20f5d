"""Which media type a payload has, judged by its name alone; artifacts/ decides which name to ask.

The SageMaker spellings are used where the registered ones differ: `application/jsonlines`,
`application/x-npy`, `application/x-parquet`, `text/libsvm`, `application/x-recordio-protobuf`.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final

_OF_SUFFIX: Final = {
    "avro": "application/avro",
    "bin": "application/octet-stream",
    "bmp": "image/bmp",
    "csv": "text/csv",
    "flac": "audio/flac",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "jsonl": "application/jsonlines",
    "libsvm": "text/libsvm",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "ndjson": "application/jsonlines",
    "npy": "application/x-npy",
    "npz": "application/x-npz",
    "ogg": "audio/ogg",
    "parquet": "application/x-parquet",
    "pb": "application/x-recordio-protobuf",
    "pdf": "application/pdf",
    "png": "image/png",
    "recordio": "application/x-recordio-protobuf",
    "svm": "text/libsvm",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "tsv": "text/tab-separated-values",
    "txt": "text/plain",
    "wav": "audio/wav",
    "webp": "image/webp",
    "xml": "application/xml",
}

# Words for a kind of payload that nobody uses as a file extension.
_OF_WORD: Final = {
    "binary": "application/octet-stream",
    "jsonlines": "application/jsonlines",
    "numpy": "application/x-npy",
    "protobuf": "application/x-recordio-protobuf",
    "text": "text/plain",
}

_KIND_ENDING: Final = "_samples"
_TOP_LEVEL: Final = "application|audio|font|image|message|model|multipart|text|video"
_FLATTENED: Final = re.compile(rf"({_TOP_LEVEL})_([a-z0-9][a-z0-9!#$&^_.+-]*)")
_PAYLOAD_NAME: Final = re.compile(r"payload_(.+)_[0-9]+(\.[a-z0-9]+)?")

_TEXTUAL: Final = frozenset(
    {
        "application/javascript",
        "application/json",
        "application/jsonlines",
        "application/x-ndjson",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/yaml",
    }
)


def of_extension(name: str) -> str | None:
    """Tell the media type that a file's last extension stands for; None when it stands for none."""
    return _OF_SUFFIX.get(PurePath(name).suffix.removeprefix(".").lower())


def of_kind(directory_name: str) -> str | None:
    """Tell the media type of a `<kind>_samples` directory; None for any other directory.

    The kind is a file extension (`csv_samples`), a word (`text_samples`) or a whole media type with
    an underscore for its slash (`application_x-parquet_samples`).
    """
    name = directory_name.lower()
    if not name.endswith(_KIND_ENDING):
        return None
    kind = name.removesuffix(_KIND_ENDING)
    return _OF_SUFFIX.get(kind) or _OF_WORD.get(kind) or _unflatten(kind)


def of_payload_name(file_name: str) -> str | None:
    """Tell the media type written into `payload_<type>_<subtype>_<number>.<extension>`.

    The extension may be missing and is not looked at. None when the name has another form.
    """
    match = _PAYLOAD_NAME.fullmatch(file_name.lower())
    return _unflatten(match[1]) if match else None


def is_textual(content_type: str) -> bool:
    """Tell whether a body of this media type is text; parameters such as charset are ignored."""
    kind = essence(content_type)
    return kind.startswith("text/") or kind.endswith(("+json", "+xml")) or kind in _TEXTUAL


def essence(content_type: str | None) -> str:
    """Give a media type without its parameters, in lower case; nothing for none."""
    return (content_type or "").partition(";")[0].strip().lower()


def _unflatten(text: str) -> str | None:
    """Give the slash back to `text_csv`; None when no media type was flattened into the text."""
    match = _FLATTENED.fullmatch(text)
    return f"{match[1]}/{match[2]}" if match else None

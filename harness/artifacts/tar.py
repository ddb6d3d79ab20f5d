"""Read the members of a tar stream, strictly; `members` judges them and `archive` writes them.

The reader of `tarfile` is not used: it takes a damaged header for the end of the archive, holds
headers of any size in memory, and recurses once per extension header. `TarInfo.frombuf` decodes
the single header blocks.
"""

from __future__ import annotations

import math
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness.artifacts.compression import Stream, describe
from harness.errors import PackageError

Kind = Literal["file", "directory", "symlink", "hard link"]

_BLOCK = tarfile.BLOCKSIZE
_ZERO_BLOCK = bytes(_BLOCK)
_MAX_EXTENSION_BYTES = 1 << 20
_MAX_EXTENSIONS = 16
_MAX_MTIME_S = 1 << 33

_KINDS: dict[bytes, Kind] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hard link",
}
_REFUSED = {
    tarfile.CHRTYPE: "is a character device; leave it out",
    tarfile.BLKTYPE: "is a block device; leave it out",
    tarfile.FIFOTYPE: "is a fifo; leave it out",
    tarfile.GNUTYPE_SPARSE: "is a sparse file; pack it without --sparse",
}
_PAX_LOCAL = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_PAX_KEYS = frozenset({"path", "linkpath", "size", "mtime"})


@dataclass(frozen=True)
class Member:
    """One member as its headers describe it; `name` and `target` are as hostile as the file.

    `size` is that of the content in bytes, 0 for all but files. `mtime` is in seconds since the
    epoch, None when the header holds nothing sensible.
    """

    name: str
    kind: Kind
    size: int
    target: str
    executable: bool
    mtime: float | None


def read(stream: Stream) -> Iterator[Member]:
    """Yield each member; after a file, its content is what `stream` gives next.

    Content that the caller does not take is passed over. After the last member the rest of the
    stream is read to its end and must be zeros.

    Raises:
        PackageError: not a tar, a damaged header, a member that is no file, directory or link,
            data that stops too early or goes on after the end.
    """
    extensions: dict[str, str] = {}
    count = 0
    while (block := _block(stream)) != _ZERO_BLOCK:
        header = _header(block, stream)
        if _is_extension(header.type):
            count += 1
            if count > _MAX_EXTENSIONS:
                raise PackageError(
                    f"holds more than {_MAX_EXTENSIONS} extension headers before one member; "
                    "pack it again with a standard tar"
                )
            extensions = _extension(header, stream) | extensions  # as tarfile: the first wins
            continue
        member = _member(header, extensions)
        extensions, count = {}, 0
        yield from _with_content(member, stream)
    if extensions:
        raise PackageError("ends after an extension header, without its member; pack it again")
    _read_end(stream)


def _block(stream: Stream) -> bytes:
    start = stream.position
    block = stream.take(_BLOCK)
    if len(block) == _BLOCK:
        return block
    if start == 0:
        raise PackageError(_not_a_tar(block))
    raise PackageError(
        f"is truncated: it stops at byte {stream.position} of the tar without its end mark; "
        "copy or build it again"
    )


def _header(block: bytes, stream: Stream) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as error:
        if stream.position == _BLOCK:
            raise PackageError(_not_a_tar(block)) from error
        raise PackageError(
            f"holds a damaged tar header at byte {stream.position - _BLOCK} ({error}); "
            "copy or build it again"
        ) from error


def _not_a_tar(block: bytes) -> str:
    found = describe(block)
    return (
        "holds no tar archive"
        + (f" but {found}" if found else "")
        + "; pack the content of the model directory with: tar -czf model.tar.gz -C model ."
    )


def _is_extension(kind: bytes) -> bool:
    return kind in _PAX_LOCAL or kind in (
        tarfile.XGLTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    )


def _extension(header: tarfile.TarInfo, stream: Stream) -> dict[str, str]:
    """Read what an extension header says of the next member."""
    if not 0 <= header.size <= _MAX_EXTENSION_BYTES:
        raise PackageError(
            f"holds an extension header of {header.size} bytes, more than "
            f"{_MAX_EXTENSION_BYTES}; pack it again with a standard tar"
        )
    data = stream.take(header.size)
    if len(data) < header.size or not _skip_padding(header.size, stream):
        raise PackageError("is truncated inside an extension header; copy or build it again")
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": _text(data.split(b"\0", 1)[0])}
    if header.type == tarfile.GNUTYPE_LONGLINK:
        return {"linkpath": _text(data.split(b"\0", 1)[0])}
    records = _pax_records(data)
    if any(key.startswith("GNU.sparse.") for key in records):
        raise PackageError("holds a sparse file (pax form); pack it without --sparse")
    records = {key: value for key, value in records.items() if key in _PAX_KEYS}
    if header.type == tarfile.XGLTYPE:
        if wrong := sorted(records.keys() - {"mtime"}):
            raise PackageError(
                f"holds a global pax header that sets {wrong[0]!r} for all members; pack it "
                "again with a standard tar"
            )
        return {}
    return records


def _pax_records(data: bytes) -> dict[str, str]:
    """Split "length key=value newline" records (POSIX pax, extended header)."""
    records: dict[str, str] = {}
    while data:
        digits, _, _ = data[:20].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record, data = data[:length], data[length:]
        key, equals, value = record[len(digits) + 1 :].partition(b"=")
        if len(record) != length or not equals or not key or not value.endswith(b"\n"):
            raise PackageError("holds a pax header that is not well formed; pack it again")
        records[_text(key)] = _text(value[:-1])
    return records


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _member(header: tarfile.TarInfo, extensions: dict[str, str]) -> Member:
    name = extensions.get("path", header.name)
    if header.type in _REFUSED:
        raise PackageError(f"member {show(name)} {_REFUSED[header.type]}")
    if header.type not in _KINDS:
        raise PackageError(
            f"member {show(name)} is of the unknown type {_text(header.type)!r}; "
            "pack only files and directories"
        )
    kind = _KINDS[header.type]
    size = _size(name, extensions.get("size", header.size))
    return Member(
        name=name,
        kind=kind,
        size=size if kind == "file" else 0,  # as tarfile: no content follows the others
        target=extensions.get("linkpath", header.linkname),
        executable=bool(header.mode & 0o111),
        mtime=_mtime(extensions.get("mtime", header.mtime)),
    )


def _size(name: str, value: str | int) -> int:
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) < 20):
        raise PackageError(f"member {show(name)} has the size {value[:20]!r}; pack it again")
    size = int(value)
    if size < 0:
        raise PackageError(f"member {show(name)} has a negative size, {size}; pack it again")
    return size


def _mtime(value: str | float) -> float | None:
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and 0 <= seconds < _MAX_MTIME_S else None


def _with_content(member: Member, stream: Stream) -> Iterator[Member]:
    end = stream.position + member.size
    yield member
    for _ in stream.chunks(end - stream.position):
        pass
    if stream.position < end or not _skip_padding(member.size, stream):
        missing = f"{member.size - max(0, end - stream.position)} of its {member.size} bytes"
        raise PackageError(
            f"is truncated: member {show(member.name)} has {missing}; copy or build it again"
        )


def _skip_padding(size: int, stream: Stream) -> bool:
    padding = -size % _BLOCK
    return len(stream.take(padding)) == padding


def _read_end(stream: Stream) -> None:
    while rest := stream.take(1 << 20):
        if rest.count(0) != len(rest):
            raise PackageError(
                "holds data after the end mark of the tar, which no reader would see "
                "(archives glued together?); pack it again"
            )


def show(name: str) -> str:
    """Quote a hostile name on one line, shortened, with all that is not printable escaped."""
    return repr(name if len(name) <= 120 else f"{name[:60]}...{name[-57:]}")

"""Read a compressed file as a bounded stream of bytes; `tar` knows what the bytes mean."""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from harness.artifacts.limits import ArchiveLimits
from harness.errors import PackageError

try:  # the extra `fast`: igzip unpacks twice as fast
    _deflate: Any = importlib.import_module("isal.isal_zlib")
except ImportError:
    _deflate = zlib

_CHUNK_BYTES = 1 << 18
_LZMA_MEMORY_BYTES = 512 << 20  # `xz -9` needs 65 MiB
_ZSTD_WINDOW_LOG = 27  # 128 MiB, what `zstd` itself accepts unless told otherwise
_RATIO_FREE_BYTES = 64 << 20
_LONGEST_MAGIC = 8

_COMPRESSED = {
    "gzip": b"\x1f\x8b",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
    "zstd": b"\x28\xb5\x2f\xfd",
}
_FOREIGN = {
    "a zip archive": b"PK\x03\x04",
    "an empty zip archive": b"PK\x05\x06",
    "a 7z archive": b"7z\xbc\xaf\x27\x1c",
    "a rar archive": b"Rar!\x1a\x07",
    "lz4 data": b"\x04\x22\x4d\x18",
    "an old .Z file": b"\x1f\x9d",
    "lzma data of the old form": b"\x5d\x00\x00",
}


class Source(Protocol):
    """What is read here of a file."""

    def read(self, size: int = -1, /) -> bytes:
        """Give so many bytes, fewer only at the end."""

    def seek(self, offset: int, /) -> int:
        """Go to an offset from the start."""


class Stream:
    """The unpacked bytes of one file, counted as they are produced and never more than allowed.

    `position` is the number of bytes taken so far. Faults are `PackageError`, without the name
    of the file.
    """

    def __init__(self, raw: Source, *, archive_bytes: int, limits: ArchiveLimits) -> None:
        head = raw.read(_LONGEST_MAGIC)
        raw.seek(0)
        self.compression = _detect(head)
        self._read = _reader(self.compression, raw)
        self._archive_bytes = archive_bytes
        self._limits = limits
        self._buffer = memoryview(b"")
        self._produced = 0
        self.position = 0

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end of the data."""
        return b"".join(self.chunks(size))

    def chunks(self, size: int) -> Iterator[memoryview]:
        """Yield the next `size` bytes piece by piece, fewer only at the end of the data."""
        while size:
            if not self._buffer:
                self._buffer = memoryview(self._fill())
                if not self._buffer:
                    return
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(piece)
            self.position += len(piece)
            yield piece

    def _fill(self) -> bytes:
        try:
            data = self._read(_CHUNK_BYTES)
        except EOFError as error:
            raise PackageError(
                f"is truncated: its {self.compression} data stops after {self._produced} bytes "
                "unpacked; copy or build it again"
            ) from error
        except MemoryError as error:
            raise PackageError(_too_much_memory(self.compression)) from error
        except OSError as error:
            if error.errno is None:  # bz2 has no exception of its own for damaged data
                raise PackageError(_broken(self.compression, error)) from error
            raise PackageError(f"cannot be read: {error}; check the file and its disk") from error
        except (_deflate.error, lzma.LZMAError, ValueError) as error:
            raise PackageError(_broken(self.compression, error)) from error
        self._produced += len(data)
        self._check()
        return data

    def _check(self) -> None:
        limits = self._limits
        if self._produced > limits.max_bytes:
            raise PackageError(
                f"unpacks to more than {limits.max_bytes} bytes; remove what serving does not "
                "need, or raise ArchiveLimits.max_bytes"
            )
        if self._produced > max(_RATIO_FREE_BYTES, limits.max_ratio * self._archive_bytes):
            raise PackageError(
                f"unpacks to more than {limits.max_ratio} times its own size of "
                f"{self._archive_bytes} bytes, as a decompression bomb does; if its files "
                "really are that uniform, raise ArchiveLimits.max_ratio"
            )


def describe(head: bytes) -> str | None:
    """Name the format of data that is no tar, when its first bytes tell."""
    for name, magic in _COMPRESSED.items():
        if head.startswith(magic):
            return f"{name} data"
    return next((name for name, magic in _FOREIGN.items() if head.startswith(magic)), None)


def _detect(head: bytes) -> str:
    if not head:
        raise PackageError("is an empty file; build it again")
    for name, magic in _COMPRESSED.items():
        if head.startswith(magic):
            return name
    return "plain"


def _reader(compression: str, raw: Source) -> Callable[[int], bytes]:
    match compression:
        case "gzip":
            return _Frames(raw, _Gzip, _COMPRESSED["gzip"]).read
        case "bzip2":
            return _Frames(raw, bz2.BZ2Decompressor, _COMPRESSED["bzip2"]).read
        case "xz":
            return _Frames(raw, _xz, _COMPRESSED["xz"]).read
        case "zstd":
            return _zstd_reader(raw)
        case _:
            return raw.read


class _Decoder(Protocol):
    """The part of `bz2.BZ2Decompressor` that its siblings share."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """Give zlib's gzip decoder, or igzip's, the shape of the other decoders."""

    def __init__(self) -> None:
        self._decoder = _deflate.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return bool(self._decoder.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._decoder.unused_data)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        produced: bytes = self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)
        # A full answer may leave more inside zlib although all input was consumed.
        self.needs_input = not self._decoder.unconsumed_tail and len(produced) < max_length
        return produced


def _xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY_BYTES)


class _Frames:
    """Read compressed frames one after another; only zeros may stand between and after them.

    `bz2.BZ2File` and `lzma.LZMAFile` are not used because they pass over trailing garbage.
    """

    def __init__(self, raw: Source, new: Callable[[], _Decoder], magic: bytes) -> None:
        self._raw = raw
        self._new = new
        self._magic = magic
        self._decoder = new()
        self._pending = b""

    def read(self, size: int) -> bytes:
        while True:
            if self._decoder.eof:
                if not self._next_frame():
                    return b""
                continue
            if self._decoder.needs_input and not self._pending:
                self._pending = self._raw.read(_CHUNK_BYTES)
                if not self._pending:
                    raise EOFError
            data = self._decoder.decompress(self._pending, size)
            self._pending = self._decoder.unused_data
            if data:
                return data

    def _next_frame(self) -> bool:
        while True:
            self._pending = self._pending.lstrip(b"\0")
            if len(self._pending) >= len(self._magic):
                break
            more = self._raw.read(_CHUNK_BYTES)
            if not more:
                break
            self._pending += more
        if not self._pending:
            return False
        if not self._pending.startswith(self._magic):
            raise PackageError(
                "has trailing garbage after its compressed data; copy or build it again"
            )
        self._decoder = self._new()
        return True


def _zstd_reader(raw: Source) -> Callable[[int], bytes]:
    """Use the standard library (3.14) or the `zstandard` package, whichever this Python has."""
    try:
        zstd: Any = importlib.import_module("compression.zstd")
    except ImportError:
        return _zstandard_reader(raw)

    def new() -> _Decoder:
        options = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        decoder: _Decoder = zstd.ZstdDecompressor(options=options)
        return decoder

    return _guarded(_Frames(raw, new, _COMPRESSED["zstd"]).read, zstd.ZstdError)


def _zstandard_reader(raw: Source) -> Callable[[int], bytes]:
    try:
        zstandard: Any = importlib.import_module("zstandard")
    except ImportError as error:
        raise PackageError(
            "is compressed with zstd, which this Python cannot read; install the zstandard "
            "package, use Python 3.14, or pack it as .tar.gz, which is what SageMaker takes"
        ) from error
    decoder = zstandard.ZstdDecompressor(max_window_size=1 << _ZSTD_WINDOW_LOG)
    reader = decoder.stream_reader(raw, read_across_frames=True)
    return _guarded(reader.read, zstandard.ZstdError)


def _guarded(read: Callable[[int], bytes], fault: type[Exception]) -> Callable[[int], bytes]:
    def guarded(size: int) -> bytes:
        try:
            return read(size)
        except fault as error:
            raise ValueError(str(error)) from error

    return guarded


def _broken(compression: str, error: Exception) -> str:
    if "memory usage limit" in str(error).lower():
        return _too_much_memory(compression)
    return f"holds damaged {compression} data ({error}); copy or build it again"


def _too_much_memory(compression: str) -> str:
    return f"takes too much memory to unpack as {compression}; pack it at a lower level"

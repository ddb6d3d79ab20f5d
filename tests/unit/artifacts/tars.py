"""Build tar archives block by block, also those that no honest writer makes."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass

BLOCK = 512
END = bytes(2 * BLOCK)


@dataclass(frozen=True)
class Raw:
    """One member as raw header fields; `declared_size` lies about the length of `data`."""

    name: bytes
    data: bytes = b""
    kind: bytes = tarfile.REGTYPE
    target: bytes = b""
    mode: int = 0o644
    declared_size: int | None = None

    def block(self) -> bytes:
        size = len(self.data) if self.declared_size is None else self.declared_size
        return header(self.name, size, self.kind, self.target, self.mode) + padded(self.data)


def header(
    name: bytes, size: int, kind: bytes = b"0", target: bytes = b"", mode: int = 0o644
) -> bytes:
    block = bytearray(BLOCK)
    block[0:100] = name[:100].ljust(100, b"\0")
    block[100:108] = b"%07o\0" % mode
    block[108:124] = b"0000000\0" * 2
    block[124:136] = number(size)
    block[136:148] = b"%011o\0" % 1_700_000_000
    block[156:157] = kind
    block[157:257] = target[:100].ljust(100, b"\0")
    block[257:265] = b"ustar\x0000"
    return with_checksum(block)


def number(value: int) -> bytes:
    """Encode as octal digits, or in base 256 (GNU) when these cannot hold the value."""
    if 0 <= value < 8**11:
        return b"%011o\0" % value
    lead = b"\xff" if value < 0 else b"\x80"
    return lead + (value % 256**11).to_bytes(11, "big")


def with_checksum(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def tar_of(*members: Raw, end: bytes = END) -> bytes:
    return b"".join(member.block() for member in members) + end


def file(name: str, data: bytes = b"x") -> Raw:
    return Raw(name.encode(), data)


def folder(name: str) -> Raw:
    return Raw(name.encode(), kind=tarfile.DIRTYPE, mode=0o755)


def symlink(name: str, target: str) -> Raw:
    return Raw(name.encode(), kind=tarfile.SYMTYPE, target=target.encode())


def hard_link(name: str, target: str) -> Raw:
    return Raw(name.encode(), kind=tarfile.LNKTYPE, target=target.encode())


def pax(kind: bytes = tarfile.XHDTYPE, **records: bytes) -> Raw:
    """Make an extended header; `GNU__sparse__major` stands for the key GNU.sparse.major."""
    lines = b""
    for key, value in records.items():
        text = b" %s=%s\n" % (key.replace("__", ".").encode(), value)
        length = len(text) + 1
        while len(b"%d" % length) + len(text) != length:
            length = len(b"%d" % length) + len(text)
        lines += b"%d%s" % (length, text)
    return Raw(b"pax", lines, kind=kind)


def long_name(name: bytes, kind: bytes = tarfile.GNUTYPE_LONGNAME) -> Raw:
    return Raw(b"././@LongLink", name + b"\0", kind=kind)

"""Hostile and broken archives: each is refused with its own message and leaves nothing behind."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from harness.artifacts.archive import ArchiveLimits, unpack
from harness.artifacts.workspace import RunDirectory
from harness.errors import PackageError
from tests.unit.artifacts.tars import (
    END,
    Raw,
    file,
    folder,
    hard_link,
    header,
    long_name,
    pax,
    symlink,
    tar_of,
)

pytestmark = pytest.mark.usefixtures("deflate")

HONEST = file("code/inference.py", b"def model_fn(model_dir): ...\n")


class Hostile(NamedTuple):
    name: str
    build: Callable[[], bytes]
    message: str
    limits: ArchiveLimits = ArchiveLimits()


def tar(*members: Raw) -> Callable[[], bytes]:
    """An archive whose honest first member has been written when the hostile one comes."""
    return lambda: gzip.compress(tar_of(HONEST, *members), 1)


def packed(data: bytes) -> Callable[[], bytes]:
    return lambda: gzip.compress(data, 1)


def random_bytes(size: int) -> bytes:
    """Bytes that do not compress, the same in every run."""
    return b"".join(zlib.crc32(b"%d" % n).to_bytes(4, "big") for n in range(size // 4))


def zip_file() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("code/inference.py", "x = 1\n")
    return target.getvalue()


def many_members() -> bytes:
    return gzip.compress(b"".join(header(b"f%d" % n, 0) for n in range(100_000)) + END, 1)


def xz_with_a_dictionary_of_4_gib() -> bytes:
    data = bytearray(lzma.compress(tar_of(HONEST), check=lzma.CHECK_CRC32))
    block, size = 12, (data[12] + 1) * 4  # after the stream header; see the .xz format, 3.1
    assert data[block + 2] == 0x21, "the LZMA2 filter"
    data[block + 4] = 40  # 4 GiB - 1
    checked = bytes(data[block : block + size - 4])
    data[block + size - 4 : block + size] = zlib.crc32(checked).to_bytes(4, "little")
    return bytes(data)


def damaged(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def sparse_header() -> Raw:
    return Raw(b"sparse.bin", kind=tarfile.GNUTYPE_SPARSE)


def recursive_pax(count: int) -> tuple[Raw, ...]:
    return tuple(pax(comment=b"again") for _ in range(count))


BIG = random_bytes(300_000)

TABLE = [
    # names
    Hostile("absolute", tar(file("/etc/evil")), r"member '/etc/evil' has an absolute name"),
    Hostile("two slashes", tar(file("//etc/evil")), "has an absolute name"),
    Hostile("parent", tar(file("../evil")), r"member '\.\./evil' has '\.\.' in its name"),
    Hostile("parent inside", tar(file("code/../../evil")), r"has '\.\.' in its name"),
    Hostile("parent as the end", tar(folder("code/..")), r"has '\.\.' in its name"),
    Hostile("parent harmless", tar(file("code/../x")), r"has '\.\.' in its name"),
    Hostile("drive letter", tar(file("C:evil")), "has a drive letter in its name"),
    Hostile("drive letter inside", tar(file("a/D:/evil")), "has a drive letter in its name"),
    Hostile("backslash", tar(file("..\\..\\evil")), "has a backslash in its name"),
    Hostile("empty", tar(Raw(b"")), "member '' has an empty name"),
    Hostile("file without a name", tar(file("./.")), "has no name of its own"),
    Hostile("newline", tar(file("a\nb")), r"member 'a\\nb' has a newline or control character"),
    Hostile("escape sequence", tar(file("a\x1b[2Jb")), r"member 'a\\x1b\[2Jb' has a newline or"),
    Hostile("line separator", tar(file("a\u2028b")), "has a newline or control character"),
    Hostile("trailing space", tar(file("code /x")), "ends in a space or a dot"),
    Hostile("trailing dot", tar(file("code./x")), "ends in a space or a dot"),
    Hostile("only dots", tar(file("code/...")), "ends in a space or a dot"),
    Hostile(
        "not UTF-8", tar(Raw(b"caf\xe9.py")), r"member 'caf\\udce9\.py' has a name that is not"
    ),
    Hostile("long part", tar(long_name(b"n" * 256), file("x")), "has a part longer than 255 bytes"),
    Hostile("long name", tar(long_name(b"n/" * 600), file("x")), "a name longer than 1024 bytes"),
    Hostile("deep", tar(long_name(b"d/" * 65 + b"x"), file("x")), "lies deeper than 64 levels"),
    # the same through extension headers
    Hostile("GNU long name", tar(long_name(b"../" * 50 + b"e"), file("x")), r"has '\.\.' in its"),
    Hostile("pax path", tar(pax(path=b"../evil"), file("x")), r"has '\.\.' in its name"),
    Hostile("pax absolute", tar(pax(path=b"/etc/evil"), file("x")), "has an absolute name"),
    Hostile("pax NUL", tar(pax(path=b"ok\0/../x"), file("x")), "has a NUL byte in its name"),
    Hostile("pax empty", tar(pax(path=b""), file("x")), "has an empty name"),
    Hostile("pax not UTF-8", tar(pax(path=b"\xff"), file("x")), "has a name that is not UTF-8"),
    Hostile(
        "pax link",
        tar(pax(linkpath=b"/etc/passwd"), symlink("l", "inside")),
        "is a symlink to the absolute path '/etc/passwd'",
    ),
    Hostile(
        "GNU long link",
        tar(long_name(b"../../evil", tarfile.GNUTYPE_LONGLINK), symlink("l", "inside")),
        r"is a symlink to '\.\./\.\./evil', which leaves the archive",
    ),
    Hostile("pax global path", tar(pax(tarfile.XGLTYPE, path=b"x"), file("y")), "sets 'path' for"),
    Hostile("pax global size", tar(pax(tarfile.XGLTYPE, size=b"9"), file("y")), "sets 'size' for"),
    Hostile("pax negative size", tar(pax(size=b"-512"), file("x")), "has the size '-512'"),
    Hostile("pax size no number", tar(pax(size=b"1e3"), file("x")), "has the size '1e3'"),
    Hostile("pax size too large", tar(pax(size=b"9" * 15), file("x")), "brings the total to more"),
    Hostile("pax broken record", tar(Raw(b"p", b"99 path=x\n", b"x")), "that is not well formed"),
    Hostile("pax no length", tar(Raw(b"p", b"path=x\n", b"x")), "that is not well formed"),
    Hostile("pax sparse", tar(pax(GNU__sparse__major=b"1"), file("x")), r"a sparse file \(pax"),
    Hostile("pax chain", tar(*recursive_pax(2_000), file("x")), "more than 16 extension headers"),
    Hostile(
        "huge extension",
        tar(Raw(b"pax", bytes(1 << 21), tarfile.XHDTYPE)),
        "an extension header of 2097152 bytes",
    ),
    Hostile(
        "huge long name that is not there",
        tar(Raw(b"l", kind=tarfile.GNUTYPE_LONGNAME, declared_size=1 << 33)),
        "an extension header of 8589934592 bytes",
    ),
    Hostile(
        "negative long name",
        tar(Raw(b"l", kind=tarfile.GNUTYPE_LONGNAME, declared_size=-512)),
        "an extension header of -512 bytes",
    ),
    Hostile("extension without member", tar(pax(path=b"x")), "ends after an extension header"),
    # links
    Hostile("symlink absolute", tar(symlink("l", "/etc")), "a symlink to the absolute path '/etc'"),
    Hostile("symlink out", tar(symlink("l", "../out")), r"a symlink to '\.\./out', which leaves"),
    Hostile("symlink out, deep", tar(symlink("a/b/l", "../../../o")), "which leaves the archive"),
    Hostile("symlink out and in", tar(symlink("l", "../model/x")), "which leaves the archive"),
    Hostile("symlink drive", tar(symlink("l", "C:/x")), "a symlink to the absolute path"),
    Hostile("symlink empty", tar(Raw(b"l", kind=b"2")), "is a symlink to nowhere"),
    Hostile("symlink newline", tar(symlink("l", "a\nb")), "a newline or control character"),
    Hostile("symlink as root", tar(symlink(".", "code")), "has no name of its own"),
    Hostile(
        "write through a link",
        tar(symlink("l", "code"), file("l/evil")),
        "member 'l/evil' lies behind the link 'l'",
    ),
    Hostile(
        "link over a directory that has content",
        tar(symlink("code", "code2")),
        "is also used as a directory by another member",
    ),
    Hostile(
        "link chain",
        tar(folder("d"), symlink("l1", "d"), symlink("l2", "l1/x")),
        "member 'l2' is part of a chain of links, with 'l1'",
    ),
    Hostile(
        "link chain, up again",
        tar(symlink("a/b/l2", "l1/../out"), symlink("a/b/l1", "../..")),
        r"is a symlink to 'l1/\.\./out', which goes up again",
    ),
    Hostile(
        "link chain, target later",
        tar(symlink("l2", "l1/x"), symlink("l1", "d")),
        "member 'l1' is part of a chain of links, with 'l2'",
    ),
    Hostile("link to itself", tar(symlink("l", "l")), "is part of a chain of links"),
    Hostile(
        "file over a link",
        tar(symlink("l", "code"), file("l")),
        "member 'l' is there twice",
    ),
    Hostile("hard link out", tar(hard_link("h", "../out")), "which leaves the archive"),
    Hostile("hard link absolute", tar(hard_link("h", "/etc/passwd")), "to the absolute path"),
    Hostile("hard link to nothing", tar(hard_link("h", "none")), "no earlier file of the archive"),
    Hostile(
        "hard link to a link",
        tar(symlink("l", "code/inference.py"), hard_link("h", "l")),
        "member 'h' is a hard link to 'l', which is no earlier file",
    ),
    Hostile(
        "hard link through a link",
        tar(symlink("l", "code"), hard_link("h", "l/inference.py")),
        "no earlier file of the archive",
    ),
    Hostile("hard link to a directory", tar(hard_link("h", "code")), "no earlier file"),
    Hostile(
        "file over a hard link",
        tar(hard_link("h", "code/inference.py"), file("h")),
        "member 'h' is there twice",
    ),
    # kinds
    Hostile("character device", tar(Raw(b"null", kind=tarfile.CHRTYPE)), "is a character device"),
    Hostile("block device", tar(Raw(b"sda", kind=tarfile.BLKTYPE)), "is a block device"),
    Hostile("fifo", tar(Raw(b"pipe", kind=tarfile.FIFOTYPE)), "is a fifo"),
    Hostile("sparse", tar(sparse_header()), "member 'sparse.bin' is a sparse file"),
    Hostile("unknown kind", tar(Raw(b"odd", kind=b"Z")), "is of the unknown type 'Z'"),
    Hostile("second volume", tar(Raw(b"part", kind=b"M")), "is of the unknown type 'M'"),
    # clashes
    Hostile("duplicate", tar(file("a"), file("a", b"y")), "member 'a' is there twice"),
    Hostile("duplicate, other spelling", tar(file("a/b"), file("./a//b")), "is there twice"),
    Hostile("case", tar(file("Model"), file("model")), "'model' differs only in case or Unicode"),
    Hostile("case of a parent", tar(file("CODE/x")), "'CODE/x' differs only in case or Unicode"),
    Hostile(
        "Unicode form", tar(file("é"), file("e\u0301")), "differs only in case or Unicode form"
    ),
    Hostile("file as directory", tar(file("a"), file("a/b")), "uses the file 'a' as a directory"),
    Hostile("directory as file", tar(file("a/b"), file("a")), "is also used as a directory"),
    Hostile("directory listed as file", tar(folder("a"), file("a")), "member 'a' is there twice"),
    # sizes
    Hostile("negative size", tar(Raw(b"n", declared_size=-1024)), "has a negative size, -1024"),
    Hostile(
        "size beyond the data",
        tar(Raw(b"big", b"abc", declared_size=1 << 20)),
        r"is truncated: member 'big' has \d+ of its 1048576 bytes",
    ),
    Hostile(
        "size short of the data",
        tar(Raw(b"small", b"z" * 2048, declared_size=512), file("next")),
        "holds a damaged tar header at byte 2048",
    ),
    Hostile("total declared", tar(Raw(b"t", declared_size=1 << 40)), "brings the total to more"),
    Hostile(
        "100,000 members",
        many_members,
        "member 'f2000' is one more than the 2000 members allowed",
        ArchiveLimits(max_members=2000),
    ),
    Hostile(
        "implied directories",
        tar(*(file(f"{n}/" + "d/" * 60 + "x") for n in range(20))),
        "is one more than the 1000 members allowed",
        ArchiveLimits(max_members=1000),
    ),
    Hostile("bomb of zeros", tar(file("z", bytes(100 << 20))), "more than 200 times its own size"),
    Hostile(
        "bomb in bzip2",
        lambda: bz2.compress(tar_of(file("z", bytes(70 << 20))), 1),
        "more than 200 times its own size",
    ),
    Hostile(
        "bomb after the end mark",
        packed(tar_of(HONEST) + bytes(70 << 20)),
        "more than 200 times its own size",
    ),
    Hostile(
        "bytes really produced",
        packed(tar_of(HONEST) + bytes(1 << 20)),
        "unpacks to more than 300000 bytes",
        ArchiveLimits(max_bytes=300_000),
    ),
    Hostile("4 GiB of memory", xz_with_a_dictionary_of_4_gib, "takes too much memory to unpack"),
    # not a whole tar
    Hostile("empty file", lambda: b"", "is an empty file"),
    Hostile("empty archive", packed(END), "holds no files"),
    Hostile("only the root", packed(tar_of(folder("./"))), "holds no files"),
    Hostile("gzip of nothing", packed(b""), "holds no tar archive;"),
    Hostile("text", lambda: b"model weights\n" * 100, "holds no tar archive;"),
    Hostile("text in gzip", packed(b"model weights\n" * 100), "holds no tar archive;"),
    Hostile("zip", zip_file, "holds no tar archive but a zip archive"),
    Hostile("7z", lambda: b"7z\xbc\xaf\x27\x1c" + bytes(600), "holds no tar archive but a 7z"),
    Hostile(
        "compressed twice",
        packed(gzip.compress(tar_of(HONEST))),
        "holds no tar archive but gzip data",
    ),
    Hostile("wrong compression inside", packed(lzma.compress(tar_of(HONEST))), "but xz data"),
    Hostile(
        "magic only", lambda: b"\x1f\x8b" + random_bytes(400), r"holds damaged gzip data \(Error"
    ),
    Hostile("gzip truncated", lambda: gzip.compress(tar_of(file("b", BIG)))[:-90_000], "truncated"),
    Hostile("xz truncated", lambda: lzma.compress(tar_of(HONEST))[:-20], "its xz data stops after"),
    Hostile("bzip2 truncated", lambda: bz2.compress(tar_of(HONEST))[:-20], "its bzip2 data stops"),
    Hostile("gzip header only", lambda: gzip.compress(tar_of(HONEST))[:10], "its gzip data stops"),
    Hostile("tar truncated", lambda: tar_of(file("b", BIG))[:100_000], "has 99488 of its 300000"),
    Hostile("tar without end", lambda: tar_of(HONEST, end=b""), "without its end mark"),
    Hostile("tar cut in a header", lambda: tar_of(HONEST, HONEST, end=b"")[:1200], "stops at byte"),
    Hostile(
        "cut in a long name",
        packed(long_name(b"n" * 2000).block()[:1024]),
        "is truncated inside an extension header",
    ),
    Hostile(
        "gzip checksum",
        lambda: damaged(gzip.compress(tar_of(file("b", BIG)), 0), 200_000),
        "holds damaged gzip data",
    ),
    Hostile(
        "bzip2 checksum",
        lambda: damaged(bz2.compress(tar_of(file("b", BIG)), 1), 200_000),
        "holds damaged bzip2 data",
    ),
    Hostile(
        "xz checksum",
        lambda: damaged(lzma.compress(tar_of(file("b", BIG))), 200_000),
        "holds damaged xz data",
    ),
    Hostile("header checksum", packed(damaged(tar_of(HONEST, HONEST), 1024)), "tar header at byte"),
    Hostile(
        "gzip with garbage behind",
        lambda: gzip.compress(tar_of(HONEST)) + b"garbage",
        "has trailing garbage after its compressed data",
    ),
    Hostile(
        "bzip2 with garbage behind",
        lambda: bz2.compress(tar_of(HONEST)) + b"garbage",
        "has trailing garbage",
    ),
    Hostile(
        "xz with garbage behind zeros",
        lambda: lzma.compress(tar_of(HONEST)) + bytes(1 << 20) + b"garbage",
        "has trailing garbage",
    ),
    Hostile("tars glued together", lambda: 2 * tar_of(HONEST), "data after the end mark"),
    Hostile(
        "gzips glued together", lambda: 2 * gzip.compress(tar_of(HONEST)), "data after the end mark"
    ),
    Hostile(
        "member after one zero block",
        packed(HONEST.block() + bytes(512) + file("hidden").block() + END),
        "data after the end mark",
    ),
]


@pytest.mark.parametrize("hostile", TABLE, ids=lambda hostile: hostile.name)
def test_hostile_archive_is_refused_and_leaves_nothing(tmp_path: Path, hostile: Hostile) -> None:
    source = tmp_path / "caller" / "model.tar.gz"
    source.parent.mkdir()
    source.write_bytes(hostile.build())
    for sentinel in ("evil", "out", "caller/evil", "model"):
        (tmp_path / sentinel).write_text("untouched")
    with RunDirectory(tmp_path / "runs") as run:
        before = snapshot(tmp_path)
        with pytest.raises(PackageError, match=hostile.message) as raised:
            unpack(source, run.path / "model", limits=hostile.limits)
        assert list(run.path.iterdir()) == []
        assert snapshot(tmp_path) == before
    message = str(raised.value)
    assert message.startswith(f"{source}: ")
    assert "; " in message, "the next step is named"
    assert message.isprintable()
    assert len(message) < len(str(source)) + 400


def test_no_two_rows_have_one_name() -> None:
    assert len({hostile.name for hostile in TABLE}) == len(TABLE) > 100


def test_unpacked_archive_inside_is_only_a_file(tmp_path: Path) -> None:
    inner = gzip.compress(tar_of(file("../evil")))
    source = tmp_path / "model.tar.gz"
    source.write_bytes(gzip.compress(tar_of(file("inner.tar.gz", inner))))
    unpack(source, tmp_path / "out")
    assert (tmp_path / "out" / "inner.tar.gz").read_bytes() == inner
    assert not (tmp_path / "evil").exists()


def test_data_filter_is_asked_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What our own rules let through by mistake is stopped by the standard library's."""
    source = tmp_path / "model.tar"
    source.write_bytes(tar_of(file("../evil")))
    monkeypatch.setattr("harness.artifacts.members._check_part", lambda part: None)
    with pytest.raises(PackageError, match="is unsafe"):
        unpack(source, tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def snapshot(root: Path) -> dict[str, tuple[int, int, bytes | None]]:
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns if path.is_file() else 0,
            path.read_bytes() if path.is_file() else None,
        )
        for path in root.rglob("*")
    }

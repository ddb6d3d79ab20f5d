"""Unpack an untrusted model archive into a private directory, or refuse it.

The archive is read once: each member is checked before its first byte is written, and a refusal
removes what earlier members wrote. Checking all headers before writing anything would mean
decompressing a 1 GiB archive twice, and gains nothing: the target is fresh, private, and gone
after a refusal, and no admitted name or link leads out of it.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from harness.artifacts import tar, tree, workspace
from harness.artifacts.compression import Stream
from harness.artifacts.hashed import Hashed
from harness.artifacts.limits import ArchiveLimits
from harness.artifacts.members import Ledger, link_destination
from harness.artifacts.tar import Member, show
from harness.errors import PackageError, WorkerError

__all__ = ["ArchiveLimits", "Unpacked", "sha256", "unpack"]

_NO_LIMITS_GIVEN = ArchiveLimits()


@dataclass(frozen=True)
class Unpacked:
    """What was written: `members` without the root, `total_bytes` of file contents.

    `sha256` is that of the archive as it was read, where it was asked for.
    """

    members: int
    total_bytes: int
    sha256: str | None = None


def unpack(
    source: Path,
    into: Path,
    *,
    limits: ArchiveLimits = _NO_LIMITS_GIVEN,
    hashed: bool = False,
) -> Unpacked:
    """Unpack a tar (plain, gzip, bzip2, xz, zstd, told by content) or copy a directory.

    `into` must be missing or empty, and nobody else may write there; a refusal removes it. Modes
    become 0644 or 0755, owners and setuid bits are dropped. The source is only read. An archive is
    `hashed` as it is read.

    Raises:
        PackageError: names the source, the member, what is wrong, and the next step.
        WorkerError: `into` cannot be written.
    """
    with _all_or_nothing(source, into):
        if source.is_dir():
            copied = tree.copy(source, into, limits=limits)
            return Unpacked(copied.entries, copied.total_bytes)
        with _opened(source) as raw:
            size = os.fstat(raw.fileno()).st_size
            if not hashed:
                return _extract(Stream(raw, archive_bytes=size, limits=limits), into, limits)
            read = Hashed(raw)
            stream = Stream(read, archive_bytes=size, limits=limits)
            return replace(_extract(stream, into, limits), sha256=read.whole())


def sha256(source: Path) -> str:
    """Read an archive for its hash alone. Raises PackageError."""
    try:
        with _opened(source) as raw:
            return Hashed(raw).whole()
    except PackageError as fault:
        raise PackageError(f"{source}: {fault}") from fault.__cause__
    except OSError as fault:
        raise PackageError(
            f"{source}: cannot be read: {fault.strerror}; check the file and its disk"
        ) from fault


@contextmanager
def _all_or_nothing(source: Path, into: Path) -> Iterator[None]:
    into.mkdir(mode=0o755, exist_ok=True)
    if any(into.iterdir()):
        raise ValueError(f"{into} is not empty: only a fresh directory makes unpacking safe")
    try:
        yield
    except BaseException as fault:
        workspace.remove(into)
        if isinstance(fault, PackageError):
            raise PackageError(f"{source}: {fault}") from fault.__cause__
        if isinstance(fault, OSError):
            raise WorkerError(
                f"{source} cannot be unpacked into {into}: {fault.strerror}; "
                "free some space, or name another workspace directory"
            ) from fault
        raise


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    try:
        # O_NONBLOCK: opening a fifo must not wait for a writer.
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise PackageError(
            f"cannot be opened: {error.strerror}; give a model.tar.gz, or a directory laid out "
            "like one"
        ) from error
    with open(descriptor, "rb") as raw:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PackageError("is no regular file; give a model.tar.gz or a directory")
        yield raw


def _extract(stream: Stream, into: Path, limits: ArchiveLimits) -> Unpacked:
    ledger = Ledger(limits)
    members = total_bytes = 0
    for member in tar.read(stream):
        place = ledger.admit(member)
        _check_again(member, place, into)
        if place:
            _write(member, place, into, stream)
            members += 1
            total_bytes += member.size
    if not members:
        raise PackageError(
            "holds no files; pack the content of the model directory with: "
            "tar -czf model.tar.gz -C model ."
        )
    return Unpacked(members, total_bytes)


def _check_again(member: Member, place: str, into: Path) -> None:
    """Ask the standard library's `data` filter too, against what is really on the disk."""
    info = tarfile.TarInfo(place)
    info.type = _TYPES[member.kind]
    info.linkname = member.target
    try:
        tarfile.data_filter(info, str(into))
    except tarfile.FilterError as error:
        raise PackageError(
            f"member {show(member.name)} is unsafe ({error}); leave it out"
        ) from error


_TYPES: dict[tar.Kind, bytes] = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
}


def _write(member: Member, place: str, into: Path, stream: Stream) -> None:
    path = into / place
    if member.kind == "directory":
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    match member.kind:
        case "file":
            _write_file(member, path, stream)
        case "symlink":
            path.symlink_to(member.target)
        case "hard link":
            path.hardlink_to(into / link_destination(place, member))


def _write_file(member: Member, path: Path, stream: Stream) -> None:
    with tree.new_file(path, executable=member.executable) as file:
        for piece in stream.chunks(member.size):
            file.write(piece)
        file.flush()
        if member.mtime is not None:
            os.utime(file.fileno(), (member.mtime, member.mtime))

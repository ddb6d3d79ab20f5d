"""Copy a directory tree of the caller's into a run directory, and never write to the original."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from harness.artifacts.limits import ArchiveLimits
from harness.errors import PackageError

LeaveOut = Callable[[PurePosixPath, os.DirEntry[str]], bool]

_AT_ONCE_BYTES = 1 << 30
_NEED_LESS = "remove what serving does not need"


@dataclass(frozen=True)
class Copied:
    """What was copied: `entries` of all kinds, `total_bytes` of file contents."""

    entries: int
    total_bytes: int


def copy(
    source: Path,
    into: Path,
    *,
    limits: ArchiveLimits,
    leave_out: LeaveOut = lambda place, entry: False,
    advice: str = _NEED_LESS,
) -> Copied:
    """Copy all below `source` into the existing directory `into`, except what is left out.

    Only what will be copied counts against `limits` (members, bytes, depth). Modes become 0644
    or 0755; relative symlinks that stay inside are copied as they are. When `into` itself lies
    inside `source` (a workspace within a package), the directory that holds it is left out.

    Raises:
        PackageError: a symlink that leaves the tree, a socket, device or fifo, something that
            cannot be read, or too much of it all (with `advice`); without the source's name.
        OSError: `into` cannot be written.
    """
    copying = _Copying(source, into, limits, leave_out, advice)
    copying.run()
    return Copied(copying.entries, copying.total_bytes)


def duplicate(source: Path, into: Path) -> None:
    """Copy a tree that `archive.unpack` made: modes, times, symlinks, and hard links as such.

    `into` must be missing or empty. Raises OSError.
    """
    first_names: dict[int, str] = {}

    def copy_file(original: str, copy: str) -> None:
        with open(original, "rb") as file:
            status = os.fstat(file.fileno())
            first = first_names.setdefault(status.st_ino, copy)
            if first != copy:
                os.link(first, copy)
                return
            executable = bool(status.st_mode & stat.S_IXUSR)
            with new_file(Path(copy), executable=executable) as copied:
                _copy_content(file, copied)
                os.utime(copied.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))

    shutil.copytree(source, into, symlinks=True, copy_function=copy_file, dirs_exist_ok=True)


def new_file(path: Path, *, executable: bool) -> BinaryIO:
    """Open a file that must not exist yet, with mode 0755 or 0644 whatever the umask."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o755 if executable else 0o644)
    return open(descriptor, "wb")


def link_leaves(source: Path, place: PurePosixPath) -> bool:
    """Tell whether a symlink at `place` below `source` leads out of it, by text or in fact.

    Both are asked: the text decides where the copy leads, and on the way there it may pass
    other links.
    """
    target = os.readlink(source / place)
    if os.path.isabs(target):
        return True
    depth = len(place.parts) - 1
    for part in PurePosixPath(target).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    root = os.path.realpath(source)
    return os.path.commonpath([root, os.path.realpath(source / place)]) != root


class _Copying:
    def __init__(
        self, source: Path, into: Path, limits: ArchiveLimits, leave_out: LeaveOut, advice: str
    ) -> None:
        self._source = source
        self._into = into
        self._limits = limits
        self._leave_out = leave_out
        self._advice = advice
        self._own = _own_directory(source, into)
        self.entries = 0
        self.total_bytes = 0

    def run(self) -> None:
        pending = [PurePosixPath()]
        while pending:
            place = pending.pop()
            for entry in self._listing(place):
                below = place / entry.name
                if below == self._own or self._leave_out(below, entry):
                    continue
                self._count(below)
                if entry.is_dir(follow_symlinks=False):
                    (self._into / below).mkdir()
                    pending.append(below)
                else:
                    self._copy(below, entry)

    def _listing(self, place: PurePosixPath) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._source / place) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise _unreadable(place, error) from error

    def _count(self, place: PurePosixPath) -> None:
        self.entries += 1
        if self.entries > self._limits.max_members:
            raise PackageError(
                f"holds more than {self._limits.max_members} files and directories; {self._advice}"
            )
        if len(place.parts) > self._limits.max_depth:
            raise PackageError(
                f"{str(place)!r} lies deeper than {self._limits.max_depth} levels; {self._advice}"
            )

    def _copy(self, place: PurePosixPath, entry: os.DirEntry[str]) -> None:
        if entry.is_symlink():
            if link_leaves(self._source, place):
                raise PackageError(
                    f"{str(place)!r} is a symlink to {os.readlink(entry.path)!r}, which leaves the "
                    "directory; put the real file there (cp -rL)"
                )
            (self._into / place).symlink_to(os.readlink(entry.path))
        elif entry.is_file(follow_symlinks=False):
            self._copy_file(place)
        else:
            raise PackageError(f"{str(place)!r} is a socket, device or fifo; leave it out")

    def _copy_file(self, place: PurePosixPath) -> None:
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(self._source / place, flags)
        except OSError as error:
            raise _unreadable(place, error) from error
        with open(descriptor, "rb") as original:
            status = os.fstat(descriptor)
            self.total_bytes += status.st_size
            if self.total_bytes > self._limits.max_bytes:
                raise PackageError(
                    f"holds more than {self._limits.max_bytes} bytes; {self._advice}"
                )
            executable = bool(status.st_mode & stat.S_IXUSR)
            with new_file(self._into / place, executable=executable) as copied:
                _copy_content(original, copied)
                os.utime(copied.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_content(original: BinaryIO, copy: BinaryIO) -> None:
    """Copy a file within the kernel where it can: it shares the blocks on Btrfs and XFS."""
    if hasattr(os, "copy_file_range"):
        with contextlib.suppress(OSError):  # another file system, or one that cannot do it
            while os.copy_file_range(original.fileno(), copy.fileno(), _AT_ONCE_BYTES):
                pass
    # Goes on from where the kernel stopped: most often at the end.
    shutil.copyfileobj(original, copy, 1 << 20)
    copy.flush()


def _own_directory(source: Path, into: Path) -> PurePosixPath | None:
    root, target = source.resolve(), into.resolve()
    if not target.is_relative_to(root):
        return None
    return PurePosixPath((target if target.parent == root else target.parent).relative_to(root))


def _unreadable(place: PurePosixPath, error: OSError) -> PackageError:
    return PackageError(
        f"{str(place)!r} cannot be read: {error.strerror}; check its permissions, or leave it out"
    )

"""Own the directory of one run, and remove it whatever a handler left there."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from harness.artifacts import stale
from harness.errors import HarnessError, LeftoverError, WorkerError

NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT)
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SHOWN_PATH_LENGTH = 200

_Step = Callable[[int, str, str], None]  # open directory, name in it, path to show


class RunDirectory:
    """Create a private directory (0700) on entry, and remove it with all it holds on exit.

    Those of testers that were killed are removed on entry, unless `sweeps` is False: to look for
    them takes the longer the more there is in the parent. A directory of the same name that was
    put in its place meanwhile is left alone.

    Raises:
        HarnessError: it cannot be made; as a WorkerError, where the system has no room for it.
        LeftoverError: something in it cannot be removed. While another exception is on its way
            out, this becomes a note of that one instead.
    """

    def __init__(self, parent: Path | None = None, *, sweeps: bool = True) -> None:
        self._parent = parent
        self._sweeps = sweeps
        self._path: Path | None = None
        self._identity = (0, 0)
        self._lock = -1

    def __enter__(self) -> RunDirectory:
        parent = _parent(self._parent)
        try:
            parent.mkdir(parents=True, exist_ok=True)
            made = tempfile.mkdtemp(prefix=prefix(os.getpid()), dir=parent.resolve())
            self._lock = stale.lock(Path(made))
        except OSError as error:
            if error.errno in NO_ROOM:
                raise WorkerError(
                    f"there is no room for a run directory in {parent}: {error.strerror}"
                ) from error
            raise HarnessError(
                f"no run directory can be made in {parent}: {error.strerror}; "
                "name a workspace directory that can be written"
            ) from error
        self._path = Path(made)
        self._identity = _identity(os.lstat(made))
        if self._sweeps:
            remove_those_of_dead_testers(self._path.parent)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        path, self._path = self.path, None
        os.close(self._lock)
        try:
            remove(path, identity=self._identity)
        except LeftoverError as error:
            if raised is None:
                raise
            raised.add_note(str(error))

    @property
    def path(self) -> Path:
        """Return the absolute path of the directory; only inside the `with` block."""
        if self._path is None:
            raise HarnessError("a RunDirectory has a path only inside its with block")
        return self._path

    def make(self, name: str) -> Path:
        """Make a new, empty sub-directory: `name`, or `name-2`, `name-3`, when that is taken."""
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise ValueError(f"{name!r} is no name for one directory")
        for path in self._spellings(name):
            try:
                path.mkdir(mode=0o700)
            except FileExistsError:
                continue
            except OSError as error:
                raise WorkerError(f"{path} cannot be made: {error.strerror}") from error
            return path
        raise AssertionError("unreachable: the spellings never end")

    def _spellings(self, name: str) -> itertools.chain[Path]:
        numbered = (self.path / f"{name}-{number}" for number in itertools.count(2))
        return itertools.chain([self.path / name], numbered)


def prefix(tester: int) -> str:
    """Give what the names of a tester's run directories begin with, by its process id."""
    return f"handlerproof-{tester}-"


def _parent(workspace: Path | None) -> Path:
    return Path(tempfile.gettempdir()) if workspace is None else workspace


def remove_those_of_dead_testers(workspace: Path | None) -> None:
    """Remove the run directories whose tester was killed, as far as they can be removed."""
    for left in stale.found_in(_parent(workspace)):
        with contextlib.suppress(LeftoverError):  # the next tester tries again
            remove(left)


def remove(path: Path, *, identity: tuple[int, int] | None = None) -> None:
    """Remove a directory tree: any depth, any modes, any names; symlinks are not followed.

    Each sub-directory that is not empty is moved up to the top before it is emptied, so that
    neither the depth of the tree nor the length of its paths matters and three descriptors are
    enough. A mount point refuses to be moved (EBUSY), so nothing mounted into the tree is emptied.

    With `identity`, (st_dev, st_ino), only that very directory is removed. A directory that is
    not there any more is no fault.

    Raises:
        LeftoverError: names the first thing that could not be removed; the rest is gone.
    """
    try:
        _remove(path, identity)
    except FileNotFoundError:
        return
    except OSError as error:
        raise LeftoverError(
            f"{path} cannot be removed: {error.strerror}; remove it by hand"
        ) from error


def _remove(path: Path, identity: tuple[int, int] | None) -> None:
    top = _open_directory(str(path), None)
    try:
        if identity is not None and _identity(os.fstat(top)) != identity:
            raise LeftoverError(
                f"{path} is no longer the directory that was made for this run and is left "
                "alone; look at it, then remove it by hand"
            )
        stuck = _Emptying(top).run()
    finally:
        os.close(top)
    if stuck:
        name, reason = stuck[0]
        raise LeftoverError(
            f"{path} cannot be removed: {name!r} resists ({reason})"
            + (f", and {len(stuck) - 1} more" if len(stuck) > 1 else "")
            + "; remove it by hand"
        )
    os.rmdir(path)


class _Emptying:
    """Empty one open directory; `run` returns what resisted, as (shown path, reason)."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._prefix = f".{secrets.token_hex(8)}-"
        self._serial = itertools.count()
        self._pending: list[tuple[str, str]] = []  # name in the top directory, shown path
        self._stuck: list[tuple[str, str]] = []

    def run(self) -> list[tuple[str, str]]:
        self._clear(self._top, "")
        while self._pending:
            name, shown = self._pending.pop()
            self._attempt(self._remove, self._top, name, shown)
        return self._stuck

    def _remove(self, top: int, name: str, shown: str) -> None:
        directory = _open_directory(name, top)
        try:
            self._clear(directory, shown)
        finally:
            os.close(directory)
        try:
            os.rmdir(name, dir_fd=top)
        except OSError as error:
            # What is still inside has been reported under its own name.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

    def _clear(self, directory: int, shown: str) -> None:
        """Scan until nothing is left: a scan may skip entries while others are being deleted."""
        resisting: set[str] = set()
        progress = True
        while progress:
            progress = False
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.name in resisting or self._is_pending(directory, entry.name):
                        continue
                    step = self._drop if entry.is_dir(follow_symlinks=False) else self._unlink
                    path = f"{shown}/{entry.name}".lstrip("/")[-_SHOWN_PATH_LENGTH:]
                    if self._attempt(step, directory, entry.name, path):
                        progress = True
                    else:
                        resisting.add(entry.name)

    def _is_pending(self, directory: int, name: str) -> bool:
        return directory == self._top and name.startswith(self._prefix)

    def _drop(self, directory: int, name: str, shown: str) -> None:
        """Remove a directory that is empty; else move it up."""
        try:
            os.rmdir(name, dir_fd=directory)
        except OSError:  # what else there is against it, moving it will tell
            self._move_up(directory, name, shown)

    def _move_up(self, directory: int, name: str, shown: str) -> None:
        fresh = f"{self._prefix}{next(self._serial)}"
        try:
            os.rename(name, fresh, src_dir_fd=directory, dst_dir_fd=self._top)
        except PermissionError:
            # Its ".." entry changes, which takes write permission on the directory itself.
            _unlock(name, directory)
            os.rename(name, fresh, src_dir_fd=directory, dst_dir_fd=self._top)
        self._pending.append((fresh, shown))

    def _unlink(self, directory: int, name: str, shown: str) -> None:
        os.unlink(name, dir_fd=directory)

    def _attempt(self, step: _Step, directory: int, name: str, shown: str) -> bool:
        try:
            step(directory, name, shown)
        except OSError as error:
            self._stuck.append((shown, error.strerror or type(error).__name__))
            return False
        return True


def _open_directory(name: str, parent: int | None) -> int:
    try:
        descriptor = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
    except PermissionError:
        _unlock(name, parent)
        descriptor = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
    if os.fstat(descriptor).st_mode & stat.S_IRWXU != stat.S_IRWXU:
        os.fchmod(descriptor, 0o700)
    return descriptor


def _unlock(name: str, parent: int | None) -> None:
    """Give the owner all rights on a directory that may not even be opened."""
    if not hasattr(os, "O_PATH"):
        os.chmod(name, 0o700, dir_fd=parent, follow_symlinks=False)
        return
    # Linux has no chmod that refuses a symlink; O_PATH needs no rights on the directory itself.
    descriptor = os.open(
        name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent
    )
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", 0o700)
    finally:
        os.close(descriptor)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino

"""The journal of a batch: each finished handler is on disk before the next is announced.

One line of JSON a handler. A tester that is killed loses what was running and nothing else; its
journal is what `--resume` goes on from.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from harness.batch.task import Task
from harness.batch_results import BatchEntry
from harness.errors import HarnessError, SpecError

NAME = "journal.ndjson"
VERSION = 1


class Journal:
    """The open journal of one batch, locked against other batches. Use it in a `with` block.

    `finished` holds what was there when it was opened to resume, by fingerprint of its task;
    `descriptor` is its open file.
    """

    def __init__(self, folder: Path, *, resume: bool) -> None:
        """Open it. Raises SpecError for a place that cannot be had, or that another batch has."""
        self._path = folder / NAME
        self.finished: dict[str, BatchEntry] = {}
        self.descriptor = _opened(folder, self._path)
        try:
            kept = self._read() if resume else 0
            os.ftruncate(self.descriptor, kept)  # half a line, of a tester that was killed in it
            os.lseek(self.descriptor, 0, os.SEEK_END)
            if not kept:
                self._write({"journal": VERSION})
        except BaseException:
            os.close(self.descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def add(self, task: Task, entry: BatchEntry) -> None:
        """Put a finished handler on disk. Raises HarnessError; what is there stays readable."""
        self._write({"task": fingerprint(task), "entry": entry.model_dump(mode="json")})

    def _write(self, line: dict[str, object]) -> None:
        end = os.lseek(self.descriptor, 0, os.SEEK_CUR)
        rest = memoryview(json.dumps(line).encode() + b"\n")
        try:
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]
            os.fsync(self.descriptor)
        except OSError as error:
            os.ftruncate(self.descriptor, end)
            raise HarnessError(
                f"{self._path} cannot be written: {error.strerror}; what was finished before is "
                "in it: make room, then go on with --resume"
            ) from error

    def _read(self) -> int:
        """Take what was finished; give how many bytes of the file are whole lines of a journal."""
        kept = 0
        with open(self.descriptor, "rb", closefd=False) as lines:
            for number, line in enumerate(lines):
                if not line.endswith(b"\n") or not self._take(number, line):
                    break
                kept += len(line)
        return kept

    def _take(self, number: int, line: bytes) -> bool:
        try:
            fields = json.loads(line)
            if number == 0:
                return bool(fields == {"journal": VERSION})
            self.finished[fields["task"]] = BatchEntry.model_validate(fields["entry"])
        except (ValueError, KeyError, TypeError, ValidationError):
            return False
        return True


def fingerprint(task: Task) -> str:
    """Tell tasks apart: a handler whose spec or code changed is another task.

    Of the code and the payloads size and time of change are looked at, not the content.
    """
    text = task.model_dump_json(exclude={"workspace", "reproduce"})
    digest = hashlib.sha256(text.encode())
    for path in _inputs(task):
        digest.update(f"{path}\0{_state(Path(path))}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _inputs(task: Task) -> list[str]:
    spec = task.spec
    named = (spec.packaged_model_path, spec.handler_path, spec.model_dir, spec.payload_samples_path)
    return [path for path in named if path is not None]


def _state(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return "\0".join(f"{file}:{_stamp(file)}" for file in files)


def _stamp(file: Path) -> str:
    try:
        status = file.lstat()
    except OSError:
        return "absent"
    if file.is_dir():
        return "directory"
    return f"{status.st_size}:{status.st_mtime_ns}"


def _opened(folder: Path, path: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise SpecError(
            f"{path} cannot be opened: {error.strerror}; name a directory that can be written "
            "with --state"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise SpecError(
            f"another batch is using {path}; wait for it, or name another place with --state"
        ) from None
    return file

"""What is known of handlers from earlier batches: how long they take, how much, how they ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.batch_results import BatchEntry, Status

NAME = "history.json"


class Known(BaseModel):
    """What is known of one handler."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(ge=0, allow_inf_nan=False, description="How long it took")
    memory_bytes: int | None = Field(default=None, ge=0, description="Its memory peak")
    status: Status = Field(description="How it ended")


class History(BaseModel):
    """What is known of each handler by its name. A file that cannot be read is no history."""

    model_config = ConfigDict(extra="forbid")

    handlers: dict[str, Known] = Field(default={}, description="By name")

    @classmethod
    def load(cls, folder: Path | None) -> Self:
        """Read it from the directory where batches keep their state; none: nothing is known."""
        try:
            return cls() if folder is None else cls.model_validate_json(_bytes(folder))
        except (OSError, ValidationError):
            return cls()

    def save(self, folder: Path) -> None:
        """Replace the file, whole or not at all. Raises OSError."""
        written = folder / f"{NAME}.{os.getpid()}"
        try:
            written.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
            written.replace(folder / NAME)
        finally:
            written.unlink(missing_ok=True)

    def learn(self, entry: BatchEntry) -> None:
        """Take in how a handler ended."""
        self.handlers[entry.name] = Known(
            seconds=entry.result.total_execution_time,
            memory_bytes=entry.peak_memory_bytes,
            status=entry.status,
        )

    def failed(self) -> set[str]:
        """Name the handlers that were not good when they were last tested."""
        good = (Status.passed, Status.flaky)
        return {name for name, known in self.handlers.items() if known.status not in good}


def _bytes(folder: Path) -> bytes:
    return (folder / NAME).read_bytes()

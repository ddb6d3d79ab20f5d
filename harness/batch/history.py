"""What is known of handlers from earlier batches: how long they take, how much, how they ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.batch_results import BatchEntry, Status
from harness.errors import SpecError

NAME = "history.json"


class Known(BaseModel):
    """What is known of one handler."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(ge=0, allow_inf_nan=False, description="How long it took")
    memory_bytes: int | None = Field(default=None, ge=0, description="Its memory peak")
    status: Status = Field(description="How it ended")


class History(BaseModel):
    """What is known of each handler by its name. To plan, a file that cannot be read is none."""

    model_config = ConfigDict(extra="forbid")

    handlers: dict[str, Known] = Field(default={}, description="By name")

    @classmethod
    def load(cls, folder: Path | None) -> Self:
        """Read it from the directory where batches keep their state; none: nothing is known."""
        try:
            return cls() if folder is None else cls.read(folder)
        except SpecError:
            return cls()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read it where something depends on it; no file: nothing is known. Raises SpecError."""
        file = folder / NAME
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return cls()
        except OSError as error:
            why = error.strerror
        except ValidationError:
            why = "it is no history of a batch"
        raise SpecError(
            f"what failed is not known: {file} cannot be read: {why}; remove it, and run the batch "
            "once without --last-failed"
        )

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

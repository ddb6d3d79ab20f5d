"""One thing that lint found: its code, where it is, what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.artifacts.package import Package
from harness.specs import InferenceHandlerSpec

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """A finding: `error` will fail on the endpoint, `warning` may, a `note` costs nothing there.

    `file` is relative to the package's root; `line` counts from 1.
    """

    code: str
    severity: Severity
    message: str
    file: str | None = None
    line: int | None = None

    def place(self) -> str:
        """Say where it is, as editors read it."""
        return ":".join(str(part) for part in (self.file, self.line) if part is not None)


@dataclass(frozen=True)
class Subject:
    """What is looked at: the unpacked package and every file of it."""

    spec: InferenceHandlerSpec
    package: Package
    root: Path
    files: tuple[Path, ...]

    def place(self, file: Path) -> str:
        """Give a file's path within the package."""
        return file.relative_to(self.root).as_posix()


Rule = Callable[[Subject], Iterator[Finding]]

"""A handler's spec written by hand: one file, its paths relative to where it lies."""

from pathlib import Path
from typing import Any

from harness import spec_files


def read(path: Path) -> dict[str, Any]:
    """Read the fields of a spec. Raises SpecError for a file that is not one."""
    return spec_files.resolved(spec_files.read(path), spec_files.HANDLER_PATHS, path.parent)

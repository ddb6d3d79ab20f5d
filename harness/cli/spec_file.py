"""A handler's spec written by hand: one file, its paths relative to where it lies."""

from pathlib import Path
from typing import Any

from harness import spec_files
from harness.errors import SpecError


def read(path: Path) -> dict[str, Any]:
    """Read the fields of a spec. Raises SpecError for a file that is not one."""
    fields = spec_files.read(path)
    if "handlers" in fields:
        raise SpecError(
            f"{path} is a manifest of handlers; test them with: handlerproof batch {path}"
        )
    return spec_files.resolved(fields, spec_files.HANDLER_PATHS, path.parent)

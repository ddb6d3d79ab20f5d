"""Files that a command is asked to write, looked at before anything is run."""

import os
from pathlib import Path

from harness.errors import SpecError


def check_output(option: str, file: Path) -> None:
    """Refuse a place that cannot be written. Raises SpecError."""
    if not file.parent.is_dir():
        raise SpecError(f"{option}: there is no directory {file.parent}")
    if file.is_dir():
        raise SpecError(f"{option}: {file} is a directory; name a file in it")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise SpecError(f"{option}: {file} cannot be written; check its permissions")

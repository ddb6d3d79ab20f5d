"""The file in which a worker leaves where its threads are, and how it is read. Other half: worker.

The tester makes it and keeps its own descriptor, so that whatever the handler puts at its path is
never opened.
"""

import os
from pathlib import Path

from harness.runtime.process import CHILD

MAX_BYTES = 65_536


class StackFile:
    """An empty file for a worker's stacks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def read(self) -> str | None:
        """Give what was written, without the worker's own frames; None while it is not whole."""
        data = os.pread(self._file, MAX_BYTES, 0)
        if not data.endswith(b"\n"):
            return None
        ours = os.path.dirname(CHILD)
        lines = data.decode("utf-8", "replace").splitlines()
        return "\n".join(line for line in lines if f'"{ours}/' not in line)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._file)

"""The file in which a worker leaves where its threads are, and how it is read. Other half: worker.

It has no name, so that nothing is put in its place and nothing is left of it.
"""

import os

import worker.protocol as protocol
from harness.runtime.files import high, nameless

MAX_BYTES = 65_536


class StackFile:
    """An empty file for a worker's stacks."""

    def __init__(self) -> None:
        self.descriptor = high(nameless("stacks", 0))

    def read(self) -> str | None:
        """Give what was written, without the worker's own frames; None while it is not whole."""
        data = os.pread(self.descriptor, MAX_BYTES, 0)
        if not data.endswith(b"\n"):
            return None
        ours = os.path.dirname(protocol.__file__)
        lines = data.decode("utf-8", "replace").splitlines()
        return "\n".join(line for line in lines if f'"{ours}/' not in line)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)

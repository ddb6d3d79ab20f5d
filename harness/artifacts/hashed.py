"""The hash of a file, taken while somebody else reads it."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

_CHUNK_BYTES = 1 << 20


class Hashed:
    """A file to read from its start; `whole` then gives the SHA-256 of all of it."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """Read as a file does."""
        data = self._raw.read(size)
        self._hash.update(data)
        return data

    def seek(self, offset: int, /) -> int:
        """Go back to the start, where hashing begins anew."""
        if offset:
            raise ValueError("only a file that is read from its start has a hash")
        self._hash = hashlib.sha256()
        return self._raw.seek(0)

    def whole(self) -> str:
        """Read what nobody has asked for; give the hash in hexadecimal."""
        while self.read(_CHUNK_BYTES):
            pass
        return self._hash.hexdigest()

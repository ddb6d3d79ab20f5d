"""What an archive, or a directory in place of one, may hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ArchiveLimits:
    """Bound what `archive.unpack` reads and writes.

    `max_ratio` is bytes unpacked per byte of the archive file, and only counts beyond 64 MiB
    unpacked; `max_name` is the length in bytes of a member's whole name; `max_depth` counts
    its parts.
    """

    max_members: int = 20_000
    max_bytes: int = 16 << 30
    max_ratio: int = 200
    max_depth: int = 64
    max_name: int = 1024

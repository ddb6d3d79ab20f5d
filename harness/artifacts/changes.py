"""What changed in a directory between two looks: files made, changed and removed."""

import os
from pathlib import Path

MAX_ENTRIES = 50_000
MAX_NAMES = 5

Listing = dict[str, tuple[int, int]]


def listing(folder: Path) -> Listing:
    """Note size and time of change of every file below a directory; links are not followed.

    At most 50,000 entries; a directory that is gone or closed to us has none.
    """
    found: Listing = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            try:
                status = os.lstat(path)
            except OSError:
                continue
            found[os.path.relpath(path, folder)] = (status.st_size, status.st_mtime_ns)
            if len(found) == MAX_ENTRIES:
                return found
    return found


def told(before: Listing, after: Listing, place: str) -> list[str]:
    """Say in words what became of the files: at most one sentence for each kind of change."""
    made = [name for name in after if name not in before]
    gone = [name for name in before if name not in after]
    changed = [name for name in after if name in before and after[name] != before[name]]
    kinds = (("wrote", made), ("changed", changed), ("removed", gone))
    return [f"the handler {verb} {_some(names)} in {place}" for verb, names in kinds if names]


def _some(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:MAX_NAMES])
    more = len(names) - MAX_NAMES
    return f"{shown} and {more} more files" if more > 0 else shown

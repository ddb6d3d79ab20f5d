"""The smallest change to what an edge carries with which it passes, found by trying.

Changes are tried one, two and three at a time, for real: with the handler in its worker, or by
running the script again. None is claimed that was not seen to pass.
"""

import time
from collections.abc import Callable

from harness.pipeline_results import AdapterProposal
from harness.pipelines.tables import CSV, JSON, JSONL, Parcel, variants

PREVIEW_CHARS = 400
MAX_CHANGES = 3
MAX_BYTES = 1 << 20  # of which there may be as many variants as tries
SECONDS = 60.0
CONTENT_TYPES = (CSV, JSON, JSONL)

# Tries a parcel; gives what was said when it was refused, None when it passed.
Attempt = Callable[[Parcel], str | None]


def in_time() -> float:
    """Give the instant until which a node's adapters are looked for."""
    return time.monotonic() + SECONDS


def find(
    refused: Parcel,
    error: str,
    attempt: Attempt,
    *,
    content_types: tuple[str, ...],
    max_tries: int,
    deadline: float,
) -> AdapterProposal | None:
    """Look for a change with which a refused parcel passes; None when none was found in time.

    A parcel of more than 1 MiB is not changed. `deadline` is an instant of the monotonic clock.
    """
    if len(refused.body) > MAX_BYTES:
        return None
    search = _Search(attempt, content_types, max_tries, deadline)
    level = [(refused, error)]
    for _ in range(MAX_CHANGES):
        level = search.next_level(level, error)
        if search.passed is not None:
            return _proposal(search.passed, search.tries)
    return None


class _Search:
    """Breadth first: no change of two steps is tried before all of one."""

    def __init__(
        self,
        attempt: Attempt,
        content_types: tuple[str, ...],
        max_tries: int,
        deadline: float,
    ) -> None:
        self._attempt = attempt
        self._content_types = content_types
        self._max_tries = max_tries
        self._deadline = deadline
        self._seen: set[tuple[bytes, str | None, str]] = set()
        self.tries = 0
        self.passed: Parcel | None = None

    def next_level(self, level: list[tuple[Parcel, str]], first: str) -> list[tuple[Parcel, str]]:
        """Try all that is one change away; give what was refused, and why.

        What was refused for another reason than at first is on the way: it is gone on with first.
        """
        refused = []
        for parcel, error in sorted(level, key=lambda pair: pair[1] == first):
            for variant in variants(parcel, error, self._content_types):
                key = (variant.body, variant.content_type, variant.name)
                if key in self._seen:
                    continue
                self._seen.add(key)
                if self.tries >= self._max_tries or time.monotonic() > self._deadline:
                    return []
                self.tries += 1
                said = self._attempt(variant)
                if said is None:
                    self.passed = variant
                    return []
                refused.append((variant, said))
        return refused


def _proposal(parcel: Parcel, tries: int) -> AdapterProposal:
    return AdapterProposal(
        changes=list(parcel.changes),
        content_type=parcel.content_type,
        tries=tries,
        preview=parcel.body[:PREVIEW_CHARS].decode("utf-8", "replace"),
    )

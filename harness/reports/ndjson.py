"""The events of a batch as they happen, one JSON object a line; `event` says which.

planned: total, jobs. started: handler, memory_bytes. finished: handler, status, entry (a
BatchEntry). ended: success, interrupted, counts, not_run, elapsed_s.
"""

import json

from harness.batch_results import BatchEntry, BatchResult


def planned(total: int, jobs: int) -> str:
    """Give the first line."""
    return _line("planned", total=total, jobs=jobs)


def started(handler: str, memory_bytes: int) -> str:
    """Tell that a handler was started, with the memory that it was promised."""
    return _line("started", handler=handler, memory_bytes=memory_bytes)


def finished(entry: BatchEntry) -> str:
    """Tell of a handler that is finished, with all of its entry."""
    whole = entry.model_dump(mode="json")
    return _line("finished", handler=entry.name, status=entry.status.value, entry=whole)


def ended(batch: BatchResult) -> str:
    """Give the last line."""
    return _line(
        "ended",
        success=batch.success,
        interrupted=batch.interrupted,
        counts={status.value: count for status, count in batch.counts().items()},
        not_run=[item.model_dump(mode="json") for item in batch.not_run],
        elapsed_s=batch.elapsed_s,
    )


def _line(event: str, **fields: object) -> str:
    return json.dumps({"event": event, **fields})

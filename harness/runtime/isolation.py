"""What holds a worker in: the layers that are in force, told as they are."""

from harness.results import IsolationSummary, MemoryWatch
from harness.specs import Limits

WATCH_INTERVAL_MS = 10.0


def in_force(limits: Limits, *, subreaper: bool) -> IsolationSummary:
    """Describe the isolation of a run: the process layer, and nothing that is not there."""
    limited = limits.memory_limit_mb is not None
    return IsolationSummary(
        requested="process",
        effective=["process"],
        missing=[],
        memory=MemoryWatch(
            enforcer="watchdog" if limited else "none",
            metric="pss",
            interval_ms=WATCH_INTERVAL_MS if limited else None,
        ),
        network="allowed",
        filesystem="open",
        kill="subreaper" if subreaper else "best_effort",
    )

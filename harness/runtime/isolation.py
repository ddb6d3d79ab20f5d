"""What holds a worker in: the layers that are in force, told as they are."""

from harness.runtime.guest import Asked
from harness.runtime.layers import Plan
from harness.summaries import IsolationSummary, MemoryWatch, MissingLayer

WATCH_INTERVAL_MS = 10.0
TCP_FROM_ABI = 4


def in_force(spec: Asked, plan: Plan, *, subreaper: bool) -> IsolationSummary:
    """Describe the isolation of a run, and nothing that is not there."""
    return IsolationSummary(
        requested=plan.requested,
        effective=["process", *(f"{probe.layer}:{probe.version}" for probe in plan.layers)],
        missing=[MissingLayer(layer=probe.layer, reason=probe.reason) for probe in plan.missing],
        memory=_memory(spec, plan),
        network=_network(spec, plan),
        filesystem=_filesystem(plan),
        kill=_kill(plan, subreaper),
    )


def _memory(spec: Asked, plan: Plan) -> MemoryWatch:
    if spec.effective_limits.memory_limit_mb is None:
        return MemoryWatch(enforcer="none", metric="pss")
    if plan.has("cgroup"):
        return MemoryWatch(enforcer="cgroup", metric="cgroup")
    return MemoryWatch(enforcer="watchdog", metric="pss", interval_ms=WATCH_INTERVAL_MS)


def _network(spec: Asked, plan: Plan) -> str:
    if spec.network is True:
        return "allowed"
    if plan.has("bwrap"):
        return "loopback" if spec.network == "loopback" else "none"
    if plan.has("seccomp"):
        return "no_inet"
    if plan.has("landlock") and int(plan.version("landlock")) >= TCP_FROM_ABI:
        return "tcp_denied"
    return "allowed"


def _filesystem(plan: Plan) -> str:
    if plan.has("bwrap"):
        return "ro_root"
    return "landlock" if plan.has("landlock") else "open"


def _kill(plan: Plan, subreaper: bool) -> str:
    if plan.has("bwrap"):
        return "pid_namespace"
    return "subreaper" if subreaper else "best_effort"

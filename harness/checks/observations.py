"""What a handler did beside its calls, as warnings: attempts to reach out, leftovers, overshoot."""

from collections.abc import Iterable, Iterator

import worker.protocol as protocol
from harness.records import Outcome
from harness.results import FunctionTestResult
from harness.runtime.evidence import Answer
from harness.specs import Limits
from harness.summaries import IsolationSummary, NetworkAttempt

MIB = 1024 * 1024
VERB = {"connect": "connect to", "send": "send to", "resolve": "look up", "install": "install"}
REACH = {
    "none": "there is no network in the sandbox",
    "loopback": "only a loopback of its own can be reached",
    "no_inet": "sockets of the internet families are refused",
    "tcp_denied": "TCP is denied; UDP, and so a name's look-up, is not",
    "allowed": "nothing here denies it",
}
WHERE = {
    True: "its environment is a copy that is thrown away",
    False: "its environment cannot be written to: list them in code/requirements.txt, or set "
    "allow_install, and network=True",
}


class Observations:
    """Gathers what the answers of one handler show beside their values."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._before: dict[str, int] = {}
        self._left: dict[tuple[str, str], list[int]] = {}
        self._overshoot: int | None = None

    def take(self, row: FunctionTestResult, answer: Answer) -> None:
        """Look at one answer and the row made of it."""
        if row.outcome is Outcome.memory_exceeded and self._limits.memory_limit_mb is not None:
            limit = int(self._limits.memory_limit_mb * MIB)
            over = max(0, (row.peak_memory_bytes or 0) - limit)
            self._overshoot = max(over, self._overshoot or 0)
        if isinstance(answer.reply, protocol.Returned):
            self._count("threads", row.function_name, answer.reply.threads)
            self._count("descriptors", row.function_name, answer.reply.descriptors)

    def forget_worker(self) -> None:
        """Start the counts anew: the next answer is of another process."""
        self._before.clear()

    def warnings(
        self, rows: Iterable[FunctionTestResult], network: str | None, *, private: bool
    ) -> list[str]:
        """Give every warning, in words for the user.

        `private` says that the handler has an environment of its own to install into.
        """
        found = list(dict.fromkeys(_attempts(rows, network, private)))
        for (kind, function), counts in self._left.items():
            # A library may start a pool once; what grows with every call is a leak.
            if len(counts) > 1:
                found.append(f"{function} left {sum(counts)} {kind} open in {len(counts)} calls")
        return found

    def complete(self, isolation: IsolationSummary | None) -> IsolationSummary | None:
        """Add the worst overshoot over the memory limit to what is told of the isolation."""
        if isolation is None:
            return None
        memory = isolation.memory.model_copy(update={"worst_overshoot_bytes": self._overshoot})
        return isolation.model_copy(update={"memory": memory})

    def _count(self, kind: str, function: str, now: int | None) -> None:
        if now is None:
            return
        before = self._before.get(kind)
        self._before[kind] = now
        if before is not None and now > before and function != "model_fn":
            self._left.setdefault((kind, function), []).append(now - before)


def _attempts(
    rows: Iterable[FunctionTestResult], network: str | None, private: bool
) -> Iterator[str]:
    for row in rows:
        for attempt in row.network_attempts:
            if attempt.kind == "other":
                yield (
                    f"while {row.function_name} ran, a child process or native code tried "
                    f"{attempt.count} times to reach the network; {REACH.get(network or '', '')}"
                )
            elif attempt.kind == "install":
                yield (
                    f"the handler installs packages while it runs ({_place(attempt)}): "
                    f"{attempt.target[:200]}; {REACH.get(network or '', '')}, and {WHERE[private]}"
                )
            else:
                where = f"{attempt.target}:{attempt.port}" if attempt.port else attempt.target
                yield (
                    f"{row.function_name} tried to {VERB[attempt.kind]} {where} "
                    f"({_place(attempt)}){_often(attempt)}; {REACH.get(network or '', '')}"
                )


def _place(attempt: NetworkAttempt) -> str:
    return f"{attempt.file}:{attempt.line}" if attempt.file else "not from the handler's own code"


def _often(attempt: NetworkAttempt) -> str:
    if attempt.count < 2:
        return ""
    return f", {attempt.count} times over {attempt.seconds:.1f} s"

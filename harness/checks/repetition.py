"""What a sample expects beyond the answer: the same again, in time, within memory."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.checks import expectations
from harness.results import FunctionTestResult
from harness.specs import InferenceTestSample
from harness.summaries import ResponseSummary

MIB = 2**20


@dataclass(frozen=True)
class Made:
    """A request that was made: the rows of its calls, and what its client got."""

    sample: InferenceTestSample
    rows: list[FunctionTestResult]
    response: ResponseSummary

    @property
    def seconds(self) -> float:
        """What its functions took together."""
        return sum(row.execution_time for row in self.rows)

    @property
    def peak_memory_mb(self) -> float:
        """MiB of the process tree at the most."""
        return max((row.peak_memory_bytes or 0 for row in self.rows), default=0) / MIB


def problems_with(first: Made, repeats: list[Made]) -> list[str]:
    """List what a request and its repeats lack of what the sample expects."""
    return [*_differences(first, repeats), *_excesses(first, repeats)]


def _differences(first: Made, repeats: list[Made]) -> list[str]:
    if not first.sample.deterministic:
        return []
    if not repeats:
        return ["the same request could not be sent again: the worker was lost after its answer"]
    again = repeats[0]
    failed = next((row for row in again.rows if not row.success), None)
    if failed is not None:
        said = failed.error_message or failed.outcome.value
        return [f"the same request again: {failed.function_name} {failed.outcome.value}: {said}"]
    if again.response == first.response:
        return []
    return [f"the same request again is answered differently: {_first_difference(first, again)}"]


def _first_difference(first: Made, again: Made) -> str:
    """Name the first place where two responses differ."""
    before, after = first.response, again.response
    if (before.status, before.content_type) != (after.status, after.content_type):
        return f"{after.status} {after.content_type}, before {before.status} {before.content_type}"
    one, other = expectations.parse(before), expectations.parse(after)
    found: Iterator[str] = iter(())
    if expectations.UNPARSED not in (one, other):
        found = expectations.differences(one, other, "response", expectations.EXACTLY)
    try:
        return expectations.cut(next(found, "other bytes"))
    except RecursionError:
        return "other bytes, too deep to be compared"


def _excesses(first: Made, repeats: list[Made]) -> list[str]:
    sample, problems = first.sample, []
    every = [first, *repeats]
    fastest = min(made.seconds for made in every)
    if sample.max_seconds is not None and fastest > sample.max_seconds:
        times = "once" if len(every) == 1 else f"at best of {len(every)} times"
        problems.append(
            f"the request took {fastest:.3g} s, {times}; max_seconds is {sample.max_seconds:g}"
        )
    if sample.max_memory_mb is not None and first.peak_memory_mb > sample.max_memory_mb:
        problems.append(
            f"the request held {first.peak_memory_mb:.0f} MiB; "
            f"max_memory_mb is {sample.max_memory_mb}"
        )
    return problems

"""A run held to an earlier one: outcomes that changed, times and memory with a confidence interval.

The interval is that of the Mann-Whitney test, turned round: the ratios of every run now to every
run then, without so many at either end as chance would give. It needs no assumption on how times
spread. A measure is a regression when its median is over MARGIN times what it was, and the whole
interval is over 1.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import Field

from harness.batch.budgets import TITLES, shown
from harness.batch_results import BatchResult, Change, Finding, Measure
from harness.results import InferenceTestResult
from harness.spec_model import SpecModel

MARGIN: Final = 1.10
RUNS: Final = 9
ERROR_RATE: Final = 0.01  # of each end of the interval
FLOOR: Final[dict[Measure, float]] = {
    "model_loading_s": 1e-3,
    "prediction_s": 1e-3,
    "memory_bytes": 4 * 2**20,
}


class Baseline(SpecModel):
    """What one handler gave in an earlier run."""

    outcomes: dict[str, str] = Field(description="Outcome by place")
    runs: dict[Measure, list[float]] = Field(description="What each run measured")

    def changes(self, result: InferenceTestResult) -> list[Change]:
        """List the outcomes that are not what they were."""
        now = outcomes(result)
        return [
            Change(
                place=place,
                before=self.outcomes.get(place, "absent"),
                now=now.get(place, "absent"),
            )
            for place in dict.fromkeys((*self.outcomes, *now))
            if self.outcomes.get(place) != now.get(place)
        ]


def read(path: Path) -> dict[str, Baseline]:
    """Read the baseline of each handler from a batch's saved result. Raises SpecError."""
    return {
        entry.name: Baseline(outcomes=outcomes(entry.result), runs=dict(entry.runs))
        for entry in BatchResult.load(path).entries
    }


def outcomes(result: InferenceTestResult) -> dict[str, str]:
    """Give the outcome of each call and request by its place."""
    return dict(_placed(result))


def runs_needed(baseline: Baseline, values: dict[Measure, list[float]]) -> int:
    """Say how many runs it takes: a measure that seems worse is measured again."""
    done = max(map(len, values.values()), default=0)
    worse = any(_seems_worse(name, now, baseline.runs.get(name)) for name, now in values.items())
    return RUNS if worse else done


def findings(baseline: Baseline, values: dict[Measure, list[float]]) -> list[Finding]:
    """Compare each measure that both runs have."""
    return [
        _finding(name, now, baseline.runs[name])
        for name, now in values.items()
        if now and baseline.runs.get(name)
    ]


def interval(now: list[float], then: list[float]) -> tuple[float, float] | None:
    """Give the confidence interval of the ratio; None: too few runs for one."""
    cut = _cut(len(now), len(then))
    if cut is None:
        return None
    ratios = sorted(a / b if b else math.inf for a in now for b in then)
    return ratios[cut], ratios[-1 - cut]


def _seems_worse(name: Measure, now: list[float], then: list[float] | None) -> bool:
    if not now or not then:
        return False
    before, after = statistics.median(then), statistics.median(now)
    return after > before * MARGIN and after - before > FLOOR[name]


def _finding(name: Measure, now: list[float], then: list[float]) -> Finding:
    before, after = statistics.median(then), statistics.median(now)
    ends = interval(now, then)
    worse = _seems_worse(name, now, then)
    holds = not (worse and ends is not None and ends[0] > 1.0)
    ratio = after / before if before else None
    told = f"{TITLES[name]}: {shown(name, after)}, was {shown(name, before)}"
    if ratio is not None and ends is not None:
        told += f"; {ratio:.2f} times, between {ends[0]:.2f} and {ends[1]:.2f}"
    elif worse:
        told += f"; too few runs to be sure: make the baseline with --runs {RUNS}"
    return Finding(
        kind="baseline",
        measure=name,
        holds=holds,
        message=told,
        values=now,
        bound=before,
        ratio=ratio,
        ratio_low=ends[0] if ends is not None and math.isfinite(ends[0]) else None,
        ratio_high=ends[1] if ends is not None and math.isfinite(ends[1]) else None,
    )


@cache
def _cut(now: int, then: int) -> int | None:
    """Give how many ratios chance leaves at each end, by the exact distribution of U."""
    total, sum_so_far = math.comb(now + then, now), 0
    cut = None
    for u, count in enumerate(_ways(now, then)):
        sum_so_far += count
        if sum_so_far / total > ERROR_RATE:
            break
        cut = u
    return cut


def _ways(now: int, then: int) -> list[int]:
    """Count the orders of two samples by U: the coefficients of the Gaussian binomial."""
    ways = [1]
    for k in range(1, now + 1):
        ways = _over(_times(ways, then + k), k)
    return ways


def _times(ways: list[int], k: int) -> list[int]:
    """Multiply by 1 - q^k."""
    product = ways + [0] * k
    for index, way in enumerate(ways):
        product[index + k] -= way
    return product


def _over(ways: list[int], k: int) -> list[int]:
    """Divide by 1 - q^k, which goes without a rest."""
    quotient = list(ways[: len(ways) - k])
    for index in range(k, len(quotient)):
        quotient[index] += quotient[index - k]
    return quotient


def _placed(result: InferenceTestResult) -> Iterator[tuple[str, str]]:
    for row in result.function_results():
        names = [name for name in (row.sample_name, row.accept_type) if name]
        place = f"{row.function_name}[{', '.join(names)}]" if names else row.function_name
        yield place, row.outcome.value
    for end in result.end_to_end_results:
        yield f"end_to_end[{end.sample_name}, {end.accept_type}]", end.outcome.value

"""Budgets of time and memory, and the rule that keeps noise from breaking them.

Noise of a machine only ever adds time. So one run within a budget holds it; a run over it is
repeated until three of at most five runs agree.
"""

from __future__ import annotations

import statistics
from typing import Annotated, Final

from pydantic import Field

from harness.batch_results import Finding, Measure
from harness.records import Outcome
from harness.reports.text import duration, size
from harness.results import InferenceTestResult
from harness.spec_model import SpecModel

MIB: Final = 2**20
MOST_RUNS: Final = 5
MAJORITY: Final = 3

Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]


class Budgets(SpecModel):
    """Bounds on what a handler may take; None: none. Names and units are those of CI suites."""

    max_model_loading_time: Positive | None = Field(
        default=None, description="Seconds that model_fn may take"
    )
    max_prediction_time: Positive | None = Field(
        default=None, description="Seconds that the slowest predict_fn may take"
    )
    max_memory_usage_mb: Positive | None = Field(
        default=None, description="MiB that the handler's processes may hold at their peak"
    )

    def bounds(self) -> dict[Measure, float]:
        """Give the bound of each measure that has one, in seconds or bytes."""
        memory = self.max_memory_usage_mb
        bounds: dict[Measure, float | None] = {
            "model_loading_s": self.max_model_loading_time,
            "prediction_s": self.max_prediction_time,
            "memory_bytes": None if memory is None else memory * MIB,
        }
        return {name: bound for name, bound in bounds.items() if bound is not None}


def measures(result: InferenceTestResult) -> dict[Measure, float]:
    """Give what one run measured: the model's loading, the slowest prediction, the memory peak."""
    found: dict[Measure, float] = {}
    if result.model_fn_result.outcome is not Outcome.skipped:
        found["model_loading_s"] = result.model_fn_result.execution_time
    times = [row.execution_time for row in result.predict_fn_results if row.success]
    if times:
        found["prediction_s"] = max(times)
    peaks = [row.peak_memory_bytes for row in result.function_results() if row.peak_memory_bytes]
    if peaks:
        found["memory_bytes"] = float(max(peaks))
    return found


def runs_needed(budgets: Budgets, values: dict[Measure, list[float]]) -> int:
    """Say how many runs it takes until each budget is held or broken; those done, when decided."""
    done = max(map(len, values.values()), default=0)
    open_ones = [
        name for name, bound in budgets.bounds().items() if not _decided(values.get(name), bound)
    ]
    return done + 1 if open_ones and done < MOST_RUNS else done


def findings(budgets: Budgets, values: dict[Measure, list[float]]) -> list[Finding]:
    """Hold what was measured to the budgets."""
    return [
        _finding(name, values[name], bound)
        for name, bound in budgets.bounds().items()
        if values.get(name)
    ]


def shown(measure: Measure, value: float) -> str:
    """Write a measure with its unit."""
    return size(round(value)) if measure == "memory_bytes" else duration(value)


def _decided(values: list[float] | None, bound: float) -> bool:
    if not values or values[0] <= bound:
        return True
    over = sum(value > bound for value in values)
    return over >= MAJORITY or len(values) - over >= MAJORITY


def _finding(name: Measure, values: list[float], bound: float) -> Finding:
    holds = values[0] <= bound or sum(value > bound for value in values) < MAJORITY
    spread = f"median {shown(name, statistics.median(values))}"
    if len(values) > 1:
        spread += (
            f" of {len(values)} runs from {shown(name, min(values))} to {shown(name, max(values))}"
        )
    verdict = "within" if holds else "over"
    message = f"{TITLES[name]}: {spread}, {verdict} the budget of {shown(name, bound)}"
    return Finding(
        kind="budget", measure=name, holds=holds, message=message, values=values, bound=bound
    )


TITLES: Final[dict[Measure, str]] = {
    "model_loading_s": "model loading",
    "prediction_s": "slowest prediction",
    "memory_bytes": "peak memory",
}

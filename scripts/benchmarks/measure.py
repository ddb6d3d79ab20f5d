"""What is measured and what came out: ratios to a floor, and distributions against a target."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

Cells = tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """What is measured, against which other case, and the ratio that it shall not pass."""

    name: str
    measure: Callable[[], float]
    base: str
    target: float | None = None


@dataclass(frozen=True)
class Ratio:
    """What came out of a case: seconds, and ratios to the base as median and quartiles."""

    TITLES: ClassVar[Cells] = ("what", "time", "ratio", "quartiles", "target", "met")

    part: str
    name: str
    seconds: float
    ratio: float
    lower: float
    upper: float
    target: float | None
    met: bool | None
    rounds: int

    def cells(self) -> Cells:
        """Give the row's cells, in the order of TITLES."""
        micro = self.seconds * 1e6
        return (
            self.name,
            f"{micro:.0f} us" if micro < 1000 else f"{micro / 1000:.1f} ms",
            figure(self.ratio),
            f"{figure(self.lower)} to {figure(self.upper)}",
            "" if self.target is None else f"<= {self.target:g}",
            said(self.met),
        )


@dataclass(frozen=True)
class Spread:
    """How something is distributed, in its own unit: at most so much in the median and ever.

    `ratio` is that of the median's whole to what it is measured against, which `name` says; `size`
    is how large what was measured was, where it grows.
    """

    TITLES: ClassVar[Cells] = ("what", "median", "quartiles", "worst", "ratio", "target", "met")

    part: str
    name: str
    unit: str
    median: float
    lower: float
    upper: float
    worst: float
    ratio: float | None
    target: float | None
    target_worst: float | None
    met: bool | None
    rounds: int
    size: int | None = None

    def cells(self) -> Cells:
        """Give the row's cells, in the order of TITLES."""
        limits = [] if self.target is None else [f"median <= {self.target:g}"]
        limits += [] if self.target_worst is None else [f"worst <= {self.target_worst:g}"]
        return (
            self.name,
            f"{self.median:.1f} {self.unit}",
            f"{self.lower:.1f} to {self.upper:.1f}",
            f"{self.worst:.1f}",
            "" if self.ratio is None else figure(self.ratio),
            ", ".join(limits),
            said(self.met),
        )


Figure = Ratio | Spread


class Latest:
    """A measurement that is used twice in a round."""

    def __init__(self, measure: Callable[[], float]) -> None:
        self._measure = measure
        self._seconds = 0.0

    def measure(self) -> float:
        """Measure."""
        self._seconds = self._measure()
        return self._seconds

    def again(self) -> float:
        """Give what was measured last."""
        return self._seconds


def ratios(part: str, cases: list[Case], rounds: int) -> list[Ratio]:
    """Measure every case in every round, after one that does not count."""
    times = in_turn({case.name: case.measure for case in cases}, rounds)
    return [_ratio(part, case, times) for case in cases]


def in_turn(cases: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure every case once a round, in turn, after a round that does not count."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, measure in cases.items():
            value = measure()
            if number > 0:
                found[name].append(value)
    return found


def spread(
    part: str,
    name: str,
    values: list[float],
    *,
    unit: str,
    ratio: float | None = None,
    target: float | None = None,
    target_worst: float | None = None,
) -> Spread:
    """Sum up how values are distributed, and whether that is within the targets."""
    lower, middle, upper = quartiles(values)
    limits = [(middle, target), (max(values), target_worst)]
    held = [value <= limit for value, limit in limits if limit is not None]
    return Spread(
        part=part,
        name=name,
        unit=unit,
        median=middle,
        lower=lower,
        upper=upper,
        worst=max(values),
        ratio=ratio,
        target=target,
        target_worst=target_worst,
        met=all(held) if held else None,
        rounds=len(values),
    )


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Give the lower quartile, the median and the upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, middle, upper


def figure(ratio: float) -> str:
    """Write a ratio, with as many digits as a small one needs."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.4f}"


def said(met: bool | None) -> str:
    """Say whether a target is met; nothing where there is none."""
    return "" if met is None else "yes" if met else "no"


def _ratio(part: str, case: Case, times: dict[str, list[float]]) -> Ratio:
    pairs = zip(times[case.name], times[case.base], strict=True)
    found = [own / base for own, base in pairs]
    lower, middle, upper = quartiles(found)
    return Ratio(
        part=part,
        name=case.name,
        seconds=statistics.median(times[case.name]),
        ratio=middle,
        lower=lower,
        upper=upper,
        target=case.target,
        met=None if case.target is None else middle <= case.target,
        rounds=len(found),
    )

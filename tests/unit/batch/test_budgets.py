"""Budgets and baselines: noise does not break them, what is slower does."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable

import pytest

from harness import SpecError
from harness.batch import baseline as baselines
from harness.batch import budgets
from harness.batch.baseline import MARGIN, RUNS, Baseline, interval
from harness.batch.budgets import MOST_RUNS, Budgets
from harness.batch_results import Measure
from tests.unit import made_up

Clock = Callable[[random.Random], float]


def noisy(seconds: float) -> Clock:
    """Give what a clock shows on a shared machine: a few per cent more, at times far more."""

    def show(numbers: random.Random) -> float:
        spike = numbers.random() < 0.03
        return seconds * (1 + abs(numbers.gauss(0, 0.03)) + (numbers.random() * 2 if spike else 0))

    return show


def holds_budget(clock: Clock, bound: float, numbers: random.Random) -> bool:
    asked = Budgets(max_prediction_time=bound)
    values: dict[Measure, list[float]] = {"prediction_s": [clock(numbers)]}
    while budgets.runs_needed(asked, values) > len(values["prediction_s"]):
        values["prediction_s"].append(clock(numbers))
    (finding,) = budgets.findings(asked, values)
    assert len(values["prediction_s"]) <= MOST_RUNS
    return finding.holds


def holds_baseline(then: Clock, now: Clock, numbers: random.Random) -> bool:
    before = Baseline(outcomes={}, runs={"prediction_s": [then(numbers) for _ in range(RUNS)]})
    values: dict[Measure, list[float]] = {"prediction_s": [now(numbers)]}
    while baselines.runs_needed(before, values) > len(values["prediction_s"]):
        values["prediction_s"].append(now(numbers))
    (finding,) = baselines.findings(before, values)
    return finding.holds


def test_noise_breaks_no_budget_and_a_slowdown_does() -> None:
    numbers = random.Random(1)
    same = [holds_budget(noisy(0.050), 0.0575, numbers) for _ in range(200)]
    slower = [holds_budget(noisy(0.065), 0.0575, numbers) for _ in range(100)]
    assert same.count(False) <= 2
    assert slower.count(False) >= 95


def test_noise_is_no_regression_and_a_slowdown_is() -> None:
    numbers = random.Random(2)
    same = [holds_baseline(noisy(0.050), noisy(0.050), numbers) for _ in range(200)]
    slower = [holds_baseline(noisy(0.050), noisy(0.065), numbers) for _ in range(100)]
    assert same.count(False) <= 2
    assert slower.count(False) >= 95


@pytest.mark.parametrize(
    ("values", "runs"),
    [
        ([0.9], 1),  # within: no doubt
        ([1.1], 2),
        ([1.1, 1.2], 3),
        ([1.1, 1.2, 1.3], 3),  # three over: decided
        ([1.1, 0.9], 3),
        ([1.1, 0.9, 0.9], 4),
        ([1.1, 0.9, 0.9, 0.9], 4),
        ([1.1, 0.9, 1.1, 0.9], 5),
        ([1.1, 0.9, 1.1, 0.9, 1.1], 5),
    ],
)
def test_runs_until_three_agree(values: list[float], runs: int) -> None:
    assert budgets.runs_needed(Budgets(max_prediction_time=1.0), {"prediction_s": values}) == runs


def test_finding_reports_the_distribution() -> None:
    (finding,) = budgets.findings(
        Budgets(max_prediction_time=1.0), {"prediction_s": [1.5, 0.2, 1.4, 1.3]}
    )
    assert not finding.holds
    assert finding.message == (
        "slowest prediction: median 1.35 s of 4 runs from 200 ms to 1.50 s, "
        "over the budget of 1.00 s"
    )


def test_interval_is_exact_for_small_samples() -> None:
    """Counted by hand: with 5 and 5 only complete separation is rarer than 1 in 200."""
    now, then = [2.0, 2.1, 2.2, 2.3, 2.4], [1.0, 1.0, 1.0, 1.0, 1.0]
    assert interval(now, then) == (2.0, 2.4)
    assert interval([2.0], then) is None
    assert interval([1.0] * RUNS, [1.0] * RUNS) == (1.0, 1.0)


def test_interval_covers_the_truth() -> None:
    numbers = random.Random(3)
    covered = 0
    for _ in range(1000):
        now = [1.2 * numbers.lognormvariate(0, 0.1) for _ in range(RUNS)]
        then = [numbers.lognormvariate(0, 0.1) for _ in range(RUNS)]
        ends = interval(now, then)
        assert ends is not None
        covered += ends[0] <= 1.2 <= ends[1]
    assert covered >= 970


def test_too_few_runs_alarm_no_one_and_say_so() -> None:
    before = Baseline(outcomes={}, runs={"prediction_s": [0.01]})
    (finding,) = baselines.findings(before, {"prediction_s": [0.05] * RUNS})
    assert finding.holds
    assert f"make the baseline with --runs {RUNS}" in finding.message


def test_small_differences_are_none() -> None:
    before = Baseline(outcomes={}, runs={"prediction_s": [0.0001] * RUNS})
    (finding,) = baselines.findings(before, {"prediction_s": [0.0002] * RUNS})
    assert finding.holds
    assert finding.ratio == pytest.approx(2)
    assert (finding.ratio or 0) > MARGIN


def test_measures_are_the_slowest_and_the_peak() -> None:
    result = made_up.result()
    assert budgets.measures(result) == {
        "model_loading_s": 0.01,
        "prediction_s": 0.01,
        "memory_bytes": 11 * 2**20,
    }


def test_changes_name_what_became_of_each_place() -> None:
    before = Baseline(outcomes=baselines.outcomes(made_up.result()), runs={})
    assert before.changes(made_up.result()) == []
    changes = {item.place: (item.before, item.now) for item in before.changes(
        made_up.result(outcome="raised"))}  # fmt: skip
    assert changes["predict_fn[rows]"] == ("passed", "raised")
    assert changes["output_fn[rows, application/json]"] == ("passed", "skipped")


@pytest.mark.parametrize("value", [0, -1, float("nan"), "2"])
def test_budget_must_be_a_number_over_zero(value: object) -> None:
    with pytest.raises(SpecError):
        Budgets.model_validate({"max_prediction_time": value})


def test_median_is_what_is_told() -> None:
    values = [1.0, 1.1, 5.0]
    (finding,) = budgets.findings(Budgets(max_prediction_time=2.0), {"prediction_s": values})
    assert f"median {statistics.median(values):.2f} s" in finding.message

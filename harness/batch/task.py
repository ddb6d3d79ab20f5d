"""One handler of a batch as plain data, and what is done with it: test, try again, measure again.

In a thread of the batch `examined` takes a task; `run` is for wherever else an executor may be:
text goes in, text comes out.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from harness.batch import baseline, budgets
from harness.batch.baseline import Baseline
from harness.batch.budgets import Budgets
from harness.batch_results import BatchEntry, Fault, Finding, Measure
from harness.checks import handler_test
from harness.checks.kept import Kept
from harness.errors import (
    HandlerEnvironmentError,
    HarnessError,
    IsolationUnavailableError,
    LeftoverError,
    SpecError,
    WorkerError,
)
from harness.records import Outcome
from harness.results import FunctionTestResult, InferenceTestResult
from harness.spec_model import SpecModel
from harness.specs import InferenceHandlerSpec

CRASHES = frozenset({Outcome.crashed, Outcome.exited, Outcome.protocol_violated})


class Task(SpecModel):
    """A handler to be tested, and what its result is held to."""

    spec: InferenceHandlerSpec = Field(description="The handler")
    workspace: str | None = Field(default=None, description="Where run directories are made")
    retry_crashed: int = Field(default=0, ge=0, description="Further attempts after a crash")
    runs: int = Field(default=1, ge=1, description="How often to run it, for its measures")
    budgets: Budgets = Field(default=Budgets(), description="Bounds on its measures")
    baseline: Baseline | None = Field(default=None, description="What an earlier run gave")
    reproduce: str | None = Field(default=None, description="The command that runs it alone")


def run(text: str) -> str:
    """Test the handler of a task; give its entry of the batch, as JSON. Raises HarnessError."""
    return examined(Task.model_validate_json(text)).model_dump_json()


def examined(task: Task, kept: Kept | None = None) -> BatchEntry:
    """Test a handler, again where it crashed, and hold its measures to their bounds.

    `kept` is what the batch keeps, for tasks that run in its own process. Input that makes no sense
    and an environment that cannot be had are a result here, and so is what the tester could not do:
    the other handlers of the batch go on. Raises HarnessError.
    """
    try:
        result, earlier = _until_it_does_not_crash(task, kept)
        return _measured(task, result, earlier, kept)
    except SpecError as error:
        return _untested(task, "spec", error)
    except HandlerEnvironmentError as error:
        return _untested(task, "environment", error)
    except IsolationUnavailableError as error:
        return _untested(task, "isolation", error)
    except (WorkerError, LeftoverError) as error:
        return _untested(task, "tester", error)


def lost(task: Task, reason: str) -> BatchEntry:
    """Give the entry of a handler whose tester ended in the middle of it."""
    return _untested(task, "tester", HarnessError(f"{reason}; test the handler alone to see why"))


def _until_it_does_not_crash(
    task: Task, kept: Kept | None
) -> tuple[InferenceTestResult, list[str]]:
    earlier: list[str] = []
    while True:
        result = _tested(task, kept)
        crashes = CRASHES & {row.outcome for row in result.function_results()}
        if not crashes or len(earlier) == task.retry_crashed:
            return result, earlier
        earlier.append(", ".join(sorted(crashes)))


def _tested(task: Task, kept: Kept | None) -> InferenceTestResult:
    workspace = None if task.workspace is None else Path(task.workspace)
    return handler_test.run(task.spec, workspace, kept=kept)


def _measured(
    task: Task, result: InferenceTestResult, earlier: list[str], kept: Kept | None
) -> BatchEntry:
    runs = [budgets.measures(result)]
    while result.overall_success and len(runs) < _needed(task, runs):
        again = _tested(task, kept)
        if not again.overall_success:
            result = again  # what fails only now and then fails
            break
        runs.append(budgets.measures(again))
    values = _by_measure(runs)
    return BatchEntry(
        result=result,
        earlier_attempts=earlier,
        runs=values,
        findings=_findings(task, values) if result.overall_success else [],
        changes=task.baseline.changes(result) if task.baseline is not None else [],
        reproduce=task.reproduce,
    )


def _needed(task: Task, runs: list[dict[Measure, float]]) -> int:
    """Say how many runs it takes before a verdict: more where a bound seems to be broken."""
    values = _by_measure(runs)
    needed = [task.runs, budgets.runs_needed(task.budgets, values)]
    if task.baseline is not None:
        needed.append(baseline.runs_needed(task.baseline, values))
    return max(needed)


def _findings(task: Task, values: dict[Measure, list[float]]) -> list[Finding]:
    found = budgets.findings(task.budgets, values)
    if task.baseline is not None:
        found += baseline.findings(task.baseline, values)
    return found


def _by_measure(runs: list[dict[Measure, float]]) -> dict[Measure, list[float]]:
    return {name: [run[name] for run in runs if name in run] for name in runs[0]}


def _untested(task: Task, fault: Fault, error: Exception) -> BatchEntry:
    row = FunctionTestResult(
        function_name="model_fn",
        outcome=Outcome.not_started,
        execution_time=0.0,
        phase="start",
        error_message=str(error),
    )
    result = InferenceTestResult(
        handler_name=task.spec.handler_name,
        step_name=task.spec.step_name,
        overall_success=False,
        total_execution_time=0.0,
        model_fn_result=row,
        input_fn_results=[],
        predict_fn_results=[],
        output_fn_results=[],
        end_to_end_results=[],
        compatibility_results=[],
        errors=[str(error)],
    )
    changes = task.baseline.changes(result) if task.baseline is not None else []
    return BatchEntry(result=result, fault=fault, changes=changes, reproduce=task.reproduce)

"""CI suites: plain data that says which handlers are tested, how, and within what bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from harness.batch import scheduling, selection
from harness.batch.budgets import Budgets
from harness.batch.task import Task
from harness.batch_results import BatchResult
from harness.errors import HarnessError, SpecError
from harness.reports import github, junit, summary
from harness.results import FUNCTION_NAMES, FunctionName, InferenceTestResult
from harness.spec_fields import Seconds, Switch, Text
from harness.spec_model import SpecModel
from harness.specs import InferenceHandlerSpec

MEMORY_LIMIT_MB: Final = 1000
FLAGS: Final[Mapping[str, str]] = {
    "model_fn": "validate_model_loading",
    "input_fn": "validate_input_processing",
    "predict_fn": "validate_prediction",
    "output_fn": "validate_output_formatting",
}


class Configuration(SpecModel):
    """How a suite is run."""

    timeout_seconds: Seconds = Field(default=300, description="Most seconds of each call")
    parallel_execution: Switch = Field(default=True, description="Several handlers at one time")
    fail_fast: Switch = Field(default=False, description="Start no more after a failure")
    generate_reports: Switch = Field(default=True, description="Write reports where asked to")


class Case(SpecModel):
    """One handler of a suite, and what of it is tested."""

    handler_name: Text = Field(description="The handler; its spec has the same name")
    test_functions: tuple[FunctionName, ...] = Field(
        default=FUNCTION_NAMES, description="Functions that are judged by themselves"
    )
    test_integration: Switch = Field(default=True, description="Judge requests end to end")
    test_error_scenarios: Switch = Field(
        default=True, description="Send the samples that should be refused"
    )
    performance_validation: Switch = Field(default=True, description="Hold it to the benchmarks")
    spec: InferenceHandlerSpec = Field(description="What is tested")


class Suite(SpecModel):
    """A whole suite, as its dictionary says it."""

    test_configuration: Configuration = Field(default=Configuration())
    test_cases: Annotated[tuple[Case, ...], Field(description="One a handler")]
    performance_benchmarks: Budgets = Field(default=Budgets())

    def tasks(self) -> list[Task]:
        """Make a task of each case. Raises SpecError for two handlers of one name."""
        selection.named_once([case.spec for case in self.test_cases])
        return [self._task(case) for case in self.test_cases]

    def _task(self, case: Case) -> Task:
        if case.handler_name != case.spec.handler_name:
            raise SpecError(
                f"the case {case.handler_name!r} has the spec of {case.spec.handler_name!r}"
            )
        budgets = self.performance_benchmarks if case.performance_validation else Budgets()
        return Task(spec=_narrowed(case, self.test_configuration.timeout_seconds), budgets=budgets)


class InferenceCIIntegration:
    """Suites and reports for CI."""

    @staticmethod
    def create_ci_test_suite(handler_specs: Sequence[InferenceHandlerSpec]) -> dict[str, Any]:
        """Make a suite of handlers: plain data, that may be saved as JSON, changed, and run.

        Keys: test_configuration, test_cases, performance_benchmarks (seconds and MiB).
        """
        return {
            "test_configuration": Configuration().model_dump(mode="json"),
            "test_cases": [
                {
                    "handler_name": spec.handler_name,
                    "test_functions": list(FUNCTION_NAMES),
                    "test_integration": True,
                    "test_error_scenarios": True,
                    "performance_validation": True,
                    "spec": spec.model_dump(mode="json", exclude_unset=True),
                }
                for spec in handler_specs
            ],
            "performance_benchmarks": {
                "max_model_loading_time": 30.0,
                "max_prediction_time": 2.0,
                "max_memory_usage_mb": 1000,
            },
        }

    @staticmethod
    def run_ci_suite(
        suite: Mapping[str, Any], *, report_dir: str | Path | None = None
    ) -> BatchResult:
        """Run a suite; its benchmarks are checks. A handler may hold 1000 MiB, if it says nothing.

        With `report_dir`, and generate_reports on, batch.json, junit.xml and summary.md are written
        there. Raises SpecError for a suite that makes no sense, HarnessError when a report cannot
        be written.
        """
        asked = Suite.model_validate(dict(suite))
        how = asked.test_configuration
        options = scheduling.Options(
            jobs=None if how.parallel_execution else 1, fail_fast=how.fail_fast
        )
        batch = scheduling.run(asked.tasks(), options)
        if report_dir is not None and how.generate_reports:
            _write(batch, Path(report_dir))
        return batch

    @staticmethod
    def generate_test_report(results: Sequence[InferenceTestResult]) -> dict[str, Any]:
        """Sum up results. Keys: summary, performance_metrics (seconds), detailed_results."""
        return summary.generate(results)


def _narrowed(case: Case, timeout_s: float) -> InferenceHandlerSpec:
    """Give the spec with what the case leaves out switched off, and no timeout over the suite's."""
    spec = case.spec
    limits = spec.effective_limits
    bounds = {
        name: min(getattr(limits, name), timeout_s)
        for name in ("timeout_seconds", "startup_timeout_seconds")
    }
    if limits.memory_limit_mb is None:
        bounds["memory_limit_mb"] = MEMORY_LIMIT_MB
    update: dict[str, Any] = {"limits": limits.model_copy(update=bounds)}
    update |= {flag: False for name, flag in FLAGS.items() if name not in case.test_functions}
    if not case.test_integration:
        update["validate_end_to_end"] = False
    if not case.test_error_scenarios:
        samples = spec.test_data_samples
        update["test_data_samples"] = tuple(item for item in samples if item.should_succeed)
    return spec.model_copy(update=update)


def _write(batch: BatchResult, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        batch.save(folder / "batch.json")
        (folder / "junit.xml").write_bytes(junit.render(batch))
        (folder / "summary.md").write_text(github.markdown(batch), encoding="utf-8")
    except OSError as error:
        raise HarnessError(
            f"the reports in {folder} cannot be written: {error.strerror}; make room, or name "
            "another report_dir"
        ) from error

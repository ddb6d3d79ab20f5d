"""handlerproof: test SageMaker inference handlers offline, in a sandboxed worker each.

Glossary: a *spec* is what is asked; a *package* holds a model and the code of its *handler*; a
*sample* is one request; a *call* is one execution of one function in a *worker*; a *check* judges;
an *outcome* is the verdict of a call; a *result* is the record of a test; a *timeout* is a duration
in a spec, a *deadline* an instant in the runtime; a *session* is one worker from start to end.

Each name is loaded when it is first asked for: who tests one handler does not load pipelines.
"""

from importlib import import_module
from typing import TYPE_CHECKING

import worker  # noqa: F401  (no module of that name which a user has is taken for it later)

if TYPE_CHECKING:
    from harness.batch.budgets import Budgets
    from harness.batch.ci_suite import InferenceCIIntegration
    from harness.batch_results import BatchEntry, BatchResult
    from harness.checks.error_handler import InferenceErrorHandler
    from harness.checks.validation_framework import InferenceValidationFramework
    from harness.dag import PipelineDAG
    from harness.errors import (
        HandlerEnvironmentError,
        HarnessError,
        IsolationUnavailableError,
        PackageError,
        PayloadError,
        PipelineError,
        SpecError,
    )
    from harness.generation.generator import InferenceTestDataGenerator
    from harness.pipeline_results import (
        DataCompatibilityResult,
        PipelineTestResult,
        ScriptTestResult,
    )
    from harness.pipeline_specs import (
        InferencePipelineSpec,
        InferencePipelineTestingSpec,
        PipelineTestingSpec,
    )
    from harness.pipelines.builder import PipelineTestingSpecBuilder
    from harness.records import Outcome
    from harness.results import (
        CompatibilityTestResult,
        EndToEndTestResult,
        FunctionTestResult,
        InferenceTestResult,
        VariantTestResult,
    )
    from harness.script_spec import ScriptExecutionSpec
    from harness.specs import (
        FieldTolerance,
        InferenceHandlerSpec,
        InferenceTestSample,
        Limits,
        RuntimeTestingConfiguration,
    )
    from harness.stack_results import StackAnswer, StackComparison, StackDifference
    from harness.summaries import ResponseSummary
    from harness.tester import RuntimeTester

__all__ = [
    "BatchEntry",
    "BatchResult",
    "Budgets",
    "CompatibilityTestResult",
    "DataCompatibilityResult",
    "EndToEndTestResult",
    "FieldTolerance",
    "FunctionTestResult",
    "HandlerEnvironmentError",
    "HarnessError",
    "InferenceCIIntegration",
    "InferenceErrorHandler",
    "InferenceHandlerSpec",
    "InferencePipelineSpec",
    "InferencePipelineTestingSpec",
    "InferenceTestDataGenerator",
    "InferenceTestResult",
    "InferenceTestSample",
    "InferenceValidationFramework",
    "IsolationUnavailableError",
    "Limits",
    "Outcome",
    "PackageError",
    "PayloadError",
    "PipelineDAG",
    "PipelineError",
    "PipelineTestResult",
    "PipelineTestingSpec",
    "PipelineTestingSpecBuilder",
    "ResponseSummary",
    "RuntimeTester",
    "RuntimeTestingConfiguration",
    "ScriptExecutionSpec",
    "ScriptTestResult",
    "SpecError",
    "StackAnswer",
    "StackComparison",
    "StackDifference",
    "VariantTestResult",
]

# Where each of them is: what type checkers read above.
_HOMES = {
    "BatchEntry": "harness.batch_results",
    "BatchResult": "harness.batch_results",
    "Budgets": "harness.batch.budgets",
    "CompatibilityTestResult": "harness.results",
    "DataCompatibilityResult": "harness.pipeline_results",
    "EndToEndTestResult": "harness.results",
    "FieldTolerance": "harness.specs",
    "FunctionTestResult": "harness.results",
    "HandlerEnvironmentError": "harness.errors",
    "HarnessError": "harness.errors",
    "InferenceCIIntegration": "harness.batch.ci_suite",
    "InferenceErrorHandler": "harness.checks.error_handler",
    "InferenceHandlerSpec": "harness.specs",
    "InferencePipelineSpec": "harness.pipeline_specs",
    "InferencePipelineTestingSpec": "harness.pipeline_specs",
    "InferenceTestDataGenerator": "harness.generation.generator",
    "InferenceTestResult": "harness.results",
    "InferenceTestSample": "harness.specs",
    "InferenceValidationFramework": "harness.checks.validation_framework",
    "IsolationUnavailableError": "harness.errors",
    "Limits": "harness.specs",
    "Outcome": "harness.records",
    "PackageError": "harness.errors",
    "PayloadError": "harness.errors",
    "PipelineDAG": "harness.dag",
    "PipelineError": "harness.errors",
    "PipelineTestResult": "harness.pipeline_results",
    "PipelineTestingSpec": "harness.pipeline_specs",
    "PipelineTestingSpecBuilder": "harness.pipelines.builder",
    "ResponseSummary": "harness.summaries",
    "RuntimeTester": "harness.tester",
    "RuntimeTestingConfiguration": "harness.specs",
    "ScriptExecutionSpec": "harness.script_spec",
    "ScriptTestResult": "harness.pipeline_results",
    "SpecError": "harness.errors",
    "StackAnswer": "harness.stack_results",
    "StackComparison": "harness.stack_results",
    "StackDifference": "harness.stack_results",
    "VariantTestResult": "harness.results",
}

if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

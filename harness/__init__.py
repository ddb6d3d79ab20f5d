"""handlerproof: test SageMaker inference handlers offline, in a sandboxed worker each.

Glossary: a *spec* is what is asked; a *package* holds a model and the code of its *handler*; a
*sample* is one request; a *call* is one execution of one function in a *worker*; a *check* judges;
an *outcome* is the verdict of a call; a *result* is the record of a test; a *timeout* is a duration
in a spec, a *deadline* an instant in the runtime; a *session* is one worker from start to end.
"""

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
from harness.results import (
    CompatibilityTestResult,
    EndToEndTestResult,
    FunctionTestResult,
    InferenceTestResult,
    Outcome,
    ResponseSummary,
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

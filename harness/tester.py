"""RuntimeTester: the face of handlerproof. Each method is a few lines over `checks`."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from harness.artifacts.extraction import Extractions
from harness.artifacts.workspace import RunDirectory
from harness.checks import handler_test
from harness.checks.kept import Kept, keeping
from harness.checks.open_handler import OpenHandler, opened
from harness.errors import HarnessError, SpecError
from harness.specs import RuntimeTestingConfiguration, need_spec, need_specs

# What only some of the methods need is imported there: to test one handler takes half of it.
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from harness.batch.budgets import Budgets
    from harness.batch_results import BatchEntry, BatchResult
    from harness.checks.sources import Source
    from harness.pipeline_results import (
        DataCompatibilityResult,
        NodeTestResult,
        PathMatch,
        PipelineTestResult,
        ScriptTestResult,
    )
    from harness.pipeline_specs import PipelineTestingSpec
    from harness.pipelines.builder import PipelineTestingSpecBuilder
    from harness.results import FunctionTestResult, InferenceTestResult
    from harness.script_spec import ScriptExecutionSpec
    from harness.specs import InferenceHandlerSpec
    from harness.stack_results import StackComparison


class Matching(TypedDict):
    """How outputs and inputs are matched, as `wiring` and `matching` take it."""

    semantic: bool
    threshold: float


class RuntimeTester:
    """Test SageMaker inference handlers offline, each in a fresh worker process.

    Takes a configuration, or the directory below which run directories are made and removed again;
    none means the system's directory for temporary files. Nothing outlives a call: no process, no
    directory, no descriptor.
    """

    def __init__(
        self,
        config_or_workspace_dir: RuntimeTestingConfiguration | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Take the fields of RuntimeTestingConfiguration as options. Raises SpecError."""
        self.configuration = _configuration(config_or_workspace_dir, options)
        folder = self.configuration.workspace_dir
        self.workspace_dir = None if folder is None else Path(folder)
        self._extractions = Extractions(self.workspace_dir)
        self._open = ExitStack()
        self._kept: Kept | None = None

    def __enter__(self) -> RuntimeTester:
        """Keep, until the end of the block, what makes the next worker start sooner."""
        self._kept = self._open.enter_context(keeping(self.workspace_dir))
        return self

    def __exit__(self, *_: object) -> None:
        """End what was kept; remove what `_extract_packaged_model` made and was not cleaned up."""
        self._kept = None
        self._open.close()
        self._extractions.remove_all()

    # ------------------------------------------------------------ handlers

    def test_inference_handler(
        self,
        handler_spec: InferenceHandlerSpec,
        *,
        on_row: Callable[[FunctionTestResult], None] | None = None,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> InferenceTestResult:
        """Test a handler: its four functions, and every sample with every accept type.

        Whatever the handler does is in the result; `on_row` is told of each call as it ends,
        `on_note` of what goes on before the first.
        Raises SpecError (PackageError, PayloadError) for input that makes no sense,
        HandlerEnvironmentError when no worker can be started.
        """
        self._need_inference_testing()
        need_spec(handler_spec)
        return handler_test.run(handler_spec, self._workspace(), on_row, on_note, self._kept)

    def compare_stacks(
        self,
        handler_spec: InferenceHandlerSpec,
        *,
        on_row: Callable[[FunctionTestResult], None] | None = None,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> StackComparison:
        """Test a handler under each serving stack in turn, and say what differs.

        The spec's own stack is of no effect. Raises as `test_inference_handler` does.
        """
        from harness.checks import stack_comparison

        self._need_inference_testing()
        need_spec(handler_spec)
        return stack_comparison.run(handler_spec, self._workspace(), on_row, on_note, self._kept)

    def test_inference_pipeline(self, handler_spec: InferenceHandlerSpec) -> dict[str, Any]:
        """Test a handler as `test_inference_handler` does; give the result as a dictionary.

        Keys: handler_name, step_name, pipeline_success, function_results, errors. Input that makes
        no sense is an error in it, not an exception.
        """
        from harness.checks.seed_views import pipeline_view

        need_spec(handler_spec)
        try:
            return pipeline_view(self.test_inference_handler(handler_spec))
        except HarnessError as error:
            return {
                "handler_name": handler_spec.handler_name,
                "step_name": handler_spec.step_name,
                "pipeline_success": False,
                "function_results": {},
                "errors": [str(error)],
            }

    def run_batch(
        self,
        specs: Sequence[InferenceHandlerSpec],
        *,
        jobs: int | None = None,
        executor: Executor | None = None,
        on_result: Callable[[BatchEntry], None] | None = None,
        fail_fast: bool = False,
        max_failures: int | None = None,
        retry_crashed: int = 0,
        runs: int = 1,
        budgets: Budgets | None = None,
        baseline: str | Path | None = None,
        state: str | Path | None = None,
        resume: bool = False,
    ) -> BatchResult:
        """Test many handlers, `jobs` at one time (None: one a core) and as memory allows.

        By default forks of this process test, or threads where it has several already; `executor`
        is any other, whose `submit` gets plain data. `on_result` is told of each handler as it
        ends. With a directory `state` each finished handler is on disk before that, and `resume`
        goes on where another run ended.
        `baseline` is a saved result of an earlier batch. Ctrl-C ends the workers and gives what was
        finished. Raises SpecError for two handlers of one name and for options that make no sense;
        a handler whose own spec or environment is at fault is an entry like any other.
        """
        from harness.batch import baseline as baselines
        from harness.batch import scheduling, selection
        from harness.batch.budgets import Budgets
        from harness.batch.task import Task

        self._need_inference_testing()
        need_specs(specs)
        selection.named_once(specs)
        workspace = self._workspace()
        before = baselines.read(Path(baseline)) if baseline is not None else {}
        tasks = [
            Task(
                spec=spec,
                workspace=None if workspace is None else str(workspace),
                retry_crashed=retry_crashed,
                runs=runs,
                budgets=budgets or Budgets(),
                baseline=before.get(spec.handler_name),
            )
            for spec in specs
        ]
        options = scheduling.Options(
            jobs=jobs,
            executor=executor,
            max_failures=max_failures,
            fail_fast=fail_fast,
            state=None if state is None else Path(state),
            resume=resume,
            on_result=on_result,
        )
        return scheduling.run(tasks, options)

    def test_inference_function(
        self,
        handler_module: Source | OpenHandler,
        function_name: str,
        test_params: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Call one function of a handler with given parameters; never raise for what it does.

        The handler is a path (a file of Python, or a package), a spec, a module object, or one
        opened with `open_handler`. The parameters go by the contract's names or by the function's
        own. Keys: function_name, success, execution_time, then result and validation, or error.
        """
        from harness.checks.seed_views import function_view
        from harness.checks.sources import own_model_dir, spec_of

        try:
            self._need_inference_testing()
            if isinstance(handler_module, OpenHandler):
                return function_view(handler_module.function(function_name, test_params))
            with RunDirectory(self._workspace()) as run:
                given = dict(test_params)
                own_model = own_model_dir(function_name, given)
                spec = spec_of(handler_module, run, own_model)
                if own_model is not None and spec.model_dir == own_model:
                    # The handler gets the private copy, never the caller's directory in place.
                    given = dict.fromkeys(given)
                with opened(spec, run, kept=self._kept) as live:
                    return function_view(live.function(function_name, given))
        except HarnessError as error:
            return {
                "function_name": function_name,
                "success": False,
                "execution_time": 0.0,
                "error": str(error),
            }

    @contextmanager
    def open_handler(self, handler: Source) -> Iterator[OpenHandler]:
        """Open a handler in a worker and keep it: call its functions one by one.

        Raises SpecError and its kinds as `test_inference_handler` does.
        """
        from harness.checks.sources import spec_of

        self._need_inference_testing()
        with (
            RunDirectory(self._workspace()) as run,
            opened(spec_of(handler, run), run, kept=self._kept) as live,
        ):
            yield live

    # ------------------------------------------------------------ scripts and pipelines

    @cached_property
    def builder(self) -> PipelineTestingSpecBuilder:
        """What makes the specs of a pipeline from the workspace's directory."""
        from harness.pipelines.builder import PipelineTestingSpecBuilder

        return PipelineTestingSpecBuilder(self._root())

    def test_script_with_spec(
        self, script_spec: ScriptExecutionSpec, main_params: Mapping[str, Any] | None = None
    ) -> ScriptTestResult:
        """Run a script once in a worker, with the parameters of main; its spec's by default.

        Whatever the script does is in the result. Raises PipelineError for a script or an input
        that is not there, HandlerEnvironmentError when no worker can be started.
        """
        from harness.checks import script_test

        file = self._script_file(script_spec)
        return script_test.test(script_spec, file, main_params or {}, self._workspace())

    def test_data_compatibility_with_specs(
        self, spec_a: ScriptExecutionSpec, spec_b: ScriptExecutionSpec
    ) -> DataCompatibilityResult:
        """Run one script, and then the other on what it wrote. Raises as the above."""
        from harness.pipelines import compatibility

        return compatibility.of_scripts(
            spec_a, spec_b, self._workspace(), self._root(), **self._matching()
        )

    def test_script_to_inference_compatibility(
        self, script_spec: ScriptExecutionSpec, handler_spec: InferenceHandlerSpec
    ) -> dict[str, Any]:
        """Run a script; send what it wrote to a handler's input_fn and predict_fn.

        Keys: compatible; content_type, output_file, file_format and sent, or error, details and
        adapter; passed_over, result. Raises PipelineError as the above.
        """
        from harness.pipelines import compatibility

        self._need_inference_testing()
        return compatibility.of_script_and_handler(
            script_spec, self._script_file(script_spec), handler_spec, self._workspace()
        )

    def test_pipeline(
        self,
        pipeline_spec: PipelineTestingSpec,
        *,
        resume: bool = False,
        nodes: Collection[str] | None = None,
        on_node: Callable[[NodeTestResult], None] | None = None,
    ) -> PipelineTestResult:
        """Run a pipeline once, each node in a worker of its own, with what those before it gave.

        With `resume`, nodes that passed before and have not changed are not run again. `nodes` are
        those to run, None all. Raises PipelineError for what can be seen to be wrong before
        anything runs.
        """
        from harness.pipeline_specs import InferencePipelineTestingSpec
        from harness.pipelines import flow

        if isinstance(pipeline_spec, InferencePipelineTestingSpec):
            self._need_inference_testing()
        return flow.run(
            pipeline_spec,
            self._workspace(),
            resume=resume,
            nodes=nodes,
            on_node=on_node,
            **self._matching(),
        )

    def test_pipeline_flow_with_spec(self, pipeline_spec: PipelineTestingSpec) -> dict[str, Any]:
        """Run a pipeline as `test_pipeline` does; give the result as a dictionary.

        Keys: pipeline_success, script_results, inference_results, data_flow_results,
        execution_order, errors, result.
        """
        from harness.pipelines.seed_views import flow_view

        return flow_view(self.test_pipeline(pipeline_spec))

    def test_pipeline_with_inference(
        self,
        pipeline_spec: PipelineTestingSpec,
        inference_handlers: Mapping[str, InferenceHandlerSpec] | None = None,
    ) -> dict[str, Any]:
        """Run a pipeline in which handlers stand at some nodes; as the above otherwise."""
        from harness.pipeline_specs import InferencePipelineTestingSpec

        whole = InferencePipelineTestingSpec.of(pipeline_spec, inference_handlers)
        return self.test_pipeline_flow_with_spec(whole)

    # ------------------------------------------------------------ logical names

    def get_path_matches(
        self, spec_a: ScriptExecutionSpec, spec_b: ScriptExecutionSpec
    ) -> list[PathMatch]:
        """Pair the outputs of one script with the inputs of another, the surest first."""
        from harness.pipelines import matching, wiring

        outputs, inputs = wiring.script_outputs(spec_a), wiring.script_inputs(spec_b)
        return matching.matches(outputs, inputs, **self._matching())

    def generate_matching_report(
        self, spec_a: ScriptExecutionSpec, spec_b: ScriptExecutionSpec
    ) -> dict[str, Any]:
        """Sum up what `get_path_matches` gives, with what is left over and what to do about it."""
        from harness.pipelines import matching_reports

        found = self.get_path_matches(spec_a, spec_b)
        return matching_reports.of_scripts(spec_a, spec_b, found)

    def validate_pipeline_logical_names(self, pipeline_spec: PipelineTestingSpec) -> dict[str, Any]:
        """Say of each edge of a pipeline what goes over it by name, and what nothing feeds."""
        from harness.pipelines import matching_reports, wiring

        wires = wiring.wire(pipeline_spec, **self._matching())
        return matching_reports.of_pipeline(pipeline_spec, wires)

    # ------------------------------------------------------------ the seed's helpers

    def _extract_packaged_model(
        self, packaged_model_path: str | Path, extraction_dir: str | Path = "inference_inputs"
    ) -> dict[str, str]:
        return self._extractions.extract(Path(packaged_model_path), Path(extraction_dir))

    def _cleanup_extraction_directory(self, extraction_dir: str | Path) -> None:
        self._extractions.remove(Path(extraction_dir))

    def _load_handler_module(self, handler_file_path: str | Path) -> Path:
        from harness.artifacts import files

        return files.handler_file(Path(handler_file_path))

    def _load_payload_samples(self, payload_samples_path: str | Path) -> list[dict[str, Any]]:
        from harness.artifacts import payloads

        with RunDirectory(self._workspace()) as run:
            return [
                {
                    "sample_name": payload.sample_name,
                    "content_type": payload.content_type,
                    "data": payload.body,
                    "file_path": str(payload.file_path),
                }
                for payload in payloads.load(Path(payload_samples_path), run).samples
            ]

    def _validate_function_result(
        self, function_name: str, result: Any, test_params: Mapping[str, Any]
    ) -> dict[str, Any]:
        from harness.checks import validation

        return dict(validation.validate_type(function_name, type(result).__name__))

    def _find_valid_output_files(self, output_dir: str | Path) -> list[Path]:
        from harness.artifacts import files

        return files.valid_output_files(Path(output_dir))

    def _detect_file_format(self, file: str | Path) -> str:
        from harness.artifacts import files

        return files.format_of(Path(file))

    # ------------------------------------------------------------ its own

    def _need_inference_testing(self) -> None:
        if not self.configuration.enable_inference_testing:
            raise SpecError(
                "inference testing is off in this configuration; set enable_inference_testing=True"
            )

    def _matching(self) -> Matching:
        return {
            "semantic": self.configuration.enable_logical_matching,
            "threshold": self.configuration.semantic_threshold,
        }

    def _root(self) -> Path:
        from harness.script_spec import DEFAULT_ROOT

        return self.workspace_dir or Path(DEFAULT_ROOT)

    def _script_file(self, script_spec: ScriptExecutionSpec) -> Path:
        from harness.pipelines import preflight

        return preflight.script_file(script_spec, self._root()).absolute()

    def _workspace(self) -> Path | None:
        """Give the workspace directory, made when it is not there."""
        if self.workspace_dir is not None:
            self.workspace_dir.mkdir(parents=True, exist_ok=True)
        return self.workspace_dir


def _configuration(
    given: RuntimeTestingConfiguration | str | Path | None, options: dict[str, Any]
) -> RuntimeTestingConfiguration:
    if isinstance(given, RuntimeTestingConfiguration):
        if options:
            raise SpecError("give a configuration or its options, not both")
        return given
    if given is not None:
        if "workspace_dir" in options:
            raise SpecError("workspace_dir is given twice; give it once")
        options = {"workspace_dir": given, **options}
    return RuntimeTestingConfiguration(**options)

"""RuntimeTester: the face of handlerproof. Each method is a few lines over `checks`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from harness.artifacts import files, payloads
from harness.artifacts.extraction import Extractions
from harness.artifacts.workspace import RunDirectory
from harness.checks import handler_test, validation
from harness.checks.live import LiveHandler, opened
from harness.checks.seed_views import function_view, pipeline_view
from harness.checks.sources import Source, own_model_dir, spec_of
from harness.errors import HarnessError, SpecError
from harness.pipeline_results import PathMatch
from harness.pipeline_specs import PipelineTestingSpec
from harness.pipelines import matching, matching_reports, wiring
from harness.pipelines.builder import PipelineTestingSpecBuilder
from harness.results import FunctionTestResult, InferenceTestResult
from harness.script_spec import DEFAULT_ROOT, ScriptExecutionSpec
from harness.specs import InferenceHandlerSpec, RuntimeTestingConfiguration


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
        self.builder = PipelineTestingSpecBuilder(self.workspace_dir or DEFAULT_ROOT)
        self._extractions = Extractions(self.workspace_dir)

    def __enter__(self) -> "RuntimeTester":
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what `_extract_packaged_model` made and was not cleaned up."""
        self._extractions.remove_all()

    # ------------------------------------------------------------ handlers

    def test_inference_handler(
        self,
        handler_spec: InferenceHandlerSpec,
        *,
        on_row: Callable[[FunctionTestResult], None] | None = None,
    ) -> InferenceTestResult:
        """Test a handler: its four functions, and every sample with every accept type.

        Whatever the handler does is in the result; `on_row` is told of each call as it ends.
        Raises SpecError (PackageError, PayloadError) for input that makes no sense,
        HandlerEnvironmentError when no worker can be started.
        """
        self._need_inference_testing()
        return handler_test.run(handler_spec, self._workspace(), on_row)

    def test_inference_pipeline(self, handler_spec: InferenceHandlerSpec) -> dict[str, Any]:
        """Test a handler as `test_inference_handler` does; give the result as a dictionary.

        Keys: handler_name, step_name, pipeline_success, function_results, errors. Input that makes
        no sense is an error in it, not an exception.
        """
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

    def test_inference_function(
        self,
        handler_module: Source | LiveHandler,
        function_name: str,
        test_params: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Call one function of a handler with given parameters; never raise for what it does.

        The handler is a path (a file of Python, or a package), a spec, a module object, or one
        opened with `open_handler`. The parameters go by the contract's names or by the function's
        own. Keys: function_name, success, execution_time, then result and validation, or error.
        """
        try:
            self._need_inference_testing()
            if isinstance(handler_module, LiveHandler):
                return function_view(handler_module.function(function_name, test_params))
            with RunDirectory(self._workspace()) as run:
                given = dict(test_params)
                own_model = own_model_dir(function_name, given)
                spec = spec_of(handler_module, run, own_model)
                if own_model is not None and spec.model_dir == own_model:
                    # The handler gets the private copy, never the caller's directory in place.
                    given = dict.fromkeys(given)
                with opened(spec, run) as live:
                    return function_view(live.function(function_name, given))
        except HarnessError as error:
            return {
                "function_name": function_name,
                "success": False,
                "execution_time": 0.0,
                "error": str(error),
            }

    @contextmanager
    def open_handler(self, handler: Source) -> Iterator[LiveHandler]:
        """Open a handler in a worker and keep it: call its functions one by one.

        Raises SpecError and its kinds as `test_inference_handler` does.
        """
        self._need_inference_testing()
        with RunDirectory(self._workspace()) as run, opened(spec_of(handler, run), run) as live:
            yield live

    # ------------------------------------------------------------ logical names

    def get_path_matches(
        self, spec_a: ScriptExecutionSpec, spec_b: ScriptExecutionSpec
    ) -> list[PathMatch]:
        """Pair the outputs of one script with the inputs of another, the surest first."""
        outputs, inputs = wiring.script_outputs(spec_a), wiring.script_inputs(spec_b)
        return matching.matches(outputs, inputs, **self._matching())

    def generate_matching_report(
        self, spec_a: ScriptExecutionSpec, spec_b: ScriptExecutionSpec
    ) -> dict[str, Any]:
        """Sum up what `get_path_matches` gives, with what is left over and what to do about it."""
        found = self.get_path_matches(spec_a, spec_b)
        return matching_reports.of_scripts(spec_a, spec_b, found)

    def validate_pipeline_logical_names(self, pipeline_spec: PipelineTestingSpec) -> dict[str, Any]:
        """Say of each edge of a pipeline what goes over it by name, and what nothing feeds."""
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
        return files.handler_file(Path(handler_file_path))

    def _load_payload_samples(self, payload_samples_path: str | Path) -> list[dict[str, Any]]:
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
        return dict(validation.validate_type(function_name, type(result).__name__))

    def _find_valid_output_files(self, output_dir: str | Path) -> list[Path]:
        return files.valid_output_files(Path(output_dir))

    def _detect_file_format(self, file: str | Path) -> str:
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

"""Whether a script or a handler takes what a script writes, the two of them alone."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.artifacts.workspace import RunDirectory
from harness.checks import script_test
from harness.checks.script_test import Run
from harness.dag import PipelineDAG
from harness.errors import HarnessError
from harness.pipeline_results import DataCompatibilityResult, PassedOver
from harness.pipeline_specs import PipelineTestingSpec
from harness.pipelines import adapters, flow, requests
from harness.pipelines.adapters import Attempt
from harness.pipelines.requests import Candidate, Found
from harness.pipelines.wiring import request_outputs, script_outputs
from harness.results import CompatibilityTestResult
from harness.runtime.script_launch import Parameters
from harness.script_spec import ScriptExecutionSpec
from harness.specs import InferenceHandlerSpec

MAX_ROWS = 100
MAX_TRIES = 200


def of_scripts(
    spec_a: ScriptExecutionSpec,
    spec_b: ScriptExecutionSpec,
    workspace: Path | None,
    root: str | Path,
    *,
    semantic: bool,
    threshold: float,
) -> DataCompatibilityResult:
    """Run one script, and then the other on what it wrote: a pipeline of two nodes.

    Raises PipelineError for what can be seen to be wrong before anything runs.
    """
    if spec_a.step_name == spec_b.step_name:
        spec_b = spec_b.model_copy(update={"step_name": f"{spec_b.step_name}_2"})
    source, destination = spec_a.step_name, spec_b.step_name
    spec = PipelineTestingSpec(
        dag=PipelineDAG([source, destination], [(source, destination)]),
        script_specs={source: spec_a, destination: spec_b},
        test_workspace_root=str(root),
    )
    result = flow.run(spec, workspace, semantic=semantic, threshold=threshold)
    edge = result.edge(source, destination)
    if edge.skip_reason is None:
        return edge
    issues = [row.error_message for row in result.node_results if row.error_message]
    return edge.model_copy(
        update={"skip_reason": None, "compatibility_issues": [edge.skip_reason, *issues]}
    )


def of_script_and_handler(
    script: ScriptExecutionSpec,
    file: Path,
    handler: InferenceHandlerSpec,
    workspace: Path | None,
    max_rows: int = MAX_ROWS,
) -> dict[str, Any]:
    """Run a script once; send what it wrote to input_fn and predict_fn of a handler.

    Keys: compatible; then content_type, output_file, file_format, sent, or error, details, adapter.
    With both: passed_over and result (a CompatibilityTestResult). Raises PipelineError for a script
    that cannot be run as its spec stands.
    """
    start = time.monotonic()
    given = script_test.of_main_params(script, {})
    script_test.need_inputs(given.input_paths)
    with RunDirectory(workspace) as run:
        done = script_test.execute(script, file, given, run.path)
        script_test.publish(done, given.output_paths)
        try:
            found = _Pair(script, handler, done, given, workspace, max_rows).test()
        except HarnessError as error:
            found = {"compatible": False, "error": str(error), "details": []}
    return {**found, "result": _record(script, handler, found, time.monotonic() - start)}


class _Pair:
    """What a script wrote, and the handler that is to take it."""

    def __init__(
        self,
        script: ScriptExecutionSpec,
        handler: InferenceHandlerSpec,
        done: Run,
        given: Parameters,
        workspace: Path | None,
        max_rows: int,
    ) -> None:
        self._script = script
        self._handler = handler
        self._done = done
        self._asked_paths = given.output_paths
        self._workspace = workspace
        self._max_rows = max_rows
        self._details: list[str] = []

    def test(self) -> dict[str, Any]:
        result = self._done.result
        if not result.success:
            self._details.append(f"{result.outcome.value}: {result.error_message}")
            return self._refused("Script execution failed")
        found = self._found()
        if not found.candidates:
            return self._refused("No script output files found", found.passed_over)
        with requests.trials(self._handler, self._workspace) as attempt:
            return self._try_all(found, attempt)

    def _found(self) -> Found:
        """Take the output that fits best and has something to send; say why others have not."""
        passed_over: tuple[PassedOver, ...] = ()
        names = request_outputs(script_outputs(self._script))
        for number, name in enumerate(names):
            found = requests.find([(name, self._done.places[name])], self._max_rows)
            passed_over += found.passed_over
            if found.candidates:
                left = _left(names[number + 1 :], "an output that fits better has files")
                return Found(found.candidates, passed_over + left)
            path = self._asked_paths[name]
            self._details.append(f"No valid files in output path '{name}': {path}")
        return Found((), passed_over)

    def _try_all(self, found: Found, attempt: Attempt) -> dict[str, Any]:
        """Try each file under each content type; the first that passes decides."""
        refused: tuple[Candidate, str, str] | None = None
        for candidate in found.candidates:
            for content_type in requests.content_types(self._handler, candidate.media_type):
                said = attempt(candidate.parcel(content_type))
                if said is None:
                    return self._taken(candidate, content_type, found)
                self._details.append(
                    f"Content type '{content_type}' failed for {candidate.path.name}: {said}"
                )
                refused = refused or (candidate, content_type, said)
        assert refused is not None or not found.candidates
        error = "No compatible content type found for any output file"
        if refused is None:
            return self._refused(error, found.passed_over)
        candidate, content_type, said = refused
        adapter = adapters.find(
            candidate.parcel(content_type),
            said,
            attempt,
            content_types=requests.types_for_adapters(self._handler),
            max_tries=MAX_TRIES,
            deadline=adapters.in_time(),
        )
        answer = self._refused(error, found.passed_over)
        return {**answer, "adapter": adapter.model_dump() if adapter else None}

    def _taken(self, candidate: Candidate, content_type: str, found: Found) -> dict[str, Any]:
        place = self._done.places[candidate.output_name]
        inside = candidate.path.relative_to(place)
        after = found.candidates[found.candidates.index(candidate) + 1 :]
        left = _left([item.name for item in after], "another file was taken before it")
        return {
            "compatible": True,
            "content_type": content_type,
            "output_file": str(Path(self._asked_paths[candidate.output_name], inside)),
            "file_format": candidate.format,
            "sent": candidate.sent(content_type).model_dump(),
            "details": list(self._details),
            "passed_over": _plain(found.passed_over + left),
        }

    def _refused(self, error: str, passed_over: tuple[PassedOver, ...] = ()) -> dict[str, Any]:
        return {
            "compatible": False,
            "error": error,
            "details": list(self._details),
            "passed_over": _plain(passed_over),
        }


def _left(names: list[str], reason: str) -> tuple[PassedOver, ...]:
    return tuple(PassedOver(candidate=name, reason=reason) for name in names)


def _plain(passed_over: tuple[PassedOver, ...]) -> list[dict[str, Any]]:
    return [item.model_dump() for item in passed_over]


def _record(
    script: ScriptExecutionSpec,
    handler: InferenceHandlerSpec,
    found: Mapping[str, Any],
    elapsed_s: float,
) -> CompatibilityTestResult:
    issues = [] if found["compatible"] else [found["error"], *found["details"]]
    return CompatibilityTestResult(
        script_name=script.script_name,
        handler_name=handler.handler_name,
        source=script.script_name,
        destination="input_fn",
        compatible=found["compatible"],
        content_type_used=found.get("content_type"),
        source_type=found.get("file_format"),
        compatibility_issues=issues,
        test_execution_time=elapsed_s,
    )

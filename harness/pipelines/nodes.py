"""One node of a pipeline, run once with what the nodes before it gave."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.artifacts import formats, outputs
from harness.checks import handler_test, script_test
from harness.errors import HandlerEnvironmentError, SpecError
from harness.pipeline_results import DataCompatibilityResult, NodeInput, NodeKind, NodeTestResult
from harness.pipeline_specs import InferencePipelineTestingSpec, PipelineTestingSpec
from harness.pipelines import preflight, requests
from harness.pipelines.requests import Found
from harness.pipelines.wiring import PACKAGE, PAYLOADS, Wiring
from harness.records import Outcome
from harness.results import InferenceTestResult
from harness.runtime.script_launch import Parameters
from harness.specs import InferenceHandlerSpec, InferenceTestSample


@dataclass(frozen=True)
class Done:
    """A node that has ended: its row, the edges into it, and what it gave.

    `places` are where its outputs lie by logical name, `typed` the content types of responses.
    """

    row: NodeTestResult
    edges: tuple[DataCompatibilityResult, ...] = ()
    places: Mapping[str, Path] = field(default_factory=dict)
    typed: Mapping[Path, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """What every node of one run has: the pipeline, what feeds what, where to work."""

    spec: PipelineTestingSpec
    wiring: Wiring
    workspace: Path | None

    def kind(self, node: str) -> NodeKind:
        """Say what stands at a node that has a spec."""
        return self.spec.kind_of(node) or "script"

    def handler(self, node: str) -> InferenceHandlerSpec:
        """Give the spec of a handler's node."""
        assert isinstance(self.spec, InferencePipelineTestingSpec)
        return self.spec.inference_handlers[node]

    def asked_path(self, node: str, name: str) -> str | None:
        """Give the path that the user wrote for an input; None: none was."""
        if self.kind(node) == "inference":
            path: str | None = getattr(self.handler(node), name)
            return path
        return self.spec.script_specs[node].input_paths.get(name)


@dataclass(frozen=True)
class Nothing:
    """An edge brings nothing of what it should bring."""

    source: str
    why: str


@dataclass(frozen=True)
class Sent:
    """What an edge brings to a handler as requests, and the samples that were made of it."""

    found: Found
    samples: tuple[InferenceTestSample, ...]


@dataclass(frozen=True)
class ScriptRun:
    """A script's node that was run: with what, and what came of it."""

    row: NodeTestResult
    file: Path
    given: Parameters
    places: Mapping[str, Path]


@dataclass(frozen=True)
class HandlerRun:
    """A handler's node that was run: with what spec, what was sent, and what came of it."""

    row: NodeTestResult
    spec: InferenceHandlerSpec
    sent: Mapping[str, Sent]
    fault: SpecError | None = None


# ---------------------------------------------------------------- inputs


def inputs(setting: Setting, node: str, before: Mapping[str, Done]) -> list[NodeInput] | Nothing:
    """List the inputs of a node, or name the first that an edge should bring and does not."""
    found: list[NodeInput] = []
    for name, path in _asked(setting, node).items():
        match = setting.wiring.feeds.get(node, {}).get(name)
        source = (match and match.source_node) or ""
        output = match.source_logical_name if match else ""
        if source not in before or output not in before[source].places:
            found.append(NodeInput(input_name=name, path=os.path.abspath(path)))
            continue
        place = before[source].places[output]
        if not outputs.has_content(place):
            return Nothing(
                source, f"{source} wrote nothing to its output {output!r}, which feeds {name!r}"
            )
        part = str(_part(setting, source, output, place, path))
        found.append(
            NodeInput(input_name=name, path=part, source_node=source, source_output=output)
        )
    return found


def _asked(setting: Setting, node: str) -> dict[str, str]:
    if setting.kind(node) == "script":
        return dict(setting.spec.script_specs[node].input_paths)
    paths = {name: getattr(setting.handler(node), name) for name in (PACKAGE, PAYLOADS)}
    return {name: path for name, path in paths.items() if path is not None}


def _part(setting: Setting, source: str, output: str, place: Path, asked: str) -> Path:
    """Pick the part of an output that an input asks for: all of it, a file in it, its directory.

    An input whose path lies within the output's path means the same file in it. One that is written
    like a file means the file of that name in a directory, or else the only one of its kind.
    """
    wanted = Path(os.path.abspath(asked))
    if setting.kind(source) == "script":
        own = Path(os.path.abspath(setting.spec.script_specs[source].output_paths[output]))
        if wanted != own and wanted.is_relative_to(own) and place.is_dir():
            return place / wanted.relative_to(own)
    if outputs.is_written_like_a_file(wanted):
        return _file_in(place, wanted.name) if place.is_dir() else place
    return place if place.is_dir() else place.parent


def _file_in(place: Path, name: str) -> Path:
    files = list(outputs.files(place))
    same = [file for file in files if file.name == name]
    same = same or [file for file in files if file.suffix == Path(name).suffix]
    return same[0] if len(same) == 1 else place


def as_asked(setting: Setting, row: NodeTestResult, before: Mapping[str, Done]) -> NodeTestResult:
    """Name the inputs by the paths of the user's specs, not by those of the run directory."""
    return row.model_copy(update={"inputs": [_named(setting, item, before) for item in row.inputs]})


def _named(setting: Setting, item: NodeInput, before: Mapping[str, Done]) -> NodeInput:
    source, output = item.source_node, item.source_output
    if source is None or output is None or setting.kind(source) == "inference":
        return item
    place, path = before[source].places[output], Path(item.path)
    asked = Path(os.path.abspath(setting.spec.script_specs[source].output_paths[output]))
    shown = asked / path.relative_to(place) if path.is_relative_to(place) else asked.parent
    return item.model_copy(update={"path": str(shown)})


# ---------------------------------------------------------------- scripts


def run_script(setting: Setting, node: str, given: list[NodeInput], folder: Path) -> ScriptRun:
    """Run a script's node; put its outputs where they are asked for. Raises SpecError."""
    start = time.monotonic()
    script = setting.spec.script_specs[node]
    file = preflight.script_file(script, setting.spec.test_workspace_root).absolute()
    paths = {item.input_name: item.path for item in given}
    parameters = script_test.of_main_params(script, {"input_paths": paths})
    done = script_test.execute(script, file, parameters, folder)
    script_test.publish(done, parameters.output_paths)
    row = NodeTestResult(
        node=node,
        kind="script",
        outcome=done.result.outcome,
        execution_time=time.monotonic() - start,
        error_message=done.result.error_message,
        inputs=given,
        script=done.result,
    )
    return ScriptRun(row, file, parameters, done.places)


# ---------------------------------------------------------------- handlers


def run_handler(
    setting: Setting, node: str, given: list[NodeInput], before: Mapping[str, Done]
) -> HandlerRun:
    """Test a handler's node: its own samples, and what the edges bring, in one worker."""
    start = time.monotonic()
    handler = setting.handler(node)
    sent = {
        source: _sent(setting, handler, source, names, before[source])
        for (source, taker), names in setting.wiring.requests.items()
        if taker == node and source in before and before[source].places
    }
    handler = _placed(handler, given, sent)
    result, fault = None, None
    try:
        result = handler_test.run(handler, setting.workspace)
    except SpecError as error:  # of what an edge brought: a package without a handler
        fault = error
    row = NodeTestResult(
        node=node,
        kind="inference",
        outcome=Outcome.failed if result is None else outcome_of(result),
        execution_time=time.monotonic() - start,
        error_message=str(fault) if result is None else "; ".join(result.errors[:3]) or None,
        inputs=given,
        handler=result,
    )
    return HandlerRun(row, handler, sent, fault)


def _sent(
    setting: Setting, handler: InferenceHandlerSpec, source: str, names: list[str], done: Done
) -> Sent:
    """Choose what an edge sends: the best file of a script, every response of a handler."""
    places = [(name, done.places[name]) for name in names if name in done.places]
    found = requests.find(places, setting.spec.max_rows, done.typed)
    chosen = found.candidates if setting.kind(source) == "inference" else found.candidates[:1]
    samples = tuple(
        InferenceTestSample(
            sample_name=f"{source}/{candidate.name}",
            content_type=requests.content_types(handler, candidate.media_type)[0],
            request_body=candidate.cut.body,
        )
        for candidate in chosen
    )
    return Sent(found, samples)


def _placed(
    handler: InferenceHandlerSpec, given: list[NodeInput], sent: Mapping[str, Sent]
) -> InferenceHandlerSpec:
    """Put what the edges bring in the place of what the spec says."""
    samples = [sample for item in sent.values() for sample in item.samples]
    changes: dict[str, object] = {
        item.input_name: _package_in(item.path) if item.input_name == PACKAGE else item.path
        for item in given
        if item.source_node is not None
    }
    changes["test_data_samples"] = (*handler.test_data_samples, *samples)
    return handler.model_copy(update=changes)


def _package_in(path: str) -> str:
    """Give the one archive in a directory that holds nothing else, as packaging steps leave it."""
    if os.path.isdir(path):
        files = list(outputs.files(Path(path)))
        if len(files) == 1 and formats.detect(files[0]) == "tar.gz":
            return str(files[0])
    return path


def outcome_of(result: InferenceTestResult) -> Outcome:
    """Give one outcome of a handler: that of the first call that did not pass."""
    if result.overall_success:
        return Outcome.passed
    rows = [*result.function_results(), *result.end_to_end_results]
    bad = (row.outcome for row in rows if not row.success and row.outcome is not Outcome.skipped)
    return next(bad, Outcome.failed)


def not_run(setting: Setting, node: str, outcome: Outcome, why: str) -> NodeTestResult:
    """Give the row of a node that was not run."""
    skipped = outcome is Outcome.skipped
    return NodeTestResult(
        node=node,
        kind=setting.kind(node),
        outcome=outcome,
        skip_reason=why if skipped else None,
        error_message=None if skipped else why,
    )


def refused(setting: Setting, node: str, error: Exception) -> NodeTestResult:
    """Give the row of a node that could not be run, for a reason that shows only now."""
    unstarted = isinstance(error, HandlerEnvironmentError)
    return not_run(setting, node, Outcome.not_started if unstarted else Outcome.failed, str(error))

"""What became of the edges into a node, and what would make those pass that did not."""

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.artifacts import formats, outputs
from harness.artifacts.workspace import RunDirectory
from harness.checks import script_test
from harness.errors import HarnessError, PackageError, PayloadError
from harness.pipeline_results import (
    AdapterProposal,
    DataCompatibilityResult,
    DataSent,
    NodeInput,
    PassedOver,
    PathMatch,
    ScriptTestResult,
)
from harness.pipelines import adapters, requests
from harness.pipelines.nodes import Done, HandlerRun, ScriptRun, Sent, Setting
from harness.pipelines.tables import Parcel
from harness.pipelines.wiring import PACKAGE, PAYLOADS
from harness.results import FunctionTestResult, InferenceTestResult, Outcome, not_asked
from harness.runtime.script_launch import Parameters
from harness.script_spec import ScriptExecutionSpec

# A node that ended so has refused its data; one that hung or crashed has not said anything of it.
REFUSED = (Outcome.raised, Outcome.exited, Outcome.failed)
CHANGEABLE = ("csv", "tsv", "json", "jsonl")
MAX_FILES = 3
MAX_FILE_BYTES = 4 * 2**20
MAX_TRIES_SCRIPT = 40
MAX_TRIES_HANDLER = 200
TRY_TIMEOUT_S = 30.0
LOG_CHARS = 4000


def not_tested(setting: Setting, source: str, node: str, why: str) -> DataCompatibilityResult:
    """Give the row of an edge that was not tested; one that carries nothing fails all the same."""
    if not setting.wiring.carries(source, node):
        return nothing(source, node)
    return DataCompatibilityResult(
        script_a=source,
        script_b=node,
        compatible=False,
        skip_reason=why,
        path_matches=setting.wiring.matches(source, node),
    )


def unselected(source: str, node: str) -> DataCompatibilityResult:
    """Give the row of an edge into a node that is not selected."""
    return DataCompatibilityResult(
        script_a=source, script_b=node, compatible=False, skip_reason=not_asked("not selected")
    )


def nothing(source: str, node: str) -> DataCompatibilityResult:
    """Give the row of an edge over which nothing goes."""
    issue = (
        f"nothing goes over it: no output of {source} has a name like an input of {node}; "
        "give one an alias, or take the edge out"
    )
    return DataCompatibilityResult(
        script_a=source, script_b=node, compatible=False, compatibility_issues=[issue]
    )


def empty(setting: Setting, source: str, node: str, why: str) -> DataCompatibilityResult:
    """Give the row of an edge whose source wrote nothing of what goes over it."""
    return DataCompatibilityResult(
        script_a=source,
        script_b=node,
        compatible=False,
        compatibility_issues=[why],
        path_matches=setting.wiring.matches(source, node),
    )


# ---------------------------------------------------------------- into a script


def into_script(
    setting: Setting, run: ScriptRun, before: Mapping[str, Done]
) -> tuple[DataCompatibilityResult, ...]:
    """Judge the edges into a script's node by how it ended.

    When it refused its data, changes are tried edge by edge. Where one on a single edge makes it
    pass, the data of the other edges was taken as it is.
    """
    node = run.row.node
    rows = {
        source: _script_edge(setting, run, source, done)
        for source, done in before.items()
        if setting.wiring.carries(source, node)
    }
    if run.row.outcome in REFUSED:
        for source in rows:
            adapter = _adapter_for_script(setting, run, source)
            if adapter is not None:
                return tuple(_cleared(row, source, adapter) for row in rows.values())
    return tuple(rows.values())


def _cleared(
    row: DataCompatibilityResult, culprit: str, adapter: AdapterProposal
) -> DataCompatibilityResult:
    if row.script_a == culprit:
        return row.model_copy(update={"adapter": adapter})
    return row.model_copy(update={"compatible": True, "compatibility_issues": []})


def _script_edge(
    setting: Setting, run: ScriptRun, source: str, done: Done
) -> DataCompatibilityResult:
    node = run.row.node
    matches = setting.wiring.matches(source, node)
    sent = [_handed_on(match, done) for match in matches]
    fed = {item.input_name: item.path for item in run.row.inputs if item.source_node == source}
    issue = f"{node} {run.row.outcome.value.replace('_', ' ')}: {run.row.error_message}"
    return DataCompatibilityResult(
        script_a=source,
        script_b=node,
        compatible=run.row.success,
        compatibility_issues=[] if run.row.success else [issue],
        data_format_a=sent[0].format if sent else None,
        data_format_b=next((_format_at(Path(path)) for path in fed.values()), None),
        path_matches=matches,
        sent=sent,
        execution_time=run.row.execution_time,
    )


def _handed_on(match: PathMatch, done: Done) -> DataSent:
    place = done.places[match.source_logical_name]
    files = list(outputs.files(place))
    return DataSent(
        output_name=match.source_logical_name,
        input_name=match.dest_logical_name,
        file=files[0].name if len(files) == 1 else None,
        format=_format_at(place),
        size_bytes=sum(file.stat().st_size for file in files),
    )


def _format_at(place: Path) -> str | None:
    """Name the one format of all files at a place; "mixed" for several."""
    found = {formats.detect(file) for file in outputs.files(place)}
    return (found.pop() if len(found) == 1 else "mixed") if found else None


def _adapter_for_script(setting: Setting, run: ScriptRun, source: str) -> AdapterProposal | None:
    for item in run.row.inputs:
        if item.source_node != source:
            continue
        files = [file for file in outputs.files(Path(item.path)) if _is_changeable(file)]
        for file in files[:MAX_FILES]:
            trial = _Trial(setting, run, item, file)
            found = adapters.find(
                Parcel(file.read_bytes(), formats.detect(file), file.name),
                trial.said(run.row.error_message, run.row.script),
                trial.attempt,
                content_types=(),
                max_tries=MAX_TRIES_SCRIPT,
            )
            if found is not None:
                return found
    return None


def _is_changeable(file: Path) -> bool:
    return file.stat().st_size <= MAX_FILE_BYTES and formats.detect(file) in CHANGEABLE


@dataclass(frozen=True)
class _Trial:
    """A script to be run again with one of its input files changed."""

    setting: Setting
    run: ScriptRun
    item: NodeInput
    file: Path

    def attempt(self, parcel: Parcel) -> str | None:
        """Say how the script refuses the changed file; None when it passes."""
        script = self._hurried()
        with RunDirectory(self.setting.workspace) as trial:
            path = self._changed(parcel, trial.path / "changed")
            paths = {**self.run.given.input_paths, self.item.input_name: str(path)}
            given = Parameters(
                paths,
                self.run.given.output_paths,
                self.run.given.environ_vars,
                self.run.given.job_args,
            )
            try:
                done = script_test.execute(script, self.run.file, given, trial.make("node"))
            except HarnessError as error:
                return str(error)
            result = done.result
            return None if result.success else self.said(result.error_message, result)

    def said(self, message: str | None, result: ScriptTestResult | None) -> str:
        log = result.log if result is not None else None
        return f"{message}\n{(log.head + log.tail)[-LOG_CHARS:] if log else ''}"

    def _hurried(self) -> ScriptExecutionSpec:
        script = self.setting.spec.script_specs[self.run.row.node]
        seconds = script.effective_limits.timeout_seconds or TRY_TIMEOUT_S
        limits = script.limits.model_copy(update={"timeout_seconds": min(seconds, TRY_TIMEOUT_S)})
        return script.model_copy(update={"limits": limits})

    def _changed(self, parcel: Parcel, folder: Path) -> Path:
        """Copy the input with the one file changed."""
        place = Path(self.item.path)
        if place.is_file():
            folder.mkdir()
            (folder / parcel.name).write_bytes(parcel.body)
            return folder / parcel.name
        for file in outputs.files(place):
            target = folder / file.relative_to(place)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file == self.file:
                target.with_name(parcel.name).write_bytes(parcel.body)
            else:
                shutil.copyfile(file, target)
        return folder


# ---------------------------------------------------------------- into a handler


def into_handler(
    setting: Setting, run: HandlerRun, before: Mapping[str, Done]
) -> tuple[DataCompatibilityResult, ...]:
    """Judge the edges into a handler's node: by its model, its payloads, what was sent to it."""
    node = run.row.node
    rows = []
    for source in before:
        if source in run.sent:
            rows.append(_request_edge(setting, run, source, run.sent[source]))
        elif setting.wiring.matches(source, node):
            rows.append(_file_edge(setting, run, source, before[source]))
    return tuple(rows)


def _file_edge(
    setting: Setting, run: HandlerRun, source: str, done: Done
) -> DataCompatibilityResult:
    """Judge an edge that brings the package or the payloads."""
    node = run.row.node
    matches = setting.wiring.matches(source, node)
    issues = [issue for match in matches for issue in _file_issues(run, match.dest_logical_name)]
    sent = [_handed_on(match, done) for match in matches]
    return DataCompatibilityResult(
        script_a=source,
        script_b=node,
        compatible=not issues,
        compatibility_issues=issues,
        data_format_a=sent[0].format,
        path_matches=matches,
        sent=sent,
        execution_time=run.row.execution_time,
    )


def _file_issues(run: HandlerRun, taken_as: str) -> Iterator[str]:
    result = run.row.handler
    if result is None:
        blamed = {PACKAGE: PackageError, PAYLOADS: PayloadError}[taken_as]
        other = isinstance(run.fault, PackageError | PayloadError)
        if isinstance(run.fault, blamed) or not other:
            yield f"{run.row.node} cannot use it: {run.row.error_message}"
    elif taken_as == PACKAGE and not result.model_fn_result.success:
        yield f"model_fn: {result.model_fn_result.error_message}"
    elif taken_as == PAYLOADS:
        yield from _payload_issues(run, result)


def _payload_issues(run: HandlerRun, result: InferenceTestResult) -> Iterator[str]:
    others = {sample.sample_name for sample in run.spec.test_data_samples}
    rows = [row for row in result.end_to_end_results if row.sample_name not in others]
    if not rows:
        yield "there is no payload sample in it"
    for row in rows:
        if not row.success and row.asked:
            yield f"sample {row.sample_name!r}: {row.error_message or row.skip_reason}"


def _request_edge(
    setting: Setting, run: HandlerRun, source: str, sent: Sent
) -> DataCompatibilityResult:
    """Judge an edge that brings requests: input_fn and predict_fn, or transform_fn, took all."""
    start = time.monotonic()
    node = run.row.node
    issues = list(_request_issues(run, sent))
    chosen = {sample.sample_name for sample in sent.samples}
    candidates = {f"{source}/{item.name}": item for item in sent.found.candidates}
    left = [
        PassedOver(candidate=item.name, reason="another file of this node was sent")
        for name, item in candidates.items()
        if name not in chosen
    ]
    refused = bool(issues) and run.row.handler is not None and bool(sent.samples)
    return DataCompatibilityResult(
        script_a=source,
        script_b=node,
        compatible=not issues,
        compatibility_issues=issues,
        data_format_a=sent.found.candidates[0].format if candidates else None,
        data_format_b=sent.samples[0].content_type if sent.samples else None,
        sent=[
            candidates[sample.sample_name].sent(sample.content_type or "")
            for sample in sent.samples
        ],
        passed_over=[*sent.found.passed_over, *left],
        adapter=_adapter_for_handler(setting, run, sent, issues[0]) if refused else None,
        execution_time=run.row.execution_time + time.monotonic() - start,
    )


def _request_issues(run: HandlerRun, sent: Sent) -> Iterator[str]:
    if not sent.samples:
        yield "nothing in it can be the body of a request"
    result = run.row.handler
    if result is None:
        yield f"{run.row.node} was not tested: {run.row.error_message}"
        return
    for row in _rows_of(result, sent):
        if not row.success and row.outcome is not Outcome.skipped:
            yield f"{row.function_name} on {row.sample_name!r}: {row.error_message}"
    if not result.model_fn_result.success:
        yield f"model_fn: {result.model_fn_result.error_message}"


def _rows_of(result: InferenceTestResult, sent: Sent) -> list[FunctionTestResult]:
    names = {sample.sample_name for sample in sent.samples}
    rows = (
        *result.input_fn_results,
        *result.predict_fn_results,
        *result.transform_fn_results,
    )
    return [row for row in rows if row.sample_name in names]


def _adapter_for_handler(
    setting: Setting, run: HandlerRun, sent: Sent, issue: str
) -> AdapterProposal | None:
    result = run.row.handler
    assert result is not None
    bad = {row.sample_name for row in _rows_of(result, sent) if row.outcome in REFUSED}
    pairs = zip(sent.samples, sent.found.candidates, strict=False)
    refused = [pair for pair in pairs if pair[0].sample_name in bad]
    if not result.model_fn_result.success or not refused:
        return None
    sample, candidate = refused[0]
    with requests.trials(run.spec, setting.workspace) as attempt:
        return adapters.find(
            candidate.parcel(sample.content_type or ""),
            issue,
            attempt,
            content_types=requests.types_for_adapters(run.spec),
            max_tries=MAX_TRIES_HANDLER,
        )

"""What became of the edges into a node, and what would make those pass that did not."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.artifacts import formats, outputs
from harness.errors import PackageError, PayloadError
from harness.pipeline_results import (
    AdapterProposal,
    DataCompatibilityResult,
    DataSent,
    PassedOver,
    PathMatch,
)
from harness.pipelines import adapters, mending
from harness.pipelines.nodes import Done, HandlerRun, ScriptRun, Sent, Setting
from harness.pipelines.wiring import PACKAGE, PAYLOADS
from harness.records import Outcome, not_asked
from harness.results import InferenceTestResult


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
    if run.row.outcome in mending.REFUSED:
        deadline = adapters.in_time()
        for source in rows:
            adapter = mending.of_script(setting, run, source, deadline)
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
    if not run.row.success and run.row.outcome not in mending.REFUSED:
        how = run.row.outcome.value.replace("_", " ")
        return not_tested(setting, source, node, f"{node} {how}, which says nothing of its data")
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
        adapter=mending.of_handler(setting, run, sent, issues[0]) if refused else None,
        execution_time=run.row.execution_time + time.monotonic() - start,
    )


def _request_issues(run: HandlerRun, sent: Sent) -> Iterator[str]:
    if not sent.samples:
        yield "nothing in it can be the body of a request"
    result = run.row.handler
    if result is None:
        yield f"{run.row.node} was not tested: {run.row.error_message}"
        return
    for row in mending.rows_of(result, sent):
        if not row.success and row.outcome is not Outcome.skipped:
            yield f"{row.function_name} on {row.sample_name!r}: {row.error_message}"
    if not result.model_fn_result.success:
        yield f"model_fn: {result.model_fn_result.error_message}"

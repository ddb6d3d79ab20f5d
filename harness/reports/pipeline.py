"""A pipeline's result for the terminal: its drawing, its edges, each failure with its place."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.pipeline_results import (
    AdapterProposal,
    DataCompatibilityResult,
    NodeTestResult,
    PipelineTestResult,
)
from harness.records import Outcome
from harness.reports.console import block, details, failures, listed
from harness.reports.dag import Drawing
from harness.reports.text import duration, harmless, outcome_style, size


def render(result: PipelineTestResult) -> RenderableType:
    """Give the whole report of a pipeline."""
    parts: list[RenderableType] = [Drawing(result), Text("")]
    if result.edge_results:
        parts.append(_edges(result.edge_results))
    for row in result.node_results:
        parts += _failed_node(row)
    for edge in result.edge_results:
        parts += _failed_edge(edge)
    if result.warnings:
        parts.append(listed("Warnings", result.warnings, "yellow"))
    if result.recommendations:
        parts.append(listed("Recommendations", result.recommendations, "yellow"))
    parts += [Text(""), _verdict(result)]
    return Group(*parts)


def _edges(edges: list[DataCompatibilityResult]) -> Table:
    table = Table.grid(padding=(0, 2))
    for edge in edges:
        table.add_row(
            Text(harmless(f"{edge.script_a} -> {edge.script_b}")),
            Text(edge.outcome.value, style=outcome_style(edge.outcome)),
            Text(harmless(_carried(edge)), style="dim"),
        )
    return table


def _carried(edge: DataCompatibilityResult) -> str:
    """Say what goes over an edge: pairs of names, and what was sent as a request."""
    pairs = [
        f"{match.source_logical_name} -> {match.dest_logical_name} "
        f"({match.match_type}, {match.confidence:.2f})"
        for match in edge.path_matches
    ]
    for sent in edge.sent:
        if sent.content_type is not None:
            cut = f", {sent.rows_cut} rows left out" if sent.rows_cut else ""
            pairs.append(f"{sent.output_name} as {sent.content_type}: {size(sent.size_bytes)}{cut}")
    return "\n".join(pairs) or "-"


def _failed_node(row: NodeTestResult) -> Iterator[RenderableType]:
    if row.success or row.outcome is Outcome.skipped:
        return
    lines = details(row.script, "script") if row.script is not None else []
    yield block(row.node, row.outcome, row.error_message, lines)
    if row.handler is not None:
        yield from failures(row.handler)


def _failed_edge(edge: DataCompatibilityResult) -> Iterator[RenderableType]:
    if edge.outcome is not Outcome.failed:
        return
    issues = list(edge.compatibility_issues)
    issues += [f"passed over {item.candidate}: {item.reason}" for item in edge.passed_over]
    if edge.adapter is not None:
        issues.append(f"next: {_advice(edge.adapter)}")
    title = f"{edge.script_a} -> {edge.script_b}"
    yield block(title, edge.outcome, None, issues)


def _advice(adapter: AdapterProposal) -> str:
    changes = "; ".join(change.detail for change in adapter.changes)
    under = f", as {adapter.content_type}" if adapter.content_type else ""
    return f"with this change it was seen to pass{under}: {changes}"


def _verdict(result: PipelineTestResult) -> Text:
    rates = result.success_rates()
    counts = ", ".join(f"{rates[k]['passed']}/{rates[k]['total']} {k}" for k in rates)
    took = duration(result.total_execution_time)
    word, style = ("passed", "bold green") if result.pipeline_success else ("failed", "bold red")
    text = Text(f"{word} in {took}: {counts}", style=style)
    shown = {row.error_message for row in result.node_results}
    rest = [error for error in result.errors if not result.node_results and error not in shown]
    return text.append("".join(f"\n{harmless(error)}" for error in rest))

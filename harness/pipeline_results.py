"""What came out of testing scripts, the edges between nodes, and a whole pipeline.

Records as in results.py, with the same promises. docs/results.md defines every field.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from harness.records import Count, Judged, Outcome, Record, Saved, Seconds, Text
from harness.results import InferenceTestResult, Phase, SuccessRate
from harness.summaries import (
    EnvironmentSummary,
    FailureSummary,
    IsolationSummary,
    LogExcerpt,
    NetworkAttempt,
    SignalSummary,
)

MatchType = Literal["exact", "alias", "semantic"]
NodeKind = Literal["script", "inference"]
Change = Literal[
    "drop_header", "drop_column", "rename_column", "content_type", "one_record", "other"
]
Confidence = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


# ---------------------------------------------------------------- parts


class OutputFile(Record):
    """One file that a script wrote."""

    output_name: Text = Field(description="Logical name of the output that it belongs to")
    path: Text = Field(description="Path below the output's own; the file's name for a single file")
    format: Text = Field(description="Format by content and extension, such as csv; unknown")
    size_bytes: Count = Field(description="Its size")


class PathMatch(Record):
    """An output that was found to feed an input."""

    source_node: Text | None = Field(default=None, description="The node that gives; None: alone")
    source_logical_name: Text = Field(description="Logical name of the output")
    dest_logical_name: Text = Field(description="Logical name of the input")
    match_type: MatchType = Field(
        description="exact: the same name, words or path; alias; semantic: alike"
    )
    confidence: Confidence = Field(description="From 0 to 1; 1 for the same name")
    reason: Text = Field(description="Why they match, in words")


class PassedOver(Record):
    """A file or a way of sending it that was not used for an edge."""

    candidate: Text = Field(description="The file, or the file under a content type")
    reason: Text = Field(description="Why it was not used")


class DataSent(Record):
    """What went over an edge."""

    output_name: Text = Field(description="Logical name of the output")
    input_name: Text | None = Field(
        default=None, description="Logical name of the input; None: the body of a request"
    )
    file: Text | None = Field(default=None, description="The file; None: a response, or all files")
    format: Text | None = Field(default=None, description="Its format")
    content_type: Text | None = Field(
        default=None, description="Content type it was sent under; None: handed on as a file"
    )
    size_bytes: Count = Field(description="Bytes that were sent")
    rows: Count | None = Field(default=None, description="Rows that were sent")
    rows_cut: Count | None = Field(default=None, description="Rows that were left out at the end")


class AdapterChange(Record):
    """One step of an adapter."""

    change: Change = Field(description="What kind of change")
    detail: Text = Field(description="The change in words, such as: drop the column 'label'")


class AdapterProposal(Record):
    """The smallest change to what an edge carries with which it was seen to pass."""

    changes: list[AdapterChange] = Field(description="The changes, in the order they are made")
    content_type: Text | None = Field(default=None, description="Content type it passed under")
    tries: Count = Field(description="How many ways were tried before it passed")
    preview: Text | None = Field(default=None, description="The beginning of what passed")


class NodeInput(Record):
    """Where a node's input came from."""

    input_name: Text = Field(description="Logical name of the input")
    path: Text = Field(description="Path that the node was given")
    source_node: Text | None = Field(default=None, description="The node that gave; None: no edge")
    source_output: Text | None = Field(default=None, description="Logical name of its output")


# ---------------------------------------------------------------- rows


class ScriptTestResult(Judged):
    """One script, run once in a worker of its own."""

    script_name: Text = Field(description="The script")
    step_name: Text = Field(description="Its node in a PipelineDAG")
    execution_time: Seconds = Field(description="Seconds that main, or the program, took")
    has_main_function: bool | None = Field(
        default=None, description="Whether the file defines main; None: run as a program"
    )
    error_message: Text | None = Field(default=None, description="What went wrong, to what")
    phase: Phase = Field(default="call", description="How far the worker was when it ended")
    failure: FailureSummary | None = Field(default=None, description="The exception it raised")
    exit_code: int | None = Field(default=None, description="Exit code of a script that ended")
    signal: SignalSummary | None = Field(default=None, description="Signal that ended the worker")
    log: LogExcerpt | None = Field(default=None, description="What it printed")
    stack: Text | None = Field(
        default=None, description="Where every thread was just before a timeout ended it"
    )
    peak_memory_bytes: Count | None = Field(default=None, description="Most bytes held")
    peak_memory_source: Text | None = Field(default=None, description="How that was measured")
    outputs: list[OutputFile] = Field(default=[], description="The files it wrote, by output")
    network_attempts: list[NetworkAttempt] = Field(
        default=[], description="What it tried to reach, whether or not it could"
    )
    warnings: list[Text] = Field(default=[], description="What may fail elsewhere")
    isolation: IsolationSummary | None = Field(
        default=None, description="The isolation in force; None: no worker was started"
    )
    environment: EnvironmentSummary | None = Field(
        default=None, description="The interpreter; None: no worker was started"
    )


class DataCompatibilityResult(Record):
    """Whether what one node gives suits the next: one edge of a pipeline."""

    script_a: Text = Field(description="The node, script or handler that gives")
    script_b: Text = Field(description="The node, script or handler that takes")
    compatible: bool = Field(description="Whether it was taken")
    skip_reason: Text | None = Field(default=None, description="Why it was not tested; else None")
    compatibility_issues: list[Text] = Field(default=[], description="What did not fit")
    data_format_a: Text | None = Field(default=None, description="Format that was given")
    data_format_b: Text | None = Field(default=None, description="Format that was taken")
    path_matches: list[PathMatch] = Field(default=[], description="Which output feeds which input")
    sent: list[DataSent] = Field(default=[], description="What went over the edge")
    passed_over: list[PassedOver] = Field(default=[], description="Candidates that were not used")
    adapter: AdapterProposal | None = Field(
        default=None, description="The change that makes a failed edge pass; None: none was found"
    )
    execution_time: Seconds = Field(default=0.0, description="Seconds that the test took")

    @property
    def outcome(self) -> Outcome:
        """Give passed, failed, or skipped for what was not tested."""
        if self.skip_reason is not None:
            return Outcome.skipped
        return Outcome.passed if self.compatible else Outcome.failed

    @model_validator(mode="after")
    def _skip_only_what_is_not_compatible(self) -> Self:
        if self.compatible and self.skip_reason is not None:
            raise ValueError("an edge with a skip_reason was not tested, so it is not compatible")
        return self


class NodeTestResult(Judged):
    """One node of a pipeline."""

    node: Text = Field(description="The node")
    kind: NodeKind = Field(description="script, or inference for a handler")
    execution_time: Seconds = Field(default=0.0, description="Seconds from its start to its end")
    reused: bool = Field(default=False, description="Whether an earlier run's outputs were taken")
    error_message: Text | None = Field(default=None, description="What went wrong, to what")
    inputs: list[NodeInput] = Field(default=[], description="What it was given, and from where")
    script: ScriptTestResult | None = Field(default=None, description="The script's own result")
    handler: InferenceTestResult | None = Field(
        default=None, description="The handler's own result"
    )


# ---------------------------------------------------------------- the whole


class PipelineTestResult(Saved):
    """Everything that came out of testing one pipeline."""

    pipeline_success: bool = Field(description="Whether all that was asked for passed")
    total_execution_time: Seconds = Field(description="Seconds from start to end")
    node_results: list[NodeTestResult] = Field(description="One row a node, in topological order")
    edge_results: list[DataCompatibilityResult] = Field(
        description="One row an edge, by the names of its nodes"
    )
    errors: list[Text] = Field(default=[], description="What makes it fail, one sentence each")
    warnings: list[Text] = Field(default=[], description="What may fail elsewhere")
    recommendations: list[Text] = Field(
        default=[], description="What would make matches surer, one sentence each"
    )

    def node(self, name: str) -> NodeTestResult:
        """Give the row of a node. Raises: KeyError."""
        return {row.node: row for row in self.node_results}[name]

    def edge(self, source: str, destination: str) -> DataCompatibilityResult:
        """Give the row of an edge. Raises: KeyError."""
        rows = {(row.script_a, row.script_b): row for row in self.edge_results}
        return rows[source, destination]

    def success_rates(self) -> dict[str, SuccessRate]:
        """Count the nodes and the edges that passed, of those that were asked for."""
        asked = [row for row in self.node_results if row.asked]
        tested = [row for row in self.edge_results if row.outcome is not Outcome.skipped]
        return {
            "nodes": {"passed": sum(row.success for row in asked), "total": len(asked)},
            "edges": {"passed": sum(row.compatible for row in tested), "total": len(tested)},
        }

    def outcomes(self) -> dict[Outcome, int]:
        """Count the nodes by outcome."""
        return dict(Counter(row.outcome for row in self.node_results))

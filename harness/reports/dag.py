"""A pipeline drawn for the terminal: a line for each node, and lanes for the edges between them.

A lane holds the edges that lead to one node. Nodes come in topological order: lanes only go down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from harness.pipeline_results import NodeTestResult, PipelineTestResult
from harness.records import Outcome
from harness.reports.text import duration, harmless, outcome_style

_MARKS: Final = {Outcome.passed: "✓", Outcome.skipped: "○"}
_FAILED: Final = "✗"

# Which of the four ways a line leaves a cell: up, down, left, right.
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES: Final = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
_PLAIN: Final = str.maketrans("╵╷│╴┘┐┤╶└┌├─┴┬┼✓○✗", "'.|-'.+-'.+-+++*ox")


@dataclass(frozen=True)
class Drawing:
    """The lines of a pipeline's drawing; in plain ASCII where the terminal knows nothing else."""

    result: PipelineTestResult

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give a Text for each line."""
        lines = list(draw(self.result))
        width = max((len(line) for line, _ in lines), default=0)
        for line, row in lines:
            lanes = line.translate(_PLAIN) if options.ascii_only else line
            yield Text(lanes) if row is None else _labelled(lanes.ljust(width), row)


def draw(result: PipelineTestResult) -> Iterator[tuple[str, NodeTestResult | None]]:
    """Give the lanes of each line, and the node that is on it; None: edges only."""
    lanes = _Lanes()
    for row in result.node_results:
        yield lanes.at(row.node, _MARKS.get(row.outcome, _FAILED)), row
        targets = [edge.script_b for edge in result.edge_results if edge.script_a == row.node]
        if joints := lanes.leave(row.node, targets):
            yield joints, None


@dataclass
class _Lanes:
    """The columns of the drawing, each with the node that it leads to, or free."""

    targets: list[str | None] = field(default_factory=list)
    left: int = -1  # the lane of the node before; what does not come from it stands elsewhere

    def at(self, node: str, mark: str) -> str:
        """Draw the line of a node: its mark in its lane, and the lanes that pass."""
        own = self._lane(node, avoid=self.left)
        cells = [" " if target is None else "│" for target in self.targets]
        cells[own] = mark
        return " ".join(cells).rstrip()

    def leave(self, node: str, targets: list[str]) -> str:
        """Lead from a node's lane to those of its targets; draw that unless it is straight down."""
        own = self.left = self.targets.index(node)
        passing = [target is not None for target in self.targets]
        self.targets[own] = None
        ends = sorted({self._lane(target, near=own) for target in targets})
        while self.targets and self.targets[-1] is None:
            self.targets.pop()
        return _joints(own, ends, passing) if ends and ends != [own] else ""

    def _lane(self, node: str, near: int = 0, avoid: int = -1) -> int:
        """Give the lane that leads to a node: its own, else a free one, else a new one."""
        if node not in self.targets:
            self.targets += [None] * (2 if len(self.targets) == avoid else 1)
            free = [lane for lane, target in enumerate(self.targets) if target is None]
            own = min(
                (lane for lane in free if lane != avoid), key=lambda lane: (lane < near, lane)
            )
            self.targets[own] = node
        return self.targets.index(node)


def _joints(own: int, ends: list[int], passing: list[bool]) -> str:
    """Draw the line on which edges go from one lane to others, over or under what passes."""
    first, last = min(own, *ends), max(own, *ends)
    width = max(len(passing), last + 1)
    text = ""
    for lane in range(width):
        before = lane < len(passing) and passing[lane] and lane != own
        ways = _UP * (before or lane == own) + _DOWN * (before or lane in ends)
        if lane in (own, *ends):
            ways += _LEFT * (first < lane) + _RIGHT * (lane < last)
        elif not before and first < lane < last:
            ways = _LEFT + _RIGHT
        text += _LINES[ways] + ("─" if first <= lane < last else " ")
    return text.rstrip()


def _labelled(lanes: str, row: NodeTestResult) -> Text:
    line = Text(lanes + " ")
    line.append(harmless(row.node), style="bold")
    line.append(" ")
    word = "reused" if row.reused and row.success else row.outcome.value.replace("_", " ")
    line.append(word, style=outcome_style(row.outcome))
    if row.outcome is not Outcome.skipped and not row.reused:
        line.append(f" {duration(row.execution_time)}", style="dim")
    if row.kind == "inference":
        line.append(" (handler)", style="dim")
    return line

"""A pipeline drawn as one SVG file: no script, no font, nothing from elsewhere."""

from __future__ import annotations

from itertools import pairwise
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from harness.pipeline_results import DataCompatibilityResult, NodeTestResult, PipelineTestResult
from harness.records import Outcome
from harness.reports.layout import Layout, Place, layout
from harness.reports.text import duration, harmless

LETTER: Final = 7.3  # width of a letter at 12 px of a monospaced font
LINE: Final = 16
BOX_HEIGHT: Final = 46
LONGEST_NAME: Final = 40
GAP_X, GAP_Y, MARGIN = 64, 26, 20

STYLE: Final = """\
text { font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328 }
.small { font-size: 11px; fill: #59636e }
rect { fill: #fff; stroke: #59636e; stroke-width: 1.5 }
path { fill: none; stroke: #59636e; stroke-width: 1.5 }
#tip-passed path { fill: #1a7f37; stroke: none }
#tip-failed path { fill: #cf222e; stroke: none }
#tip-skipped path { fill: #818b98; stroke: none }
.passed rect, .passed path { stroke: #1a7f37 }
.failed rect, .failed path { stroke: #cf222e; stroke-width: 2.5 }
.failed .small { fill: #cf222e }
.skipped rect, .skipped path { stroke-dasharray: 5 4; stroke: #818b98 }
.background { fill: #fff; stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .small { fill: #9198a1 } rect, .background { fill: #0d1117 }
}
"""


def render(result: PipelineTestResult) -> str:
    """Give the text of an SVG: nodes as boxes with their outcomes, edges by theirs.

    Each node and edge has a title, which viewers show when pointed at.
    """
    names = [row.node for row in result.node_results]
    plan = layout(names, [(edge.script_a, edge.script_b) for edge in result.edge_results])
    box = max((len(_label(name)) for name in names), default=10) * LETTER + 24
    box = max(box, 16 * LETTER)
    width, height = _size(plan, box)
    verdict = "passed" if result.pipeline_success else "failed"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" aria-label={quoteattr(f"pipeline {verdict}")}>',
        f"<style>\n{STYLE}</style>",
        f"<defs>{''.join(map(_tip, ('passed', 'failed', 'skipped')))}</defs>",
        '<rect class="background" width="100%" height="100%"/>',
        *(_edge(edge, plan, box) for edge in result.edge_results),
        *(_node(row, plan.places[row.node], box) for row in result.node_results),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _size(plan: Layout, box: float) -> tuple[float, float]:
    places = [*plan.places.values(), *(place for way in plan.ways.values() for place in way)]
    right = max((_left(place, box) + box for place in places), default=box)
    bottom = max((_top(place) + BOX_HEIGHT for place in places), default=BOX_HEIGHT)
    return right + MARGIN, bottom + MARGIN


def _left(place: Place, box: float) -> float:
    return MARGIN + place.layer * (box + GAP_X)


def _top(place: Place) -> float:
    return MARGIN + place.row * (BOX_HEIGHT + GAP_Y)


def _node(row: NodeTestResult, place: Place, box: float) -> str:
    left, top = _left(place, box), _top(place)
    about = [f"{row.node}: {_words(row)}", row.error_message or row.skip_reason or ""]
    return (
        f'<g class="node {_class(row.outcome)}">{_title(about)}'
        f'<rect x="{left:g}" y="{top:g}" width="{box:g}" height="{BOX_HEIGHT}" rx="6"/>'
        f'<text x="{left + 12:g}" y="{top + LINE + 4:g}">{_text(_label(row.node))}</text>'
        f'<text class="small" x="{left + 12:g}" y="{top + 2 * LINE + 4:g}">{_text(_words(row))}'
        "</text></g>"
    )


def _edge(edge: DataCompatibilityResult, plan: Layout, box: float) -> str:
    ends = plan.ways[edge.script_a, edge.script_b]
    about = [
        f"{edge.script_a} to {edge.script_b}: {edge.outcome.value}",
        *(
            f"{match.source_logical_name} to {match.dest_logical_name}"
            for match in edge.path_matches
        ),
        *edge.compatibility_issues,
        edge.skip_reason or "",
    ]
    return (
        f'<g class="edge {_class(edge.outcome)}">{_title(about)}'
        f'<path d="{_line(ends, box)}" marker-end="url(#tip-{_class(edge.outcome)})"/></g>'
    )


def _tip(kind: str) -> str:
    return (
        f'<marker id="tip-{kind}" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z"/></marker>'
    )


def _line(way: list[Place], box: float) -> str:
    """Give a path from box to box: straight through each layer it passes, curved between them."""
    x, y = _left(way[0], box) + box, _middle(way[0])
    path = f"M{x:g} {y:g}"
    for before, place in pairwise(way):
        x, y = _left(before, box) + box, _middle(before)
        to_x, to_y = _left(place, box), _middle(place)
        half = (x + to_x) / 2
        path += f" C{half:g} {y:g} {half:g} {to_y:g} {to_x:g} {to_y:g}"
        if place is not way[-1]:
            path += f" H{to_x + box:g}"
    return path


def _middle(place: Place) -> float:
    return _top(place) + BOX_HEIGHT / 2


def _class(outcome: Outcome) -> str:
    return outcome.value if outcome in (Outcome.passed, Outcome.skipped) else "failed"


def _words(row: NodeTestResult) -> str:
    if row.reused and row.success:
        return "reused"
    word = row.outcome.value.replace("_", " ")
    return word if row.outcome is Outcome.skipped else f"{word} {duration(row.execution_time)}"


def _label(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."


def _title(lines: list[str]) -> str:
    return f"<title>{_text(chr(10).join(line for line in lines if line))}</title>"


def _text(text: str) -> str:
    return escape(harmless(text))

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from harness import PipelineDAG, PipelineTestResult
from harness.pipeline_results import (
    AdapterChange,
    AdapterProposal,
    DataCompatibilityResult,
    NodeTestResult,
    PassedOver,
    PathMatch,
    ScriptTestResult,
)
from harness.records import Outcome
from harness.reports import pipeline as report
from harness.reports import svg
from harness.reports.dag import draw
from harness.reports.layout import layout
from harness.summaries import FailureSummary, FrameSummary, LogExcerpt

SVG = "{http://www.w3.org/2000/svg}"


@st.composite
def graphs(draw: st.DrawFn) -> PipelineDAG:
    nodes = [f"n{number}" for number in range(draw(st.integers(1, 9)))]
    pairs = [(a, b) for a, b in combinations(nodes, 2)]
    return PipelineDAG(nodes, draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else [])


def result_of(dag: PipelineDAG, **outcomes: Outcome) -> PipelineTestResult:
    nodes = [
        NodeTestResult(
            node=node,
            kind="script",
            outcome=(outcome := outcomes.get(node, Outcome.passed)),
            skip_reason="a node before it failed" if outcome is Outcome.skipped else None,
            execution_time=1.0,
        )
        for node in dag.topological_sort()
    ]
    edges = [
        DataCompatibilityResult(script_a=source, script_b=destination, compatible=True)
        for source, destination in dag.edges
    ]
    passed = all(row.success for row in nodes)
    return PipelineTestResult(
        pipeline_success=passed, total_execution_time=2.0, node_results=nodes, edge_results=edges
    )


def shown(result: PipelineTestResult, **options: Any) -> str:
    file = io.StringIO()
    Console(file=file, width=200, color_system=None, **options).print(report.render(result))
    return file.getvalue()


# ---------------------------------------------------------------- lanes


UP, DOWN, LEFT, RIGHT = "╵│┘┤└├┴┼", "╷│┐┤┌├┬┼", "╴┘┐┤─┴┬┼", "╶└┌├─┴┬┼"
MARKS = "✓✗○"


def led_to(lines: list[tuple[str, str | None]], at: int, column: int) -> set[str]:
    """Follow the lines of a drawing from a node downwards, as a reader does."""
    found: set[str] = set()
    waiting = [(at + 1, column, "down")]
    seen = set()
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        row, where, way = place
        text, node = lines[row] if row < len(lines) else ("", None)
        mark = text[where] if where < len(text) else " "
        if way == "down" and mark in MARKS and node is not None:
            found.add(node)
        elif way == "down" and mark in UP:
            if mark in DOWN:
                waiting.append((row + 1, where, "down"))
            waiting += [(row, where - 1, "left")] * (mark in LEFT)
            waiting += [(row, where + 1, "right")] * (mark in RIGHT)
        elif way in ("left", "right"):
            step = -1 if way == "left" else 1
            if mark == "│" or mark in (LEFT if way == "left" else RIGHT):
                waiting.append((row, where + step, way))
            if mark != "│" and mark in DOWN:
                waiting.append((row + 1, where, "down"))
    return found


@settings(deadline=None)
@given(graphs())
def test_lines_lead_from_each_node_to_those_that_it_feeds(dag: PipelineDAG) -> None:
    """Edges to one node share a lane, and those that meet cannot be told apart; none is missing."""
    drawn = [(line, row.node if row else None) for line, row in draw(result_of(dag))]
    assert [node for _, node in drawn if node] == dag.topological_sort()
    for index, (line, node) in enumerate(drawn):
        if node is None:
            continue
        (column,) = (place for place, char in enumerate(line) if char in MARKS)
        assert set(dag.get_dependents(node)) <= led_to(drawn, index, column)


def test_a_diamond_is_drawn() -> None:
    dag = PipelineDAG(
        ["load", "left", "right", "join"],
        [("load", "left"), ("load", "right"), ("left", "join"), ("right", "join")],
    )
    lines = shown(result_of(dag, right=Outcome.crashed, join=Outcome.skipped)).splitlines()
    assert lines[:6] == [
        "✓   load passed 1.00 s",
        "├─┐",
        "✓ │ left passed 1.00 s",
        "│ ✗ right crashed 1.00 s",
        "├─┘",
        "○   join skipped",
    ]


def test_nodes_that_do_not_feed_each_other_do_not_stand_in_one_lane() -> None:
    lines = [line for line, _ in draw(result_of(PipelineDAG(["a", "b", "c"])))]
    assert lines == ["✓", "  ✓", "✓"]


def test_a_terminal_without_unicode_gets_plain_characters() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    dag = PipelineDAG(["a", "b", "c"], [("a", "b"), ("a", "c")])
    Console(file=file, width=80).print(report.render(result_of(dag, b=Outcome.crashed)))
    file.flush()
    text = file.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert text.startswith("*   a passed 1.00 s\n+-.\nx | b crashed 1.00 s\n  * c passed 1.00 s\n")


# ---------------------------------------------------------------- what the report tells


def test_a_failed_node_is_told_with_its_place_and_log() -> None:
    dag = PipelineDAG(["train"])
    script = ScriptTestResult(
        script_name="train",
        step_name="train",
        outcome=Outcome.raised,
        execution_time=1.0,
        error_message="ValueError: no rows",
        failure=FailureSummary(
            type="ValueError",
            module="builtins",
            message="no rows",
            traceback="",
            frames=[FrameSummary(file="train.py", line=7, function="main", in_handler=True,
                                 code="raise ValueError('no rows')")],
        ),
        log=LogExcerpt(head="read 0 rows\x1b[2J\n", tail="", total_bytes=12, dropped_bytes=0),
    )  # fmt: skip
    made = result_of(dag, train=Outcome.raised)
    row = made.node("train").model_copy(
        update={"script": script, "error_message": script.error_message}
    )
    text = shown(made.model_copy(update={"node_results": [row], "pipeline_success": False}))
    assert "train raised\n    ValueError: no rows" in re.sub(" +\n", "\n", text)
    assert "train.py:7 in main: raise ValueError('no rows')" in text
    assert "read 0 rows\\x1b[2J" in text
    assert "next: mend the script at the line above" in text
    assert text.rstrip().endswith("failed in 2.00 s: 0/1 nodes, 0/0 edges")


def test_a_failed_edge_is_told_with_its_adapter() -> None:
    dag = PipelineDAG(["prepare", "serve"], [("prepare", "serve")])
    failed = DataCompatibilityResult(
        script_a="prepare",
        script_b="serve",
        compatible=False,
        compatibility_issues=["input_fn raised ValueError: could not convert 'age'"],
        path_matches=[
            PathMatch(source_logical_name="data", dest_logical_name="data_input",
                      match_type="semantic", confidence=0.94, reason="both are about data")
        ],
        passed_over=[PassedOver(candidate="stats.json", reason="not rows")],
        adapter=AdapterProposal(
            changes=[AdapterChange(change="drop_header", detail="drop the header line"),
                     AdapterChange(change="drop_column", detail="drop the column 'label'")],
            content_type="text/csv",
            tries=4,
        ),
    )  # fmt: skip
    made = result_of(dag).model_copy(update={"edge_results": [failed], "pipeline_success": False})
    text = shown(made)
    assert "data -> data_input (semantic, 0.94)" in text
    assert "prepare -> serve failed" in text
    assert "passed over stats.json: not rows" in text
    assert (
        "next: with this change it was seen to pass, as text/csv: drop the header line; "
        "drop the column 'label'" in text
    )


# ---------------------------------------------------------------- SVG


@settings(deadline=None)
@given(graphs())
def test_edges_lead_to_the_right_and_places_are_apart(dag: PipelineDAG) -> None:
    plan = layout(dag.topological_sort(), dag.edges)
    assert set(plan.places) == set(dag.nodes)
    assert set(plan.ways) == set(dag.edges)
    taken = [(place.layer, place.row) for place in plan.places.values()]
    for (source, destination), way in plan.ways.items():
        assert (way[0], way[-1]) == (plan.places[source], plan.places[destination])
        assert [place.layer for place in way] == list(range(way[0].layer, way[-1].layer + 1))
        taken += [(place.layer, place.row) for place in way[1:-1]]
    assert len(set(taken)) == len(taken)


@settings(deadline=None, max_examples=30)
@given(graphs())
def test_an_svg_has_every_node_and_edge_within_its_view(dag: PipelineDAG) -> None:
    root = ET.fromstring(svg.render(result_of(dag)))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    groups = [group.attrib["class"].split() for group in root.iter(f"{SVG}g")]
    assert sum(kinds[0] == "node" for kinds in groups) == len(dag.nodes)
    assert sum(kinds[0] == "edge" for kinds in groups) == len(dag.edges)
    boxes = [box for group in root.iter(f"{SVG}g") for box in group.iter(f"{SVG}rect")]
    for box in boxes:
        left, top, wide, high = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
        assert left >= 0
        assert top >= 0
        assert left + wide <= width
        assert top + high <= height


def test_an_svg_is_self_contained_and_harmless() -> None:
    hostile = "</title><script>alert(1)</script>&\x00\x1b\ufffe"
    dag = PipelineDAG(["a" * 150, "b"], [("a" * 150, "b")])
    made = result_of(dag, b=Outcome.raised)
    rows = [row.model_copy(update={"error_message": hostile}) for row in made.node_results]
    text = svg.render(made.model_copy(update={"node_results": rows}))
    root = ET.fromstring(text)
    assert [element for element in root.iter() if "script" in element.tag] == []
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "url(" not in text.replace("url(#tip-", "")
    classes = [group.attrib["class"] for group in root.iter(f"{SVG}g")]
    assert classes == ["edge passed", "node passed", "node failed"]


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [(Outcome.passed, "passed"), (Outcome.skipped, "skipped"), (Outcome.timed_out, "failed")],
)
def test_a_node_has_the_class_of_its_outcome(outcome: Outcome, kind: str) -> None:
    root = ET.fromstring(svg.render(result_of(PipelineDAG(["a"]), a=outcome)))
    (group,) = root.iter(f"{SVG}g")
    assert group.attrib["class"] == f"node {kind}"
    texts = [text.text or "" for text in group.iter(f"{SVG}text")]
    assert texts[0] == "a"
    assert texts[1].startswith(outcome.value.replace("_", " "))

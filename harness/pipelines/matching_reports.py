"""What matching found, told to the user: of two scripts, and of each edge of a pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from harness.pipeline_results import PathMatch
from harness.pipeline_specs import PipelineTestingSpec
from harness.pipelines import wiring
from harness.pipelines.matching import Port, is_nameless, similarity
from harness.pipelines.wiring import Wiring
from harness.script_spec import ScriptExecutionSpec

SURE: Final = 0.8


def of_scripts(
    spec_a: ScriptExecutionSpec, spec_b: ScriptExecutionSpec, found: Sequence[PathMatch]
) -> dict[str, Any]:
    """Sum up the matches from one script to another.

    Keys: script_a, script_b, total_matches, high_confidence_matches, average_confidence,
    matches_by_type, best_matches, unmatched_outputs, unmatched_inputs, recommendations.
    """
    given, taken = wiring.script_outputs(spec_a), wiring.script_inputs(spec_b)
    outputs, inputs = _left(given, taken, found)
    return {
        "script_a": spec_a.script_name,
        "script_b": spec_b.script_name,
        **_figures(found),
        "unmatched_outputs": [port.name for port in outputs],
        "unmatched_inputs": [port.name for port in inputs],
        "recommendations": list(recommendations(given, taken, found)),
    }


def of_pipeline(spec: PipelineTestingSpec, wires: Wiring) -> dict[str, Any]:
    """Say of each edge what goes over it, and of each input that nothing feeds it.

    Keys: overall_valid (something goes over every edge), total_edges, valid_edges,
    validation_rate, edge_validations by "source -> destination", unfed_inputs by node,
    recommendations.
    """
    edges = {edge: _edge(spec, wires, *edge) for edge in spec.dag.edges}
    valid = sum(edge["valid"] for edge in edges.values())
    advice = [text for edge in edges.values() for text in edge["recommendations"]]
    return {
        "overall_valid": valid == len(edges),
        "total_edges": len(edges),
        "valid_edges": valid,
        "validation_rate": valid / len(edges) if edges else 1.0,
        "edge_validations": {f"{a} -> {b}": edge for (a, b), edge in edges.items()},
        "unfed_inputs": {
            node: unfed for node in spec.dag.nodes if (unfed := _unfed(spec, wires, node))
        },
        "recommendations": list(dict.fromkeys(advice)),
    }


def recommendations(
    outputs: Sequence[Port], inputs: Sequence[Port], found: Sequence[PathMatch]
) -> Iterator[str]:
    """Say what would make the matches of an edge surer, one sentence each."""
    for match in found:
        if match.confidence < SURE:
            yield (
                f"{match.source_logical_name} -> {match.dest_logical_name} is a match of only "
                f"{match.confidence:.2f}; make {match.dest_logical_name} an alias of "
                f"{match.source_logical_name}, or name them alike"
            )
    free_outputs, free_inputs = _left(outputs, inputs, found)
    if found or not outputs or not inputs:
        return
    scored = [
        (similarity(output.name, taken.name), output.name, taken.name)
        for output in free_outputs
        for taken in free_inputs
    ]
    score, output, taken = max(scored, key=lambda item: item[0])
    if score > 0:
        yield f"nothing matches; the nearest are {output} and {taken} ({score:.2f}): add an alias"
        return
    silent = [port.name for port in (*free_outputs, *free_inputs) if is_nameless(port.name)]
    why = f"{', '.join(silent)} says nothing of what it holds: " if silent else ""
    yield f"nothing matches; {why}name an output and an input alike, or add an alias"


def _figures(found: Sequence[PathMatch]) -> dict[str, Any]:
    total = sum(match.confidence for match in found)
    return {
        "total_matches": len(found),
        "high_confidence_matches": sum(match.confidence >= SURE for match in found),
        "average_confidence": round(total / len(found), 3) if found else None,
        "matches_by_type": dict(Counter(match.match_type for match in found)),
        "best_matches": [match.model_dump(exclude={"source_node"}) for match in found],
    }


def _left(
    outputs: Sequence[Port], inputs: Sequence[Port], found: Sequence[PathMatch]
) -> tuple[list[Port], list[Port]]:
    given = {match.source_logical_name for match in found}
    taken = {match.dest_logical_name for match in found}
    return (
        [port for port in outputs if port.name not in given],
        [port for port in inputs if port.name not in taken],
    )


def _edge(
    spec: PipelineTestingSpec, wires: Wiring, source: str, destination: str
) -> dict[str, Any]:
    found = wires.matches(source, destination)
    requests = wires.requests.get((source, destination), [])
    fed = {name for name, match in wires.feeds[destination].items() if match.source_node != source}
    inputs = [port for port in wiring.inputs_of(spec, destination) if port.name not in fed]
    advice = recommendations(wiring.outputs_of(spec, source), inputs, found)
    return {
        "valid": wires.carries(source, destination),
        "matches": [match.model_dump(exclude={"source_node"}) for match in found],
        "request_candidates": requests,
        "recommendations": [] if requests else [f"{source} -> {destination}: {t}" for t in advice],
    }


def _unfed(spec: PipelineTestingSpec, wires: Wiring, node: str) -> list[str]:
    fed = wires.feeds[node]
    return [port.name for port in wiring.inputs_of(spec, node) if port.name not in fed]

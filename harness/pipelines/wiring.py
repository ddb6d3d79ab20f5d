"""What feeds what in a pipeline: each node's inputs, and the output of another node for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from harness.pipeline_results import PathMatch
from harness.pipeline_specs import InferencePipelineTestingSpec, PipelineTestingSpec
from harness.pipelines.matching import THRESHOLD, Port, matches, ranked
from harness.script_spec import ScriptExecutionSpec
from harness.specs import InferenceHandlerSpec

PACKAGE: Final = "packaged_model_path"
PAYLOADS: Final = "payload_samples_path"
REQUEST: Final = "request_body"
RESPONSE: Final = "response"

# The other names under which pipelines know what a handler takes and gives.
_PACKAGE_ALIASES = ("PackagedModel", "model_package", "package", "model_archive", "model")
_PAYLOADS_ALIASES = ("GeneratedPayloadSamples", "payload_samples", "payload_sample", "payload")
_RESPONSE_ALIASES = ("predictions", "scores", "inference_output")
# What a request is made of, by name: what fits best is tried first.
_REQUEST_NAMES = (REQUEST, "data_output", "processed_data", "features", "payload", "test_data")


@dataclass
class Wiring:
    """The pairs found for a pipeline.

    `feeds` has, for each node and each of its inputs that an edge feeds, the match. `requests` has,
    for each edge into a handler that carries data for requests, the outputs to try, best first.
    """

    feeds: dict[str, dict[str, PathMatch]] = field(default_factory=dict)
    requests: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def matches(self, source: str, destination: str) -> list[PathMatch]:
        """List the pairs on one edge, the surest first."""
        pairs = self.feeds.get(destination, {}).values()
        return sorted(
            (match for match in pairs if match.source_node == source),
            key=lambda match: -match.confidence,
        )

    def carries(self, source: str, destination: str) -> bool:
        """Tell whether anything goes over an edge."""
        return bool(self.matches(source, destination)) or (source, destination) in self.requests


def wire(
    spec: PipelineTestingSpec, *, semantic: bool = True, threshold: float = THRESHOLD
) -> Wiring:
    """Find what feeds each input of a pipeline, over all edges into its node at once."""
    wiring = Wiring()
    for node in spec.dag.nodes:
        sources = spec.dag.get_dependencies(node)
        given = [port for source in sources for port in outputs_of(spec, source)]
        found = matches(
            given,
            inputs_of(spec, node),
            semantic=semantic,
            threshold=threshold,
            eliminate=spec.kind_of(node) == "script",
        )
        wiring.feeds[node] = {match.dest_logical_name: match for match in found}
        if spec.kind_of(node) == "inference":
            wiring.requests |= _requests(spec, node, wiring)
    return wiring


def outputs_of(spec: PipelineTestingSpec, node: str) -> list[Port]:
    """List what a node gives; a handler gives its responses."""
    if spec.kind_of(node) == "inference":
        return [Port(RESPONSE, _RESPONSE_ALIASES, node)]
    script = spec.script_specs.get(node)
    return [] if script is None else script_outputs(script, node)


def inputs_of(spec: PipelineTestingSpec, node: str) -> list[Port]:
    """List what a node takes; a handler takes its package and its payloads, besides requests."""
    if spec.kind_of(node) == "inference":
        return list(_handler_inputs(_handlers(spec)[node], node))
    script = spec.script_specs.get(node)
    return [] if script is None else script_inputs(script, node)


def script_outputs(script: ScriptExecutionSpec, node: str | None = None) -> list[Port]:
    """List the outputs of a script's spec."""
    return [_port(script, node, item) for item in script.output_paths.items()]


def script_inputs(script: ScriptExecutionSpec, node: str | None = None) -> list[Port]:
    """List the inputs of a script's spec."""
    return [_port(script, node, item) for item in script.input_paths.items()]


def _port(script: ScriptExecutionSpec, node: str | None, item: tuple[str, str]) -> Port:
    name, path = item
    return Port(name, script.aliases.get(name, ()), node, os.path.abspath(path))


def request_outputs(outputs: list[Port]) -> list[str]:
    """Order outputs by how well they would do as the body of a request."""
    best: dict[str, float] = {}
    for name in _REQUEST_NAMES:
        for port, score in ranked(outputs, name):
            best[port.name] = max(score, best.get(port.name, 0.0))
    return sorted(best, key=lambda name: -best[name])


def _handlers(spec: PipelineTestingSpec) -> dict[str, InferenceHandlerSpec]:
    return spec.inference_handlers if isinstance(spec, InferencePipelineTestingSpec) else {}


def _handler_inputs(handler: InferenceHandlerSpec, node: str) -> Iterator[Port]:
    if handler.packaged_model_path is not None:
        yield Port(PACKAGE, _PACKAGE_ALIASES, node)
    if handler.payload_samples_path is not None:
        yield Port(PAYLOADS, _PAYLOADS_ALIASES, node)


def _requests(
    spec: PipelineTestingSpec, node: str, wiring: Wiring
) -> Iterator[tuple[tuple[str, str], list[str]]]:
    """Give the edges into a handler that bring neither its package nor its payloads."""
    for source in spec.dag.get_dependencies(node):
        outputs = outputs_of(spec, source)
        if outputs and not wiring.matches(source, node):
            yield (source, node), request_outputs(outputs)

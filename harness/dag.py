"""The graph of a pipeline: nodes, and edges from the one that gives to the one that takes.

Order and cycles are the standard library's (graphlib). What each node does is in the specs of
pipeline_specs.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from harness.errors import PipelineError, SpecError
from harness.spec_fields import FileName, distinct
from harness.spec_model import SpecModel, unknown_name

Edge = tuple[FileName, FileName]


class PipelineDAG(SpecModel):
    """A directed graph without cycles: the nodes of a pipeline, and which feeds which.

    Nodes and edges may be added; a mistake leaves the graph as it was. The same graph always has
    the same topological order.
    """

    mistake: ClassVar[type[SpecError]] = PipelineError

    nodes: Annotated[list[FileName], AfterValidator(distinct)] = Field(
        default=[], description="Names of the nodes, each once"
    )
    edges: Annotated[list[Edge], AfterValidator(distinct)] = Field(
        default=[], description="Pairs of nodes: the one that gives, the one that takes"
    )

    def __init__(
        self, nodes: Iterable[str] = (), edges: Iterable[tuple[str, str]] = (), **data: Any
    ) -> None:
        """Take nodes and edges, by position too. Raises: PipelineError."""
        super().__init__(nodes=_listed(nodes), edges=_listed(edges), **data)

    # Lets pydantic validate a graph inside a spec directly, so that a problem keeps its whole path.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def add_node(self, node: str) -> None:
        """Add a node; one that is there already stays. Raises: PipelineError."""
        if node not in self.nodes:
            self._become(PipelineDAG([*self.nodes, node], self.edges))

    def add_edge(self, source: str, destination: str) -> None:
        """Add an edge between two nodes. Raises: PipelineError for an unknown node, or a cycle."""
        if (source, destination) not in self.edges:
            self._become(PipelineDAG(self.nodes, [*self.edges, (source, destination)]))

    def get_dependencies(self, node: str) -> list[str]:
        """List the nodes that feed a node directly, in the order of the edges."""
        self._know(node)
        return [source for source, destination in self.edges if destination == node]

    def get_dependents(self, node: str) -> list[str]:
        """List the nodes that a node feeds directly, in the order of the edges."""
        self._know(node)
        return [destination for source, destination in self.edges if source == node]

    def ancestors(self, node: str) -> set[str]:
        """Give every node that this one depends on, directly or not."""
        return _reached(node, self.get_dependencies)

    def descendants(self, node: str) -> set[str]:
        """Give every node that depends on this one, directly or not."""
        return _reached(node, self.get_dependents)

    def topological_sort(self) -> list[str]:
        """List all nodes, each after those that feed it. Raises: PipelineError for a cycle."""
        try:
            return list(self.sorter().static_order())
        except CycleError as error:
            raise PipelineError(_cycle(error)) from None

    def sorter(self) -> TopologicalSorter[str]:
        """Give a fresh sorter of the nodes, which says what can run side by side."""
        sorter: TopologicalSorter[str] = TopologicalSorter()
        for node in self.nodes:
            sorter.add(node)
        for source, destination in self.edges:
            sorter.add(destination, source)
        return sorter

    def between(self, start: str | None = None, end: str | None = None) -> list[str]:
        """List the nodes from one on and up to another, both included, in topological order.

        None: from the beginning, to the end. Raises: PipelineError when no way leads between them.
        """
        order = self.topological_sort()
        chosen = set(order)
        if start is not None:
            chosen &= {start} | self.descendants(start)
        if end is not None:
            chosen &= {end} | self.ancestors(end)
        if order and not chosen:
            raise PipelineError(f"no way leads from {start!r} to {end!r}; turn them round?")
        return [node for node in order if node in chosen]

    def _become(self, other: PipelineDAG) -> None:
        self.nodes[:], self.edges[:] = other.nodes, other.edges

    def _know(self, node: str) -> None:
        if node not in self.nodes:
            raise PipelineError(f"the graph has no such node: {unknown_name(node, self.nodes)}")

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        known = set(self.nodes)
        for edge in self.edges:
            for node in edge:
                if node not in known:
                    raise ValueError(
                        f"the edge {edge[0]} -> {edge[1]} has no such node: "
                        f"{unknown_name(node, self.nodes)}"
                    )
        try:
            self.sorter().prepare()
        except CycleError as error:
            raise ValueError(_cycle(error)) from None
        return self


def _listed(values: Iterable[Any]) -> Any:
    """Make a list of whatever gives values; what is no such thing is left to be refused."""
    return values if isinstance(values, str) or not isinstance(values, Iterable) else list(values)


def _reached(node: str, neighbours: Callable[[str], list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = neighbours(node)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += neighbours(name)
    return found


def _cycle(error: CycleError) -> str:
    """Name the nodes of a cycle in the direction of the edges, the first one again at the end."""
    return f"the nodes form a cycle: {' -> '.join(error.args[1])}; take one of these edges away"

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import PipelineDAG, PipelineError, SpecError

NAMES = "abcdefgh"


@st.composite
def graphs(draw: st.DrawFn) -> PipelineDAG:
    """Make graphs without cycles: edges go from an earlier name of some order to a later one."""
    order = draw(st.permutations(NAMES[: draw(st.integers(0, len(NAMES)))]))
    pairs = [(a, b) for index, a in enumerate(order) for b in order[index + 1 :]]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return PipelineDAG(draw(st.permutations(order)), edges)


def refusal(make: Callable[[], object]) -> str:
    with pytest.raises(PipelineError) as caught:
        make()
    return str(caught.value)


@given(graphs())
def test_every_node_comes_after_those_that_feed_it(dag: PipelineDAG) -> None:
    order = dag.topological_sort()
    assert sorted(order) == sorted(dag.nodes)
    assert all(order.index(source) < order.index(destination) for source, destination in dag.edges)
    assert PipelineDAG(dag.nodes, dag.edges).topological_sort() == order


@given(graphs())
def test_a_graph_survives_json(dag: PipelineDAG) -> None:
    assert PipelineDAG.model_validate_json(dag.model_dump_json()) == dag


@given(graphs())
def test_descendants_are_those_whose_ancestor_a_node_is(dag: PipelineDAG) -> None:
    for node in dag.nodes:
        assert dag.descendants(node) == {it for it in dag.nodes if node in dag.ancestors(it)}
        assert set(dag.get_dependencies(node)) <= dag.ancestors(node)
        assert node not in dag.ancestors(node)


@given(graphs(), st.data())
def test_an_edge_back_is_refused_and_changes_nothing(dag: PipelineDAG, data: st.DataObject) -> None:
    if not dag.edges:
        return
    source, destination = data.draw(st.sampled_from(dag.edges))
    before = dag.model_copy(deep=True)
    message = refusal(lambda: dag.add_edge(destination, source))
    cycle = message.partition("cycle: ")[2].partition(";")[0].split(" -> ")
    assert cycle[0] == cycle[-1]
    assert set(pairwise(cycle)) <= {*dag.edges, (destination, source)}
    assert dag == before


@given(graphs(), st.data())
def test_what_is_between_two_nodes(dag: PipelineDAG, data: st.DataObject) -> None:
    if not dag.edges:
        return
    source, destination = data.draw(st.sampled_from(dag.edges))
    chosen = dag.between(source, destination)
    assert chosen == [node for node in dag.topological_sort() if node in chosen]
    assert (chosen[0], chosen[-1]) == (source, destination)
    assert set(dag.between(start=source)) == {source} | dag.descendants(source)
    assert set(dag.between(end=source)) == {source} | dag.ancestors(source)
    assert refusal(lambda: dag.between(destination, source)).startswith("no way leads from")


def test_a_graph_is_built_step_by_step() -> None:
    dag = PipelineDAG()
    for node in ("load", "train", "load"):
        dag.add_node(node)
    dag.add_edge("load", "train")
    dag.add_edge("load", "train")
    assert (dag.nodes, dag.edges) == (["load", "train"], [("load", "train")])
    assert dag.get_dependencies("train") == ["load"]
    assert dag.get_dependents("load") == ["train"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PipelineDAG("a"), "nodes: must be a valid list, got 'a'"),
        (lambda: PipelineDAG(["a", "a"]), "nodes: 'a' is there more than once"),
        (lambda: PipelineDAG(["a"], [("a", "b")]), "the edge a -> b has no such node: unknown"),
        (lambda: PipelineDAG(["train"], [("train", "trian")]), "did you mean 'train'?"),
        (lambda: PipelineDAG(["a"], [("a", "a")]), "the nodes form a cycle: a -> a;"),
        (
            lambda: PipelineDAG(["a", "b", "c"], [("a", "b"), ("b", "c"), ("c", "a")]),
            "the nodes form a cycle: ",
        ),
        (lambda: PipelineDAG(["a/b"]), "cannot name a file"),
        (lambda: PipelineDAG([".."]), "cannot name a file"),
        (lambda: PipelineDAG(["a" * 300]), "must not be longer than 200 bytes"),
        (lambda: PipelineDAG([""]), "must not be blank"),
        (lambda: PipelineDAG.model_validate({"nodes": [], "edgs": []}), "did you mean 'edges'?"),
        (lambda: PipelineDAG(["a"]).get_dependencies("b"), "the graph has no such node"),
        (lambda: PipelineDAG(["a"]).add_edge("a", "b"), "has no such node"),
    ],
)
def test_a_mistake_is_named(make: Callable[[], object], words: str) -> None:
    assert words in refusal(make)


def test_a_mistake_in_a_graph_is_a_spec_error() -> None:
    with pytest.raises(SpecError):
        PipelineDAG(["a"], [("a", "b")])

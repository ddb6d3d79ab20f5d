"""Where the nodes of a graph are drawn: layers from left to right, and few crossings of edges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Final

SWEEPS: Final = 8

Edge = tuple[str, str]


@dataclass(frozen=True)
class Place:
    """Where a node stands: its layer, from 0, and its row in it, from 0."""

    layer: int
    row: float


@dataclass(frozen=True)
class Layout:
    """The places of nodes, and for each edge the places that it goes through, ends included."""

    places: dict[str, Place]
    ways: dict[Edge, list[Place]]


def layout(nodes: Sequence[str], edges: Iterable[Edge]) -> Layout:
    """Place nodes that are in topological order, each edge leading to a later layer.

    Long edges get a place in each layer that they pass, so that they go between the nodes. Rows are
    put in order by the mean of their neighbours' (Sugiyama's method), and layers centred.
    """
    edges = list(dict.fromkeys(edges))
    layer_of = _layers(nodes, edges)
    layers: list[list[object]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    for node in nodes:
        layers[layer_of[node]].append(node)
    chains = {edge: _chain(edge, layer_of, layers) for edge in edges}
    _order(layers, list(chains.values()))
    tallest = max(map(len, layers), default=0)
    places = {
        item: Place(layer, row + (tallest - len(items)) / 2)
        for layer, items in enumerate(layers)
        for row, item in enumerate(items)
    }
    ways = {edge: [places[item] for item in chain] for edge, chain in chains.items()}
    return Layout({node: places[node] for node in nodes}, ways)


def _layers(nodes: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Give each node the length of the longest way to it."""
    layer_of = dict.fromkeys(nodes, 0)
    leading: dict[str, list[str]] = {node: [] for node in nodes}
    for source, destination in edges:
        leading[destination].append(source)
    for node in nodes:
        layer_of[node] = max((layer_of[source] + 1 for source in leading[node]), default=0)
    return layer_of


def _chain(edge: Edge, layer_of: dict[str, int], layers: list[list[object]]) -> list[object]:
    """Give an edge's ends and what stands for it in each layer between, put into the layers."""
    source, destination = edge
    between: list[object] = [
        (edge, layer) for layer in range(layer_of[source] + 1, layer_of[destination])
    ]
    for layer, item in enumerate(between, layer_of[source] + 1):
        layers[layer].append(item)
    return [source, *between, destination]


def _order(layers: list[list[object]], chains: list[list[object]]) -> None:
    """Sort each layer by where its items' neighbours are, to and fro; keep what crosses least."""
    before: dict[object, list[object]] = {}
    after: dict[object, list[object]] = {}
    for chain in chains:
        for left, right in pairwise(chain):
            before.setdefault(right, []).append(left)
            after.setdefault(left, []).append(right)
    best, fewest = [list(items) for items in layers], _crossings(layers, after)
    for sweep in range(SWEEPS):
        forth = sweep % 2 == 0
        neighbours = before if forth else after
        for items in layers if forth else reversed(layers):
            rows = {item: row for layer in layers for row, item in enumerate(layer)}
            items.sort(
                key=lambda item: fmean(
                    [rows[other] for other in neighbours.get(item, ())] or [rows[item]]
                )
            )
        crossings = _crossings(layers, after)
        if crossings < fewest:
            best, fewest = [list(items) for items in layers], crossings
    layers[:] = best


def _crossings(layers: list[list[object]], after: dict[object, list[object]]) -> int:
    rows = {item: row for layer in layers for row, item in enumerate(layer)}
    total = 0
    for items in layers:
        lines = [(rows[item], rows[other]) for item in items for other in after.get(item, ())]
        for index, (a, b) in enumerate(lines):
            total += sum((a - c) * (b - d) < 0 for c, d in lines[:index])
    return total

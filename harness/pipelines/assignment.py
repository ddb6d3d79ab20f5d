"""The assignment problem: pairs of rows and columns, each used once, of the greatest total gain."""

from __future__ import annotations

import math


def assign(gains: list[list[float]]) -> list[tuple[int, int]]:
    """Choose pairs of row and column whose gains add up to the most; gain 0 is no pair.

    Kuhn and Munkres' method with shortest augmenting paths: cubic in time, exact. Gains are finite
    and not negative.
    """
    if not gains or not gains[0]:
        return []
    if len(gains) > len(gains[0]):
        turned = [list(column) for column in zip(*gains, strict=True)]
        return sorted((row, column) for column, row in assign(turned))
    owners = _owners([[-gain for gain in row] for row in gains])
    pairs = ((row, column) for column, row in enumerate(owners) if row is not None)
    return sorted((row, column) for row, column in pairs if gains[row][column] > 0)


def _owners(costs: list[list[float]]) -> list[int | None]:
    """Give for each column the row that it goes to at the least total cost.

    Prices keep every reduced cost from 0 up; each row is brought in along the cheapest path from
    it to a free column.
    """
    width = len(costs[0])
    owners: list[int | None] = [None] * width
    row_prices, column_prices = [0.0] * len(costs), [0.0] * width
    for start in range(len(costs)):
        distances, before = [math.inf] * width, [-1] * width
        done: list[int] = []
        row, reached, last = start, 0.0, -1
        while True:
            for column in range(width):
                if column not in done:
                    reduced = costs[row][column] - row_prices[row] - column_prices[column]
                    if reached + reduced < distances[column]:
                        distances[column], before[column] = reached + reduced, last
            open_ones = (column for column in range(width) if column not in done)
            last = min(open_ones, key=distances.__getitem__)
            reached = distances[last]
            done.append(last)
            owner = owners[last]
            if owner is None:
                break
            row = owner
        row_prices[start] += reached
        for column in done[:-1]:
            column_prices[column] -= reached - distances[column]
            row_prices[owners[column]] += reached - distances[column]  # type: ignore[index]
        while last != -1:
            previous = before[last]
            owners[last] = start if previous == -1 else owners[previous]
            last = previous
    return owners

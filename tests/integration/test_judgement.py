"""Planted faults are found, with nothing beside them; of correct handlers nothing is said."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest

from tests.planted.collection import faults
from tests.planted.correct import HANDLERS
from tests.planted.everyday_faults import FAULTS as EVERYDAY
from tests.planted.fault import Planted
from tests.planted.judging import Judged, judge_all, precision, recall

FAULTS = faults()


@pytest.mark.long
@pytest.mark.parametrize("packages", [FAULTS, HANDLERS], ids=["faults", "correct"])
def test_judgement_is_right(long_count: Callable[[int], int], packages: dict[str, Planted]) -> None:
    every = 10 // long_count(10)
    judged = judge_all(dict(islice(packages.items(), 0, None, every)))
    assert [str(one) for one in judged if one.wrong] == []


@pytest.mark.parametrize(
    "name",
    [
        "a class of a notebook",
        "a name that numpy has no more",
        "an editor's settings",
        "an error page for a model",
        "input_fn the other way round",
    ],
)
def test_what_was_once_missed_or_wrong(name: str) -> None:
    (one,) = judge_all({name: EVERYDAY[name]})
    assert not one.wrong, one


def test_there_are_enough() -> None:
    assert len(FAULTS) >= 60
    assert len(HANDLERS) == 20


def test_shares() -> None:
    found = Judged("a", "HP1", frozenset({"HP1", "HP2"}), frozenset({"HP1", "HP2"}))
    missed = Judged("b", "HP1", frozenset({"HP3"}), frozenset({"HP1"}))
    silent = Judged("c", None, frozenset(), frozenset())
    assert recall([found, missed, silent]) == 50
    assert precision([found, missed, silent]) == pytest.approx(200 / 3)
    assert precision([silent]) == 100
    assert str(missed) == "b: missed HP1, false HP3"
    assert str(silent) == "c: -"

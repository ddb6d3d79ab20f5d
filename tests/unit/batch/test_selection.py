"""Which handlers are run."""

from __future__ import annotations

import pytest

from harness import InferenceHandlerSpec, SpecError
from harness.batch.selection import Selection, matcher, named_once, shard

NAMES = ["churn", "churn-slow", "fraud", "Price"]


def specs(*names: str) -> list[InferenceHandlerSpec]:
    return [InferenceHandlerSpec(handler_name=name, handler_path="h.py") for name in names]


def chosen(**asked: object) -> list[str]:
    selection = Selection(**asked)  # type: ignore[arg-type]
    return [spec.handler_name for spec in selection.chosen(specs(*NAMES))]


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("churn", ["churn", "churn-slow"]),
        ("churn and not slow", ["churn"]),
        ("fraud or price", ["fraud", "Price"]),
        ("not (fraud or price)", ["churn", "churn-slow"]),
        ("not not fraud", ["fraud"]),
        ("churn or fraud and price", ["churn", "churn-slow"]),
        ("nothing", []),
    ],
)
def test_expression(expression: str, names: list[str]) -> None:
    assert chosen(expression=expression) == names


@pytest.mark.parametrize(
    "expression", ["", "and", "churn fraud", "(churn", "churn)", "not", "a or"]
)
def test_expression_that_is_none(expression: str) -> None:
    with pytest.raises(SpecError, match="write words with and, or, not"):
        matcher(expression)


def test_names_are_exact() -> None:
    assert chosen(names=["churn"]) == ["churn"]
    with pytest.raises(SpecError, match="there is no handler 'churm'; did you mean 'churn'"):
        chosen(names=["churm"])


def test_shards_are_the_whole_and_share_nothing() -> None:
    parts = [chosen(shard=(number, 3)) for number in (1, 2, 3)]
    assert sorted(name for part in parts for name in part) == sorted(NAMES)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "1/4/2"])
def test_shard_that_is_none(text: str) -> None:
    with pytest.raises(SpecError, match="write NUMBER/COUNT"):
        shard(text)


def test_two_of_one_name_are_refused_with_their_places() -> None:
    with pytest.raises(SpecError, match="two handlers are named 'a': here and there"):
        named_once(specs("a", "a"), ["here", "there"])
    with pytest.raises(SpecError, match="two handlers are named 'a': number 1 and number 2"):
        named_once(specs("a", "a"))


def test_one_place_given_twice_is_said_to_be_that() -> None:
    with pytest.raises(SpecError, match="the handler at here is given twice; give it once"):
        named_once(specs("a", "b", "a"), ["here", "there", "here"])

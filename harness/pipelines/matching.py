"""Which output feeds which input, by their logical names: exact, by alias, or alike in meaning.

Names are compared as words. Words of a role (input, output, path) say nothing of what a file holds
and do not count; general ones (data, files) count half.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile
from typing import Final

from harness.pipeline_results import MatchType, PathMatch
from harness.pipelines.assignment import assign
from harness.pipelines.names import words

THRESHOLD: Final = 0.7

# What each kind of match is worth. A name that is the same always goes to its namesake: no number
# of weaker pairs outweighs it.
_SAME_NAME, _SAME_WORDS, _ALIAS = 1.0, 0.98, 0.95
_MOST_ALIKE: Final = 0.94
_BY_ELIMINATION: Final = 0.5
_NAMESAKE_GAIN: Final = 1000.0

_ROLE: Final = frozenset(
    words(
        "input inputs in output outputs out source src destination dest path paths dir directory "
        "folder location uri url s3 channel request response body"
    )
)
_GENERAL: Final = frozenset(
    words("data dataset file files artifact artifacts archive tar gz result results generated")
)
_ALIKE_LETTERS: Final = 0.82
_OTHER_HEAD: Final = 0.85


@dataclass(frozen=True)
class Port:
    """An output or an input: its logical name, its other names, its node, where it lies."""

    name: str
    aliases: tuple[str, ...] = ()
    node: str | None = None
    path: str | None = None


def matches(
    outputs: Sequence[Port],
    inputs: Sequence[Port],
    *,
    semantic: bool = True,
    threshold: float = THRESHOLD,
    eliminate: bool = True,
) -> list[PathMatch]:
    """Pair outputs and inputs, each at most once, so that the confidences add up to the most.

    Without `semantic`, only names, aliases and paths count. The inputs are those of one node. With
    `eliminate`, a name that says nothing ("input_path") is paired when nothing else is left on
    either side of its edge.
    """
    table = [
        [compare(output, taken, semantic=semantic, threshold=threshold) for taken in inputs]
        for output in outputs
    ]
    chosen = assign([[_gain(match) for match in row] for row in table])
    found = [match for row, column in chosen if (match := table[row][column]) is not None]
    if semantic and eliminate:
        found += _eliminated(outputs, inputs, found)
    return sorted(found, key=lambda match: -match.confidence)


def compare(
    output: Port, taken: Port, *, semantic: bool = True, threshold: float = THRESHOLD
) -> PathMatch | None:
    """Match one output with one input; None when they do not fit."""
    if output.name == taken.name:
        return _match(output, taken, "exact", _SAME_NAME, "the same name")
    if output.path is not None and output.path == taken.path:
        return _match(output, taken, "exact", _SAME_NAME, "the same path")
    if words(output.name) and words(output.name) == words(taken.name):
        return _match(output, taken, "exact", _SAME_WORDS, "the same words")
    pairs = [(name, other) for name in _names(output) for other in _names(taken)]
    for name, other in pairs:
        if words(name) == words(other) != []:
            reason = f"{name} and {other} are the same words, one of them an alias"
            return _match(output, taken, "alias", _ALIAS, reason)
    if not semantic:
        return None
    score, (name, other) = max((similarity(*pair), pair) for pair in pairs)
    if score <= 0 or score < threshold:
        return None
    return _match(output, taken, "semantic", score, _likeness(name, other))


def similarity(name: str, other: str) -> float:
    """Say from 0 to 0.94 how alike two names are in what they say a file holds.

    Shared words over all words, averaged with shared words over those of the shorter name; less
    when their last words differ, which say what the thing is.
    """
    left, right = _content(name), _content(other)
    pairs = assign([[_kinship(word, its) for its in right] for word in left])
    if not pairs:
        return 0.0
    shared = sum(
        _kinship(left[a], right[b]) * min(_weight(left[a]), _weight(right[b])) for a, b in pairs
    )
    sizes = [sum(map(_weight, side)) for side in (left, right)]
    score = shared / sum(sizes) + shared / min(sizes) / 2
    heads = (_head(left), _head(right))
    if all(heads) and _kinship(*heads) == 0:
        score *= _OTHER_HEAD
    return _MOST_ALIKE * min(score, 1.0)


def is_nameless(name: str) -> bool:
    """Tell whether a name says nothing of what the file holds, such as "input_path"."""
    return not _content(name)


def _eliminated(
    outputs: Sequence[Port], inputs: Sequence[Port], found: Sequence[PathMatch]
) -> Iterator[PathMatch]:
    """Pair what is left on an edge that carries nothing yet, where one side's name says nothing."""
    fed = {match.dest_logical_name for match in found}
    for node in dict.fromkeys(port.node for port in outputs):
        given = [port for port in outputs if port.node == node]
        free = [port for port in inputs if port.name not in fed]
        carries = any(match.source_node == node for match in found)
        if carries or len(given) != 1 or len(free) != 1:
            continue
        if is_nameless(given[0].name) or is_nameless(free[0].name):
            reason = "the only ones left, and one of the names says nothing of what it holds"
            fed.add(free[0].name)
            yield _match(given[0], free[0], "semantic", _BY_ELIMINATION, reason)


def _match(output: Port, taken: Port, kind: MatchType, confidence: float, reason: str) -> PathMatch:
    return PathMatch(
        source_node=output.node,
        source_logical_name=output.name,
        dest_logical_name=taken.name,
        match_type=kind,
        confidence=round(confidence, 3),
        reason=reason,
    )


def _gain(match: PathMatch | None) -> float:
    if match is None:
        return 0.0
    return match.confidence + (_NAMESAKE_GAIN if match.confidence == _SAME_NAME else 0.0)


def _names(port: Port) -> tuple[str, ...]:
    return (port.name, *port.aliases)


# ---------------------------------------------------------------- words


def _content(name: str) -> list[str]:
    return [word for word in words(name) if word not in _ROLE]


def _weight(word: str) -> float:
    return 0.5 if word in _GENERAL else 1.0


def _head(content: list[str]) -> str:
    """Give the last word that says what the thing is: evaluation of "evaluation_data"; or none."""
    return next((word for word in reversed(content) if word not in _GENERAL), "")


def _kinship(word: str, other: str) -> float:
    """Say how near two words are: the same, a short form, the same stem, a slip of the pen."""
    if word == other:
        return 1.0
    short, long = sorted((word, other), key=len)
    if len(short) >= 3 and long.startswith(short):
        return 0.9
    stem = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, other, strict=False))
    )
    if stem >= max(5, 0.6 * len(long)):
        return 0.9
    letters = SequenceMatcher(None, word, other, autojunk=False).ratio()
    return letters if letters > _ALIKE_LETTERS else 0.0


def _likeness(name: str, other: str) -> str:
    left, right = _content(name), _content(other)
    pairs = assign([[_kinship(word, its) for its in right] for word in left])
    alike = [left[a] if left[a] == right[b] else f"{left[a]}~{right[b]}" for a, b in pairs]
    return f"both are about {', '.join(alike)}"


# ---------------------------------------------------------------- the nearest


def ranked(outputs: Iterable[Port], name: str) -> list[tuple[Port, float]]:
    """Order outputs by how well they fit a name, best first; equals stay as they were given."""
    scored = [
        (port, max(1.0 if its == name else similarity(its, name) for its in _names(port)))
        for port in outputs
    ]
    return sorted(scored, key=lambda pair: -pair[1])

"""Which handlers of a batch are run: by name, by expression, by last time's failures, by shard."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SpecError
from harness.specs import InferenceHandlerSpec

TOKEN = re.compile(r"\s*([()]|[^\s()]+)")
Predicate = Callable[[str], bool]


@dataclass(frozen=True)
class Selection:
    """What is asked for; by default everything.

    `expression` is that of `-k`: words that are found in the name, whatever the case, with and, or,
    not and brackets. `shard` is (number from 1, of how many).
    """

    names: Collection[str] = ()
    expression: str | None = None
    only: Collection[str] | None = None
    shard: tuple[int, int] = (1, 1)

    def chosen(self, specs: Sequence[InferenceHandlerSpec]) -> list[InferenceHandlerSpec]:
        """Choose, in the order given. Raises SpecError for a name or expression that is wrong."""
        wanted = matcher(self.expression) if self.expression is not None else None
        known = {spec.handler_name for spec in specs}
        for name in self.names:
            if name not in known:
                raise SpecError(f"there is no handler {name!r}; {_meant(name, known)}")
        kept = [
            spec
            for spec in specs
            if (not self.names or spec.handler_name in self.names)
            and (wanted is None or wanted(spec.handler_name))
            and (self.only is None or spec.handler_name in self.only)
        ]
        number, count = self.shard
        mine = set(sorted(spec.handler_name for spec in kept)[number - 1 :: count])
        return [spec for spec in kept if spec.handler_name in mine]


def shard(text: str) -> tuple[int, int]:
    """Read "1/4": the first of four parts. Raises SpecError."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise SpecError(f"--shard {text}: write NUMBER/COUNT from 1/1, such as 1/4")
    return int(match[1]), int(match[2])


def named_once(specs: Sequence[InferenceHandlerSpec], places: Sequence[str] = ()) -> None:
    """Refuse two handlers of one name. Raises SpecError; `places` says where each came from."""
    seen: dict[str, str] = {}
    for index, spec in enumerate(specs):
        place = places[index] if places else f"number {index + 1}"
        if spec.handler_name not in seen:
            seen[spec.handler_name] = place
            continue
        other = seen[spec.handler_name]
        if Path(other).resolve() == Path(place).resolve():
            raise SpecError(f"the handler at {place} is given twice; give it once")
        raise SpecError(
            f"two handlers are named {spec.handler_name!r}: {other} and {place}; "
            "give each a name of its own (handler_name)"
        )


def matcher(expression: str) -> Predicate:
    """Make a test of names of a `-k` expression. Raises SpecError."""
    tokens = TOKEN.findall(expression)
    reader = _Reader(iter([*tokens, ""]), expression)
    return reader.whole()


class _Reader:
    """Reads: whole = any of "all of 'not* word-or-brackets'"; recursion is as deep as brackets."""

    def __init__(self, tokens: Iterator[str], expression: str) -> None:
        self._tokens = tokens
        self._expression = expression
        self._token = next(tokens)

    def whole(self) -> Predicate:
        predicate = self._any()
        if self._token:
            self._refuse()
        return predicate

    def _any(self) -> Predicate:
        parts = [self._all()]
        while self._token == "or":
            self._next()
            parts.append(self._all())
        return lambda name: any(part(name) for part in parts)

    def _all(self) -> Predicate:
        parts = [self._one()]
        while self._token == "and":
            self._next()
            parts.append(self._one())
        return lambda name: all(part(name) for part in parts)

    def _one(self) -> Predicate:
        token = self._next()
        if token == "not":
            inner = self._one()
            return lambda name: not inner(name)
        if token == "(":
            inner = self._any()
            if self._next() != ")":
                self._refuse()
            return inner
        if token in ("", ")", "and", "or"):
            self._refuse()
        return lambda name: token.lower() in name.lower()

    def _next(self) -> str:
        token, self._token = self._token, next(self._tokens, "")
        return token

    def _refuse(self) -> None:
        raise SpecError(
            f"-k {self._expression!r}: write words with and, or, not and brackets, "
            "such as 'churn and not slow'"
        )


def _meant(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {_few(sorted(known))}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

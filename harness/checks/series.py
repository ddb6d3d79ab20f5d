"""Planned calls that go out together: how many requests, and their lines, bodies in place."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import worker.protocol as protocol
from harness.checks.calls import Planned
from harness.runtime import wire
from harness.runtime.bodies import INLINE_BYTES, Raw
from harness.runtime.session import Session
from harness.runtime.wire import Series

FIRST = 4  # requests: who prints a line for each makes the worker pass over the others
MOST = 16  # with their bodies the pipe takes them in one write
LINES_BYTES = 32 * 2**10
FILE_BYTES = 4 * 2**20


class Part(NamedTuple):
    """Calls of one request, which are made ready at once."""

    planned: Sequence[Planned]
    frees: Sequence[Planned] = ()  # the worker frees the values of these with the last of them
    leads: bool = False  # whether another part goes out with it

    def first(self) -> "Part":
        """Give the first call alone; it frees what the last would where it is the last."""
        return Part(self.planned[:1], self.frees if len(self.planned) == 1 else ())


class Window:
    """How many requests of a worker go out together: a few, then more, one by one after a break.

    One by one for twice as many requests as the time before, so that a worker that is hardly ever
    quiet passes over little.
    """

    def __init__(self) -> None:
        self._size = FIRST
        self._alone = 0  # so many still go one by one
        self._pause = 0  # and so many did after the last break

    def take(self, requests: Iterable[Sequence[Planned]]) -> Iterator[Part]:
        """Take those that go out together: one, however large it is, or several small ones.

        Each is given as soon as it is known whether another follows.
        """
        before: Sequence[Planned] = ()
        lines = files = 0
        for planned in islice(requests, 1 if self._alone else self._size):
            sizes = [len(it.data) for call in planned for it in call.given if isinstance(it, Raw)]
            lines += sum(size for size in sizes if size <= INLINE_BYTES)
            files += sum(size for size in sizes if size > INLINE_BYTES)
            is_full = lines >= LINES_BYTES or files >= FILE_BYTES
            if not (before and is_full):
                if before:
                    yield Part(before, before, leads=True)
                before = planned
            if is_full:
                break
        if before:
            yield Part(before, before)

    def answered(self, *, whole: bool) -> None:
        """Learn whether the worker made all calls of what was taken, or passed over some."""
        if not whole:
            if not self._alone:
                self._pause = 2 * self._pause or 1
            self._size, self._alone = FIRST, self._pause
        elif self._alone:
            self._alone -= 1
        else:
            self._size = min(2 * self._size, MOST)


def made(session: Session, parts: Iterable[Part]) -> Iterator[Series]:
    """Make parts ready, each when it is asked for; a call after the first follows the one before.

    With the call that is the last of a request the worker frees the values of all of that.
    """
    follows = None
    for part in parts:
        messages, last = [], part.planned[-1]
        for item in part.planned:
            message = protocol.Call(
                id=item.name,
                function=item.function,  # type: ignore[arg-type]
                arguments=[session.carry(it) if isinstance(it, Raw) else it for it in item.given],
                content_type=item.headers.content_type,
                accept=item.headers.accept,
                body_bytes=item.headers.body_bytes,
                follows=follows,
                leads=part.leads or item is not last or None,
                forget=[own.name for own in part.frees] or None if item is last else None,
            )
            messages.append(message)
            follows = True
        yield wire.series_of(messages)

"""The templates of one process, used by its forks: a deputy asks, the process that owns them does.

Templates are dear, so that the forks have none of their own. What a fork gets is a supervisor's
process descriptor; pipes and all else of a worker are its own.
"""

import contextlib
import signal
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import HarnessError
from harness.runtime.channel import Channel, NoRoom, close_all
from harness.runtime.template import Forked, Forking, Unusable
from harness.runtime.templates import Choice, Choosing, Wanted
from worker.protocol import Warmed

END_S = 20.0  # more than the end of a worker takes


@dataclass(frozen=True)
class Question:
    """What a fork asks of the owner: a method of Lender, and its arguments."""

    method: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class _Description:
    """A template as it is told to a fork: by a number that holds for one task."""

    number: int
    spawns: bool
    warmed: Warmed


class Lender:
    """The owner's half: answers the questions of one fork."""

    def __init__(self, templates: Choosing, channel: Channel) -> None:
        self._templates = templates
        self._channel = channel
        self._lent: list[Forking] = []
        self._forked: tuple[Forking, Forked] | None = None

    def begin(self) -> None:
        """Forget what was lent for the task before."""
        self._lent.clear()

    def close(self) -> None:
        """Wait for the end of its last supervisor, when the fork is gone; then make it.

        A handler may have stopped that one. It is no child of the fork's, whose end would wake it.
        """
        if self._forked is None:
            return
        (template, forked), self._forked = self._forked, None
        with contextlib.suppress(OSError):
            forked.send_signal(signal.SIGCONT)
        try:
            forked.wait(END_S)
        except subprocess.TimeoutExpired:
            forked.kill()
            forked.wait()
            template.sweep()

    def answer(self, question: Question, descriptors: Sequence[int]) -> None:
        """Do what was asked, and send what came of it. Raises EOFError when the fork is gone."""
        try:
            if question.method == "fork":
                self._fork(question.arguments[0], descriptors)
            else:
                self._channel.send(getattr(self, question.method)(*question.arguments))
        except (Unusable, HarnessError) as error:
            self._channel.send(error)
        finally:
            close_all(descriptors)

    def choose(self, wanted: Wanted, forced: bool) -> tuple[_Description | None, str]:
        """As `Templates.choose`."""
        choice = self._templates.choose(wanted, forced=forced)
        return self._described(choice.template), choice.reason

    def for_a_fresh_worker(self) -> _Description | None:
        """As `Templates.for_a_fresh_worker`."""
        return self._described(self._templates.for_a_fresh_worker())

    def learn(self, digest: str, modules: list[str]) -> None:
        """As `Templates.learn`."""
        self._templates.learn(digest, modules)

    def sweep(self, number: int) -> int:
        """As `Template.sweep`."""
        return self._lent[number].sweep()

    def end(self, number: int, why: str) -> None:
        """As `Template.end`."""
        self._lent[number].end(why)

    def _fork(self, number: int, descriptors: Sequence[int]) -> None:
        forked = self._lent[number].fork(descriptors)
        if self._forked is not None:
            self._forked[1].let_go()
        self._forked = self._lent[number], forked
        self._channel.send(forked.pid, [forked.descriptor])

    def _described(self, template: Forking | None) -> _Description | None:
        if template is None:
            return None
        self._lent.append(template)
        return _Description(len(self._lent) - 1, template.spawns, template.warmed)


class _Borrower:
    """The fork's end of the channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def ask(
        self, method: str, *arguments: object, descriptors: Sequence[int] = ()
    ) -> tuple[Any, list[int]]:
        """Ask, and wait for the answer. Raises what the owner's method raised, and Unusable.

        Without an owner there is nothing left to work for: that is as good as Ctrl-C.
        """
        try:
            self._channel.send(Question(method, arguments), descriptors)
            answer, given = self._channel.receive()
        except NoRoom as error:
            raise Unusable(str(error)) from None
        except EOFError:
            raise KeyboardInterrupt from None
        if isinstance(answer, Exception):
            raise answer
        return answer, given


class LentTemplates:
    """The fork's half: what `Templates` is to its owner."""

    def __init__(self, channel: Channel) -> None:
        self._borrower = _Borrower(channel)

    def choose(self, wanted: Wanted, *, forced: bool) -> Choice:
        """Give the template for a worker, or the reason for a fresh start."""
        (described, reason), _ = self._borrower.ask("choose", wanted, forced)
        return Choice(self._lent(described), reason)

    def for_a_fresh_worker(self) -> "LentTemplate | None":
        """Give the template whose supervisors start fresh workers."""
        return self._lent(self._borrower.ask("for_a_fresh_worker")[0])

    def learn(self, digest: str, modules: Iterable[str]) -> None:
        """Remember which modules a handler's model needed."""
        self._borrower.ask("learn", digest, list(modules))

    def _lent(self, described: _Description | None) -> "LentTemplate | None":
        return None if described is None else LentTemplate(self._borrower, described)


class LentTemplate:
    """A template of the owner's; it is there for the task for which it was chosen."""

    def __init__(self, borrower: _Borrower, described: _Description) -> None:
        self._borrower = borrower
        self._number = described.number
        self.spawns = described.spawns
        self.warmed = described.warmed

    def fork(self, descriptors: Sequence[int]) -> Forked:
        """Fork a supervisor that gets these descriptors, in this order. Raises Unusable."""
        pid, given = self._borrower.ask("fork", self._number, descriptors=descriptors)
        return Forked(pid, given[0])

    def sweep(self) -> int:
        """End what a supervisor that was killed has left behind; count it."""
        return int(self._borrower.ask("sweep", self._number)[0])

    def end(self, why: str) -> None:
        """End it; who asks for it afterwards is told why."""
        self._borrower.ask("end", self._number, why)

"""Templates used through a channel: what a fork gets, and what it meets when one has gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread

import psutil
import pytest

from harness.errors import HarnessError
from harness.runtime import templates as rules
from harness.runtime.channel import Channel
from harness.runtime.lent import Lender, LentTemplate, LentTemplates, Question
from harness.runtime.template import Unusable
from harness.runtime.templates import Templates, Wanted
from tests.waiting import wait_until

LONG_S = 20.0
START_S = 20.0


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[Templates]:
    with Templates(tmp_path / "workspace") as templates:
        yield templates


@pytest.fixture
def lent(owned: Templates) -> Iterator[LentTemplates]:
    """Give the half of a fork; the owner's half answers in a thread."""
    with served(owned) as (templates, _):
        yield templates


@contextmanager
def served(owned: Templates) -> Iterator[tuple[LentTemplates, Lender]]:
    ours, theirs = pair()
    lender = Lender(owned, ours)

    def answer() -> None:
        with suppress(EOFError):
            while True:
                question, descriptors = ours.receive()
                assert isinstance(question, Question)
                lender.answer(question, descriptors)

    answering = Thread(target=answer)
    answering.start()
    try:
        yield LentTemplates(theirs), lender
    finally:
        theirs.close()
        answering.join()
        lender.close()
        ours.close()


def pair() -> tuple[Channel, Channel]:
    one, other = socket.socketpair()
    return Channel(one), Channel(other)


def wanted(digest: str = "a handler") -> Wanted:
    return rules.wanted(sys.executable, {}, [], own_names=[], digest=digest, timeout_s=START_S)


class Worker:
    """The descriptors that a supervisor is forked with, and the ends that its tester keeps."""

    def __init__(self, opened: ExitStack) -> None:
        control, order = os.pipe()
        report, reporting = os.pipe()
        self._control = opened.enter_context(os.fdopen(order, "wb", buffering=0))
        nothing = [os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC) for _ in range(7)]
        self.descriptors = [*nothing[:6], control, reporting, nothing[6]]
        for descriptor in (*self.descriptors, report):
            opened.callback(os.close, descriptor)

    def let_go(self) -> None:
        """Close the control, as a tester does that is gone."""
        self._control.close()


@pytest.fixture
def worker() -> Iterator[Worker]:
    with ExitStack() as opened:
        yield Worker(opened)


def template_of() -> psutil.Process:
    (found,) = [child for child in psutil.Process().children() if "template" in child.cmdline()]
    return found


# ---------------------------------------------------------------- what a fork gets


def test_choices_are_those_of_the_owner(owned: Templates, lent: LentTemplates) -> None:
    first = lent.choose(wanted(), forced=False)
    assert first.template is None
    assert first.reason == "the first worker that needs these modules"
    second = lent.choose(wanted(), forced=False)
    own = owned.choose(wanted(), forced=False)
    assert second.template is not None
    assert own.template is not None
    assert second.reason == own.reason == "imported before: nothing but the worker"
    assert second.template.warmed == own.template.warmed
    assert not second.template.spawns
    assert template_of().pid


def test_what_is_learned_reaches_the_owner(owned: Templates, lent: LentTemplates) -> None:
    lent.learn("a handler", ["json", "numpy"])
    choice = owned.choose(wanted("a handler"), forced=True)
    assert choice.reason == "imported before: numpy"


def test_template_of_fresh_workers_is_told_from_the_second_on(lent: LentTemplates) -> None:
    assert lent.for_a_fresh_worker() is None
    template = lent.for_a_fresh_worker()
    assert template is not None
    assert template.spawns


def test_supervisor_is_the_templates_child_and_can_be_waited_for(
    lent: LentTemplates, worker: Worker
) -> None:
    template = lent.choose(wanted(), forced=True).template
    assert template is not None
    forked = template.fork(worker.descriptors)
    assert psutil.Process(forked.pid).ppid() == template_of().pid
    assert not os.get_inheritable(forked.descriptor)
    with pytest.raises(subprocess.TimeoutExpired):
        forked.wait(0.0)
    worker.let_go()
    assert forked.wait(LONG_S) == 0


def test_supervisor_can_be_killed_by_who_did_not_fork_it(
    lent: LentTemplates, worker: Worker
) -> None:
    template = lent.choose(wanted(), forced=True).template
    assert template is not None
    forked = template.fork(worker.descriptors)
    forked.kill()
    assert forked.wait(LONG_S) == 0
    forked.kill()  # a second time it is gone


def test_owner_keeps_only_the_last_of_what_was_lent(lent: LentTemplates) -> None:
    template = lent.choose(wanted(), forced=True).template
    assert template is not None
    before = psutil.Process().num_fds()
    for _ in range(3):
        with ExitStack() as opened:
            worker = Worker(opened)
            forked = template.fork(worker.descriptors)
            worker.let_go()
            forked.wait(LONG_S)
    assert wait_until(lambda: psutil.Process().num_fds() == before + 1)


def test_last_supervisor_goes_on_when_the_fork_is_gone(owned: Templates, worker: Worker) -> None:
    """A handler may have stopped it, and then ended the fork."""
    with served(owned) as (templates, lender):
        template = templates.choose(wanted(), forced=True).template
        assert template is not None
        forked = template.fork(worker.descriptors)
        forked.send_signal(signal.SIGSTOP)
        worker.let_go()
        assert wait_until(lambda: psutil.Process(forked.pid).status() == psutil.STATUS_STOPPED)
        lender.close()
        assert forked.wait(LONG_S) == 0


# ---------------------------------------------------------------- what has gone


def test_template_that_was_killed_forks_nothing_and_can_be_swept_and_closed(
    lent: LentTemplates, worker: Worker
) -> None:
    template = lent.choose(wanted(), forced=True).template
    assert template is not None
    process = template_of()
    process.kill()
    process.wait()
    before = psutil.Process().num_fds()
    with pytest.raises(Unusable, match="the template"):
        template.fork(worker.descriptors)
    assert wait_until(lambda: psutil.Process().num_fds() == before - 2), "channel and process"
    assert template.sweep() == 0
    template.end("its template ended by itself")
    template.end("its template ended by itself")
    with pytest.raises(Unusable, match="the template is gone"):
        template.fork(worker.descriptors)
    again = lent.choose(wanted(), forced=True)
    assert (again.template, again.reason) == (None, "its template ended by itself")


def test_template_closed_by_one_fork_is_gone_for_another(
    owned: Templates, lent: LentTemplates, worker: Worker
) -> None:
    with served(owned) as (others, _):
        template = lent.choose(wanted(), forced=True).template
        same = others.choose(wanted(), forced=True).template
        assert template is not None
        assert same is not None
        same.end("it is of no use")
        with pytest.raises(Unusable, match="the template is gone"):
            template.fork(worker.descriptors)
        assert template.sweep() == 0
        assert lent.choose(wanted(), forced=True).reason == "it is of no use"


def test_numbers_begin_anew_with_each_task(owned: Templates) -> None:
    with served(owned) as (templates, lender):
        for _ in range(2):
            lender.begin()
            template = templates.choose(wanted(), forced=True).template
            assert isinstance(template, LentTemplate)
            assert template._number == 0


def test_error_of_the_owner_reaches_the_fork_as_itself(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Templates(tmp_path / "file" / "workspace") as owned, served(owned) as (templates, _):
        with pytest.raises(HarnessError, match="no run directory can be made"):
            templates.choose(wanted(), forced=True)
        assert templates.for_a_fresh_worker() is None, "it can be asked again"


def test_without_an_owner_it_is_as_if_ctrl_c_was_pressed() -> None:
    ours, theirs = pair()
    templates = LentTemplates(theirs)
    ours.close()
    with pytest.raises(KeyboardInterrupt):
        templates.choose(wanted(), forced=True)
    with pytest.raises(KeyboardInterrupt):
        templates.for_a_fresh_worker()
    theirs.close()


def test_supervisor_of_a_fork_that_is_gone_leaves(owned: Templates, worker: Worker) -> None:
    """Who asked is killed between the question and the answer."""
    ours, theirs = pair()
    lender = Lender(owned, ours)
    choice = owned.choose(wanted(), forced=True)
    assert choice.template is not None
    lender.choose(wanted(), True)
    template = template_of()
    theirs.close()
    with pytest.raises(EOFError):
        lender.answer(Question("fork", (0,)), [os.dup(each) for each in worker.descriptors])
    assert wait_until(lambda: len(descendants(template)) == 4, LONG_S), "it waits for its order"
    worker.let_go()
    assert wait_until(lambda: len(descendants(template)) == 2, LONG_S), "who waits ahead is left"
    lender.close()
    ours.close()


def descendants(process: psutil.Process) -> list[psutil.Process]:
    return [
        child
        for child in process.children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE
    ]

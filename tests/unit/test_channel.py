"""Objects and descriptors between two ends, and what each end meets when the other is gone."""

from __future__ import annotations

import gc
import os
import pickle
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from threading import Thread

import pytest

from harness.runtime.channel import MAX_DESCRIPTORS, Channel, NoRoom, close_all
from tests.waiting import wait_until

LONG_S = 10.0
Ends = tuple[Channel, Channel]


@pytest.fixture
def ends() -> Iterator[Ends]:
    one, other = map(Channel, socket.socketpair())
    yield one, other
    one.close()
    other.close()


@contextmanager
def pipes(count: int) -> Iterator[tuple[list[int], list[int]]]:
    """Give so many reading ends, and the writing end of each."""
    with ExitStack() as opened:
        reading, writing = [], []
        for _ in range(count):
            ends = os.pipe()
            for descriptor in ends:
                opened.callback(os.close, descriptor)
            reading.append(ends[0])
            writing.append(ends[1])
        yield reading, writing


def descriptors() -> set[str]:
    """List the open descriptors, less the one that lists them."""
    return {name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}


# ---------------------------------------------------------------- what goes through


def test_objects_come_in_the_order_in_which_they_were_sent(ends: Ends) -> None:
    one, other = ends
    sent = [None, 0, "", {"a": [1, (2, 3)]}, b"\0" * 100]
    for message in sent:
        one.send(message)
    other.send("back")
    assert [other.receive() for _ in sent] == [(message, []) for message in sent]
    assert one.receive() == ("back", [])


class Looked:
    """Tells, where it is read, whether this process looks for garbage."""

    def __init__(self, *, fails: bool) -> None:
        self._fails = fails

    def __reduce__(self) -> tuple[Callable[[bool], bool], tuple[bool]]:
        return look, (self._fails,)


def look(fails: bool) -> bool:
    if fails:
        raise ZeroDivisionError
    return gc.isenabled()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_nobody_looks_for_garbage_while_an_object_is_read(
    before: bool, fails: bool, ends: Ends
) -> None:
    one, other = ends
    one.send(Looked(fails=fails))
    was = gc.isenabled()
    (gc.enable if before else gc.disable)()
    try:
        with pytest.raises(ZeroDivisionError) if fails else nullcontext():
            assert other.receive() == (False, [])
        assert gc.isenabled() == before
    finally:
        (gc.enable if was else gc.disable)()


def test_an_object_larger_than_any_buffer(ends: Ends) -> None:
    one, other = ends
    large = os.urandom(5 << 20)
    sender = Thread(target=one.send, args=((large, "end"),))
    sender.start()
    assert other.receive() == ((large, "end"), [])
    sender.join()


@pytest.mark.parametrize("count", [1, 9, MAX_DESCRIPTORS])
def test_descriptors_come_in_order_and_are_not_inheritable(ends: Ends, count: int) -> None:
    one, other = ends
    with pipes(count) as (reading, writing):
        for descriptor in reading:
            os.set_inheritable(descriptor, True)
        one.send("these", reading)
        message, received = other.receive()
        assert (message, len(received)) == ("these", count)
        for number, (mine, end) in enumerate(zip(received, writing, strict=True)):
            assert not os.get_inheritable(mine)
            os.write(end, b"%d" % number)
            assert os.read(mine, 10) == b"%d" % number
        close_all(received)


def test_descriptors_belong_to_the_message_that_they_were_sent_with(ends: Ends) -> None:
    one, other = ends
    with pipes(3) as (reading, _):
        one.send("two", reading[:2])
        one.send("none")
        one.send("one", reading[2:])
        counts = []
        for _ in range(3):
            message, received = other.receive()
            counts.append((message, len(received)))
            close_all(received)
    assert counts == [("two", 2), ("none", 0), ("one", 1)]


# ---------------------------------------------------------------- the other end is gone


def test_an_end_that_is_gone_is_met_by_both_ways(ends: Ends) -> None:
    one, other = ends
    other.close()
    with pytest.raises(EOFError):
        one.receive()
    with pytest.raises(EOFError):
        one.send("a word")


def test_an_end_that_goes_with_words_unread_is_no_other_error(ends: Ends) -> None:
    """The kernel then tells of a reset, not of an end."""
    one, other = ends
    one.send("never read")
    other.close()
    with pytest.raises(EOFError):
        one.receive()


def test_what_was_sent_before_the_end_is_still_received(ends: Ends) -> None:
    one, other = ends
    one.send("last words")
    one.close()
    assert other.receive() == ("last words", [])
    with pytest.raises(EOFError):
        other.receive()


def test_an_end_that_goes_in_the_middle_of_an_object_leaks_nothing() -> None:
    one, other = socket.socketpair()
    receiving = Channel(other)
    with pipes(2) as (reading, _):
        before = descriptors()
        head = (1000).to_bytes(8, "little") + (2).to_bytes(4, "little")
        socket.send_fds(one, [head + b"half"], reading)
        one.shutdown(socket.SHUT_WR)
        with pytest.raises(EOFError):
            receiving.receive()
        assert descriptors() == before
    one.close()
    receiving.close()


def test_an_end_that_is_reset_in_the_middle_of_an_object_leaks_nothing() -> None:
    one, other = socket.socketpair()
    receiving = Channel(other)
    with pipes(2) as (reading, _):
        before = descriptors() - {str(one.fileno())}
        head = (1000).to_bytes(8, "little") + (2).to_bytes(4, "little")
        socket.send_fds(one, [head], reading)
        receiving.send("unread")
        one.close()
        with pytest.raises(EOFError):
            receiving.receive()
        assert descriptors() == before
    receiving.close()


def test_half_a_head_is_an_end(ends: Ends) -> None:
    raw, other = socket.socketpair()
    receiving = Channel(other)
    raw.send(b"12345")
    raw.close()
    with pytest.raises(EOFError):
        receiving.receive()
    receiving.close()


def test_who_waits_at_an_end_is_woken_when_it_is_closed(ends: Ends) -> None:
    one, other = ends
    met: list[type[BaseException]] = []

    def wait() -> None:
        try:
            one.receive()
        except EOFError as error:
            met.append(type(error))

    waiting = Thread(target=wait, daemon=True)
    waiting.start()
    stat = f"/proc/self/task/{waiting.native_id}/stat"
    with open(stat) as file:

        def asleep() -> bool:
            file.seek(0)
            return file.read().rpartition(") ")[2].startswith("S")

        assert wait_until(asleep, LONG_S)
        one.close()
        waiting.join(LONG_S)
    assert met == [EOFError]
    with pytest.raises(EOFError):
        other.receive()


def test_an_end_that_is_silent_in_the_middle_of_an_object_is_roused() -> None:
    raw, other = socket.socketpair()
    receiving = Channel(other)
    data = pickle.dumps("a word")
    parts = [len(data).to_bytes(8, "little") + (0).to_bytes(4, "little"), data[:3], data[3:]]
    receiving.rouse_by(lambda: raw.send(parts.pop(0)), 0.01)
    assert receiving.receive() == ("a word", [])
    assert parts == []
    raw.close()
    receiving.close()


def test_an_end_that_takes_nothing_is_roused(ends: Ends) -> None:
    one, other = ends
    large = os.urandom(5 << 20)
    received = []
    taking = Thread(target=lambda: received.append(other.receive()))
    one.rouse_by(lambda: taking.is_alive() or taking.start(), 0.01)
    one.send(large)
    taking.join()
    assert received == [(large, [])]


# ---------------------------------------------------------------- no room, no sense


def test_more_descriptors_than_are_taken_are_told_and_leak_none(ends: Ends) -> None:
    one, other = ends
    with pipes(MAX_DESCRIPTORS + 1) as (reading, _):
        before = descriptors()
        one.send("too many", reading)
        one.send("next")
        with pytest.raises(NoRoom):
            other.receive()
        assert descriptors() == before
    assert other.receive() == ("next", [])


def test_more_descriptors_than_there_is_room_for_are_told_and_leak_none(ends: Ends) -> None:
    one, other = ends
    with pipes(3) as (reading, _):
        before = descriptors()
        one.send("no room", reading)
        one.send("next")
        with room_for_one(), pytest.raises(NoRoom):
            other.receive()
        assert descriptors() == before
    assert other.receive() == ("next", [])


@contextmanager
def room_for_one() -> Iterator[None]:
    """Let this process open one descriptor more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Unreadable:
    """What can be made a pickle, but not be made of it again."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return int, ("no number",)


def test_an_object_that_cannot_be_made_again_keeps_no_descriptors(ends: Ends) -> None:
    one, other = ends
    with pipes(2) as (reading, _):
        before = descriptors()
        one.send(Unreadable(), reading)
        one.send("the next")
        with pytest.raises(ValueError, match="no number"):
            other.receive()
        assert descriptors() == before
    assert other.receive() == ("the next", [])


def test_an_object_that_cannot_be_sent_disturbs_nothing(ends: Ends) -> None:
    one, other = ends
    with pytest.raises((AttributeError, TypeError)):
        one.send(lambda: None)
    one.send("the next")
    assert other.receive() == ("the next", [])

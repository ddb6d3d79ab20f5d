"""A worker is in its control groups before its first request, and born there where it can be."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.runtime import cgroups, layers, wire
from harness.runtime.cgroups import Group, Usage
from harness.runtime.process import WorkerProcess
from harness.runtime.session import Session
from tests.waiting import wait_until
from worker import protocol

MIB = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")
TELLS_ITS_PAGES = """
import os
with open("/proc/self/statm") as file:
    _, resident, shared, *_ = map(int, file.read().split())
os.write(2, b"%d\\n" % (resident - shared))
os.read(0, 1)
"""
READY = protocol.Ready(protocol=protocol.VERSION, python="3.11.7", executable="python", pid=1)
GREETS = """
import os, pathlib
os.write(1, pathlib.Path("greeting").read_bytes())
pathlib.Path("greeted").touch()
os.read(0, 1)
"""


def order(folder: Path, code: str) -> protocol.Start:
    return protocol.Start(
        argv=[sys.executable, "-I", "-S", "-c", code], environ={}, directory=str(folder)
    )


@pytest.fixture
def real() -> Iterator[Group]:
    probe = layers.cgroup()
    if not probe.works:
        pytest.skip(f"cgroup: {probe.reason}")
    group = Group(cgroups.find(), memory_bytes=256 * MIB, max_processes=64)
    if not group.home_files():
        group.remove()
        pytest.skip("control groups of version 2 are entered after the start")
    yield group
    group.remove()


def test_memory_of_the_interpreter_s_start_is_counted(tmp_path: Path, real: Group) -> None:
    process = WorkerProcess(order(tmp_path, TELLS_ITS_PAGES), mark=str(tmp_path), group=real)
    with Session(process, max_output_bytes=MIB, max_response_bytes=1000):
        select.select([process.log], [], [])
        own_bytes = int(os.read(process.log, 100)) * PAGE
        peak = real.usage().peak_bytes
        assert own_bytes > MIB
        assert peak is not None
        assert peak >= own_bytes


class SlowGroup:
    """A group that is joined by a pipe which is full: to write to it waits for who reads it."""

    limits_memory = False

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self.end = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        while select.select([], [self.end], [], 0)[1]:
            os.write(self.end, bytes(4096))

    def join_files(self) -> list[str]:
        return [str(self._path)]

    def home_files(self) -> list[str]:
        return []

    def usage(self) -> Usage:
        return Usage(None, 0, 0)

    def kill(self) -> None:
        pass

    def remove(self) -> None:
        os.close(self.end)


def test_greeting_is_not_taken_before_the_worker_is_in_its_groups(tmp_path: Path) -> None:
    (tmp_path / "greeting").write_bytes(wire.encode(READY))
    slow: Any = SlowGroup(tmp_path / "group")
    process = WorkerProcess(order(tmp_path, GREETS), mark=str(tmp_path), group=slow)

    def let_it_in_when_its_greeting_was_read() -> None:
        greeted = tmp_path / "greeted"
        assert wait_until(lambda: greeted.exists() and not is_readable(process.replies), 60)
        while is_readable(slow.end):
            os.read(slow.end, 65_536)

    with Session(process, max_output_bytes=MIB, max_response_bytes=1000) as session:
        reader = threading.Thread(target=let_it_in_when_its_greeting_was_read)
        reader.start()
        answer = session.start(60)
        known = session.subreaper  # what tells it comes after the group was joined
        reader.join()
        assert answer.ending is None
        assert session.ready == READY
        assert known


def is_readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])

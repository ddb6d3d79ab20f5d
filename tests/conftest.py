"""What every test has: the check that nothing is left behind, and packages and payloads to run."""

from __future__ import annotations

import io
import os
import signal
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Protocol

import psutil
import pytest
from hypothesis import HealthCheck, settings

from tests.waiting import wait_until

# How fast examples come is a matter of who else uses the machine.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# A run in the background ignores these, and so would all that it starts, which tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

Files = Mapping[str, "str | bytes"]


class MakePackage(Protocol):
    """Makes a model package of the given files."""

    def __call__(self, files: Files, *, as_archive: bool = False) -> Path: ...


@pytest.fixture(scope="session", autouse=True)
def _private_temp() -> Iterator[None]:
    """Give this run a temporary directory of its own, so that other runs do not show in it.

    Its path is short, like that of the real one: a socket's path in it has 107 bytes at most.
    """
    with (
        tempfile.TemporaryDirectory(prefix="hp-") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(autouse=True)
def nothing_left(_private_temp: None) -> Iterator[None]:
    """Fail a test that leaves a process, descriptor, thread or run directory behind."""
    before, descriptors = _belongings(), psutil.Process().num_fds()
    yield

    def left() -> dict[str, list[str]]:
        now, count_now = _belongings(), psutil.Process().num_fds()
        new = {kind: sorted(now[kind] - before[kind]) for kind in before}
        counts = [] if count_now == descriptors else [f"{descriptors} before, {count_now} now"]
        new["descriptors"] = counts and counts + new["descriptors"]
        return {kind: found for kind, found in new.items() if found}

    if not wait_until(lambda: not left()):
        pytest.fail(f"left behind: {left()}")


def _belongings() -> dict[str, set[str]]:
    return {
        "processes": set(_children()),
        "descriptors": _descriptors(),
        "threads": {f"{thread.name} ({thread.ident})" for thread in threading.enumerate()},
        "directories": {str(path) for path in Path(tempfile.gettempdir()).glob("handlerproof-*")},
    }


def _children() -> Iterator[str]:
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            yield f"{child.pid} {child.name()}"


def _descriptors() -> set[str]:
    """Name the open descriptors with what they are open on; none where there is no /proc."""
    found = set()
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:
        with suppress(OSError):  # the one that listed them
            found.add(f"{name} -> {os.readlink(f'/proc/self/fd/{name}')}")
    return found


@pytest.fixture
def long_count(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Give the count to repeat a test marked `long`: whole with scripts/test --long, else a tenth.

    The variable is HANDLERPROOF_LONG.
    """
    assert request.node.get_closest_marker("long"), "long_count is for tests marked long"
    whole = os.environ.get("HANDLERPROOF_LONG") == "1"
    return lambda number: number if whole else max(1, number // 10)


@pytest.fixture
def package(tmp_path: Path) -> MakePackage:
    """Make a model package of {path in it: content}: a directory, or a model.tar.gz."""
    numbers = count(1)

    def make(files: Files, *, as_archive: bool = False) -> Path:
        place = tmp_path / f"package-{next(numbers)}"
        place.mkdir()
        if not as_archive:
            _write(place, files)
            return place
        archive = place / "model.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            for name, content in files.items():
                data = content.encode() if isinstance(content, str) else content
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return archive

    return make


@pytest.fixture
def payloads(tmp_path: Path) -> Callable[[Files], Path]:
    """Make a directory of payloads of {path in it: body}."""
    numbers = count(1)

    def make(files: Files) -> Path:
        place = tmp_path / f"payloads-{next(numbers)}"
        place.mkdir()
        _write(place, files)
        return place

    return make


def _write(place: Path, files: Files) -> None:
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

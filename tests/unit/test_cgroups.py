"""Control groups: on directories that imitate v1 and v2, and one real group where it can be had."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.artifacts import stale
from harness.runtime import cgroups, layers
from harness.runtime.cgroups import Group, Place, Unavailable, Usage

MIB = 1 << 20
NO_LIMIT = str(2**63 - 4096)

V1_MEMORY = {
    "tasks": "",
    "memory.limit_in_bytes": NO_LIMIT,
    "memory.memsw.limit_in_bytes": NO_LIMIT,
    "memory.max_usage_in_bytes": "0",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
}
V1_PIDS = {"tasks": "", "pids.max": "max", "pids.events": "max 0\n"}
V2 = {
    "cgroup.procs": "",
    "cgroup.kill": "",
    "memory.max": "max",
    "memory.swap.max": "max",
    "memory.oom.group": "0",
    "memory.peak": "0",
    "memory.events.local": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
    "pids.max": "max",
    "pids.events": "max 0\n",
}


@dataclass
class Imitation:
    """A directory in which a new directory has the files of a control group."""

    root: Path
    own: Path

    def find(self) -> Place:
        return cgroups.find(root=self.root, own=self.own)

    def is_within(self, path: Path) -> bool:
        return path.is_relative_to(self.root)


@pytest.fixture
def imitation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Imitation:
    made = Imitation(tmp_path / "cgroup", tmp_path / "own")
    made.root.mkdir()
    mkdir, rmdir, write_text = Path.mkdir, Path.rmdir, Path.write_text

    def make(path: Path, *arguments: object, **options: object) -> None:
        mkdir(path, *arguments, **options)  # type: ignore[arg-type]
        if made.is_within(path) and path.name.startswith("handlerproof-"):
            for name, text in _files_of_a_new_group(path).items():
                write_text(path / name, text)

    def remove(path: Path) -> None:
        if made.is_within(path):  # the kernel does not count the files that it made
            for file in path.iterdir():
                file.unlink()
        rmdir(path)

    def write(path: Path, text: str, *arguments: object) -> int:
        if made.is_within(path):
            _refuse_as_the_kernel_does(path, text)
        return write_text(path, text, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", make)
    monkeypatch.setattr(Path, "rmdir", remove)
    monkeypatch.setattr(Path, "write_text", write)
    return made


def _files_of_a_new_group(path: Path) -> dict[str, str]:
    hierarchy = {"memory": V1_MEMORY, "pids": V1_PIDS}
    return next((hierarchy[name] for name in path.parts if name in hierarchy), V2)


def _refuse_as_the_kernel_does(path: Path, text: str) -> None:
    """A v1 limit on memory must never be above the one on memory and swap."""
    if not path.name.startswith("memory.") or not path.name.endswith("limit_in_bytes"):
        return
    names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    limits = {name: int((path.parent / name).read_text()) for name in names}
    limits[path.name] = int(text)
    if limits[names[0]] > limits[names[1]]:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))


@pytest.fixture
def v1(imitation: Imitation) -> Imitation:
    imitation.own.write_text("5:pids:/of/us\n4:cpu,memory:/of/us\n1:name=systemd:/\n0::/\n")
    for controller in ("memory", "pids"):
        (imitation.root / controller / "of" / "us").mkdir(parents=True)
    return imitation


@pytest.fixture
def v2(imitation: Imitation) -> Imitation:
    imitation.own.write_text("0::/user.slice/ours\n")
    folder = imitation.root / "user.slice" / "ours"
    folder.mkdir(parents=True)
    (folder / "cgroup.controllers").write_text("memory pids\n")
    (folder / "cgroup.subtree_control").write_text("memory pids\n")
    return imitation


def texts(folder: Path, *names: str) -> list[str]:
    return [(folder / name).read_text() for name in names]


def groups_in(folder: Path) -> list[Path]:
    return list(folder.rglob("handlerproof-*"))


# ---------------------------------------------------------------- where groups can be made


def test_v1_has_a_directory_for_each_controller(v1: Imitation) -> None:
    root = v1.root
    assert v1.find() == Place(1, root / "memory" / "of" / "us", root / "pids" / "of" / "us")
    assert groups_in(root) == [], "the group that was made to try it is gone"


def test_v1_without_a_group_of_its_own_for_pids_counts_none(v1: Imitation) -> None:
    v1.own.write_text("5:pids:/\n4:memory:/of/us\n")
    assert v1.find().pids is None


def test_v2_has_one_directory(v2: Imitation) -> None:
    assert v2.find() == Place(2, v2.root / "user.slice" / "ours", None)
    assert groups_in(v2.root) == []


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ("4:memory:/\n0::/\n", "in the root memory cgroup, below which none is made"),
        ("0::/\n", "in the root cgroup, below which none is made"),
        ("1:name=systemd:/x\n", "this system has no control groups"),
        ("4:memory:/not/there\n", "/memory/not/there: not there, or not ours to write below"),
        ("0::/not/there\n", "/not/there: not there, or not ours to write below"),
    ],
)
def test_no_group_is_made_where_it_would_escape_or_cannot_be(
    own: str, reason: str, imitation: Imitation
) -> None:
    imitation.own.write_text(own)
    with pytest.raises(Unavailable, match=reason):
        imitation.find()


def test_system_without_control_groups_is_told(imitation: Imitation) -> None:
    with pytest.raises(Unavailable, match="this system has no control groups"):
        imitation.find()


def test_v2_without_the_memory_controller_says_how_to_get_it(v2: Imitation) -> None:
    (v2.root / "user.slice" / "ours" / "cgroup.subtree_control").write_text("pids\n")
    with pytest.raises(Unavailable, match="memory controller is not given.*systemd-run --user"):
        v2.find()


def test_directory_of_another_user_is_refused(
    v2: Imitation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(Unavailable, match="not ours to write below"):
        v2.find()


def test_delegated_path_is_used_as_it_is(v1: Imitation, v2: Imitation) -> None:
    delegated = v2.root / "user.slice" / "ours"
    assert cgroups.find(delegated) == Place(2, delegated, None)
    delegated = v1.root / "memory" / "of" / "us"
    assert cgroups.find(delegated) == Place(1, delegated, None)


def test_delegated_path_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="nowhere: there is no such cgroup"):
        cgroups.find(tmp_path / "nowhere")


# ---------------------------------------------------------------- one group


@pytest.fixture
def group_v1(v1: Imitation) -> Iterator[Group]:
    group = Group(v1.find(), memory_bytes=300 * MIB, max_processes=100)
    yield group
    group.remove()


@pytest.fixture
def group_v2(v2: Imitation) -> Iterator[Group]:
    group = Group(v2.find(), memory_bytes=300 * MIB, max_processes=100)
    yield group
    group.remove()


def folder_of(group: Group, number: int = 0) -> Path:
    return Path(group.join_files()[number]).parent


def test_v1_is_entered_and_left_by_one_thread_at_a_time(group_v1: Group, v1: Imitation) -> None:
    assert [Path(path).name for path in group_v1.join_files()] == ["tasks", "tasks"]
    assert group_v1.home_files() == []  # where it may not write
    place = v1.find()
    assert place.pids is not None
    homes = [place.memory / "tasks", place.pids / "tasks"]
    for file in homes:
        file.touch()
    group = Group(v1.find(), memory_bytes=None, max_processes=1)
    assert group.home_files() == [str(file) for file in homes]
    group.remove()


def test_group_that_a_supervisor_cannot_leave_cheaply_is_not_entered_by_it(
    group_v2: Group, tmp_path: Path
) -> None:
    assert [Path(path).name for path in group_v2.join_files()] == ["cgroup.procs"]
    assert group_v2.home_files() == []
    elsewhere = Place(1, tmp_path, None)
    delegated = Group(elsewhere, memory_bytes=None, max_processes=1)
    assert delegated.home_files() == []
    delegated.remove()


def test_v1_limits_memory_with_swap_and_processes(group_v1: Group) -> None:
    limit = str(300 * MIB)
    memory = texts(folder_of(group_v1), "memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    assert memory == [limit, limit]
    assert texts(folder_of(group_v1, 1), "pids.max") == ["100"]


def test_v2_limits_memory_without_swap_and_ends_all_at_once(group_v2: Group) -> None:
    names = ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max")
    assert texts(folder_of(group_v2), *names) == [str(300 * MIB), "0", "1", "100"]


def test_without_a_limit_memory_is_counted_only(v1: Imitation, v2: Imitation) -> None:
    v1.own.write_text("4:memory:/of/us\n")
    counting = Group(v1.find(), memory_bytes=None, max_processes=100)
    assert texts(folder_of(counting), "memory.limit_in_bytes") == [NO_LIMIT]
    assert not counting.limits_memory
    counting.remove()
    v2.own.write_text("0::/user.slice/ours\n")
    counting = Group(v2.find(), memory_bytes=None, max_processes=100)
    assert texts(folder_of(counting), "memory.max", "pids.max") == ["max", "100"]
    counting.remove()


def test_v1_evidence_is_read_from_its_files(group_v1: Group) -> None:
    memory, pids = folder_of(group_v1), folder_of(group_v1, 1)
    (memory / "memory.max_usage_in_bytes").write_text("12345\n")
    (memory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    (pids / "pids.events").write_text("max 7\n")
    assert group_v1.usage() == Usage(12345, 3, 7)
    assert group_v1.oom_kills() == 3


def test_v2_evidence_is_read_from_its_files(group_v2: Group) -> None:
    folder = folder_of(group_v2)
    (folder / "memory.peak").write_text("12345\n")
    # oom counts the times that the limit was met, which a reclaim may have solved.
    (folder / "memory.events.local").write_text("oom 9\noom_kill 2\noom_group_kill 1\n")
    (folder / "pids.events").write_text("max 7\n")
    assert group_v2.usage() == Usage(12345, 2, 7)
    assert group_v2.oom_kills() == 2


def test_files_that_a_kernel_does_not_have_are_no_evidence(group_v2: Group) -> None:
    """memory.peak is there from Linux 5.19 on."""
    for name in ("memory.peak", "memory.events.local", "pids.events"):
        (folder_of(group_v2) / name).unlink()
    assert group_v2.usage() == Usage(None, 0, 0)


def test_count_of_kills_is_seen_to_grow(group_v1: Group) -> None:
    file = folder_of(group_v1) / "memory.oom_control"
    assert group_v1.oom_kills() == 0
    with file.open("w") as written:  # the same file: the descriptor is kept
        written.write("oom_kill 1\n")
    assert group_v1.oom_kills() == 1


def test_v2_kill_takes_the_whole_group(group_v2: Group) -> None:
    group_v2.kill()
    assert texts(folder_of(group_v2), "cgroup.kill") == ["1"]


def test_removed_group_leaves_no_directory_and_no_descriptor(v1: Imitation) -> None:
    place, before = v1.find(), set(os.listdir("/proc/self/fd"))
    group = Group(place, memory_bytes=300 * MIB, max_processes=100)
    group.oom_kills()
    group.remove()
    group.remove()
    assert groups_in(v1.root) == []
    assert set(os.listdir("/proc/self/fd")) == before


def test_limit_that_is_refused_leaves_nothing(
    v2: Imitation, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, before = v2.find(), set(os.listdir("/proc/self/fd"))
    write_text = Path.write_text

    def refuse(path: Path, text: str) -> int:
        if path.name == "memory.oom.group":
            raise OSError(errno.EBUSY, "Device or resource busy", str(path))
        return write_text(path, text)

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(Unavailable, match=r"memory\.oom\.group: Device or resource busy"):
        Group(place, memory_bytes=300 * MIB, max_processes=100)
    assert groups_in(v2.root) == []
    assert set(os.listdir("/proc/self/fd")) == before


# ---------------------------------------------------------------- groups of dead testers


def test_groups_of_dead_testers_are_removed_and_of_living_ones_never(v1: Imitation) -> None:
    place = v1.find()
    with subprocess.Popen(["true"]) as dead:
        pass
    assert place.pids is not None
    left = [folder / f"handlerproof-{dead.pid}-0" for folder in (place.memory, place.pids)]
    locked = place.memory / f"handlerproof-{dead.pid}-1"
    living = place.memory / f"handlerproof-{os.getppid()}-0"
    other = place.memory / "of-somebody-else"
    for folder in (*left, locked, living, other):
        folder.mkdir()
    lock = stale.lock(locked)  # a living tester in another process namespace
    v1.find()
    os.close(lock)
    assert [folder.exists() for folder in left] == [False, False]
    assert [folder.exists() for folder in (locked, living, other)] == [True, True, True]


# ---------------------------------------------------------------- a real group


@pytest.fixture
def real() -> Iterator[Group]:
    probe = layers.cgroup()
    if not probe.works:
        pytest.skip(f"cgroup: {probe.reason}")
    group = Group(cgroups.find(), memory_bytes=64 * MIB, max_processes=64)
    yield group
    folders = [Path(path).parent for path in group.join_files()]
    group.remove()
    assert [folder for folder in folders if folder.exists()] == []


def run_in(group: Group, code: str) -> int:
    """Run code of Python in a group; give how it ended."""
    waiting = f"import os, signal, sys\nsys.stdin.read()\n{code}"
    command = [sys.executable, "-I", "-S", "-c", waiting]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        for path in group.join_files():
            Path(path).write_text(str(process.pid))
    return process.returncode


def test_kernel_ends_what_takes_more_and_counts_it(real: Group) -> None:
    assert run_in(real, "held = b'x' * (256 << 20)") == -signal.SIGKILL
    usage = real.usage()
    assert usage.oom_kills == real.oom_kills() == 1
    assert usage.peak_bytes == 64 * MIB


def test_files_in_memory_are_counted(real: Group) -> None:
    code = "file = os.memfd_create('x')\nfor _ in range(256): os.write(file, b'x' * (1 << 20))"
    assert run_in(real, code) == -signal.SIGKILL
    assert real.oom_kills() == 1


def test_kill_by_another_is_not_counted(real: Group) -> None:
    assert run_in(real, "os.kill(os.getpid(), signal.SIGKILL)") == -signal.SIGKILL
    assert real.oom_kills() == 0


def test_what_stays_below_is_left_alone(real: Group) -> None:
    assert run_in(real, "held = b'x' * (32 << 20)") == 0
    usage = real.usage()
    assert usage.oom_kills == 0
    assert 32 * MIB < (usage.peak_bytes or 0) < 64 * MIB

"""Control groups: exact memory (tmpfs too), a cap on processes, a sure kill, the kernel's evidence.

Only below the cgroup that this process is in, or a path that the user delegates, and never at a
hierarchy's root: a group made there would escape the limits that the caller is under.

Files are those of cgroups(7): v2 memory.max, memory.swap.max, memory.oom.group, memory.peak,
memory.events.local, pids.max, pids.events, cgroup.kill; v1 memory.limit_in_bytes,
memory.memsw.limit_in_bytes, memory.max_usage_in_bytes, memory.oom_control, pids.max, pids.events.
"""

import contextlib
import functools
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from harness.artifacts import stale

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


class Unavailable(Exception):
    """No cgroup can be made here; the text says why."""


@dataclass(frozen=True)
class Place:
    """Where groups can be made: one directory in v2, one for each controller in v1."""

    version: int
    memory: Path
    pids: Path | None
    is_ours: bool = False  # v1: this process is in it, and may go back to it

    @property
    def members(self) -> str:
        """Name the file that a process with one thread writes to."""
        return "cgroup.procs" if self.version == 2 else "tasks"


@dataclass(frozen=True)
class Usage:
    """What the kernel counted: bytes at the most, out-of-memory kills, forks refused."""

    peak_bytes: int | None
    oom_kills: int
    forks_refused: int


class Group:
    """One worker's control group, removed by `remove` when its processes are gone."""

    def __init__(
        self,
        place: Place,
        *,
        memory_bytes: int | None,
        max_processes: int,
        inherited_bytes: int = 0,
    ) -> None:
        """Make the group and set its limits. Raises Unavailable.

        `inherited_bytes` are the memory that its first process has of a template, which the kernel
        counts in the group of that one: they are a part of the limit and of the peak.
        """
        self.limits_memory = memory_bytes is not None
        self._inherited = inherited_bytes
        if memory_bytes is not None:
            memory_bytes = max(1, memory_bytes - inherited_bytes)
        name = f"handlerproof-{os.getpid()}-{secrets.token_hex(4)}"
        self._place = place
        self._events = -1
        self._locks: list[int] = []
        self._memory = place.memory / name
        self._pids = place.pids / name if place.pids is not None else None
        try:
            for folder in self._folders():
                folder.mkdir()
                self._locks.append(stale.lock(folder))
            self._limit(memory_bytes, max_processes)
        except OSError as error:
            self.remove()
            raise Unavailable(f"{error.filename}: {error.strerror}") from None

    def join_files(self) -> list[str]:
        """List the files to which a process with one thread writes 0 to be in the group.

        To move itself alone a thread need not wait until no other process forks or ends; v2 has no
        such way, and takes some milliseconds.
        """
        return [str(folder / self._place.members) for folder in self._folders()]

    def home_files(self) -> list[str]:
        """List the files by which such a process goes back to where it was; none where it is dear.

        A process that is born in the group has taken nothing before it was in it.
        """
        if not self._place.is_ours:
            return []
        return [str(folder.parent / self._place.members) for folder in self._folders()]

    def usage(self) -> Usage:
        """Read what the kernel counted."""
        if self._place.version == 2:
            return Usage(
                self._peak("memory.peak"),
                _counter(self._memory / "memory.events.local", "oom_kill"),
                _counter(self._memory / "pids.events", "max"),
            )
        return Usage(
            self._peak("memory.max_usage_in_bytes"),
            _counter(self._memory / "memory.oom_control", "oom_kill"),
            _counter(self._pids / "pids.events", "max") if self._pids else 0,
        )

    def _peak(self, name: str) -> int | None:
        peak = _number(self._memory / name)
        return None if peak is None else peak + self._inherited

    def oom_kills(self) -> int:
        """Count the processes that the kernel ended for memory so far."""
        if self._events < 0:
            name = "memory.events.local" if self._place.version == 2 else "memory.oom_control"
            self._events = os.open(self._memory / name, os.O_RDONLY | os.O_CLOEXEC)
        text = os.pread(self._events, 4096, 0)
        # Nearly always; every call asks.
        return 0 if b"\noom_kill 0\n" in text else _counted(text.decode("ascii"), "oom_kill")

    def kill(self) -> None:
        """Kill every process of the group at once (v2, Linux 5.14)."""
        with contextlib.suppress(OSError):
            (self._memory / "cgroup.kill").write_text("1")

    def remove(self) -> None:
        """Remove the group; its processes are gone by now."""
        if self._events >= 0:
            os.close(self._events)
            self._events = -1
        for folder in self._folders():
            with contextlib.suppress(OSError):
                folder.rmdir()
        while self._locks:
            os.close(self._locks.pop())

    def _folders(self) -> list[Path]:
        return [self._memory, *([self._pids] if self._pids is not None else [])]

    def _limit(self, memory_bytes: int | None, max_processes: int) -> None:
        if self._place.version == 2:
            if memory_bytes is not None:
                _write(self._memory / "memory.max", memory_bytes)
                _write_if_there(self._memory / "memory.swap.max", 0)
                _write_if_there(self._memory / "memory.oom.group", 1)
            _write_if_there(self._memory / "pids.max", max_processes)
            return
        if memory_bytes is not None:
            # The limit with swap cannot be below the one without, so it is set second.
            _write(self._memory / "memory.limit_in_bytes", memory_bytes)
            _write_if_there(self._memory / "memory.memsw.limit_in_bytes", memory_bytes)
        if self._pids is not None:
            _write(self._pids / "pids.max", max_processes)


def find(delegated: Path | None = None, *, root: Path = ROOT, own: Path = OWN) -> Place:
    """Find where groups can be made, by making one. Raises Unavailable.

    Groups there whose tester was killed are removed: it could not do so itself. `root` is the
    mount point of the hierarchies, `own` the file that names this process's groups.
    """
    place = _delegated(delegated) if delegated is not None else _below_our_own(root, own)
    probe = Group(place, memory_bytes=64 << 20, max_processes=16)
    probe.remove()
    remove_those_of_dead_testers(place)
    return place


@functools.cache
def here() -> Place:
    """Find, once for this process, where its groups can be made. Raises Unavailable."""
    return find()


def remove_those_of_dead_testers(place: Place) -> set[int]:
    """Remove what groups they left; name the testers in whose groups a process still is."""
    busy = set()
    for parent in filter(None, (place.memory, place.pids)):
        for left in stale.found_in(parent):
            try:
                left.rmdir()
            except OSError:
                busy.add(stale.owner_of(left))
    return busy


def _delegated(path: Path) -> Place:
    if not path.is_dir():
        raise Unavailable(f"{path}: there is no such cgroup")
    if (path / "cgroup.controllers").exists():
        return _checked_v2(path)
    return Place(1, path, None)


def _below_our_own(root: Path, own: Path) -> Place:
    try:
        lines = own.read_text().splitlines()
    except OSError:
        raise Unavailable("this system has no control groups") from None
    groups = {tuple(names.split(",")): path for _, names, path in (x.split(":", 2) for x in lines)}
    v1 = {name: path for names, path in groups.items() for name in names if name}
    if "memory" in v1:
        return _v1(root, v1)
    path = groups.get(("",))
    if path is None:
        raise Unavailable("this system has no control groups")
    if path == "/":
        raise Unavailable("this process is in the root cgroup, below which none is made")
    return _checked_v2(root / path.lstrip("/"))


def _v1(root: Path, groups: dict[str, str]) -> Place:
    memory = groups["memory"]
    if memory == "/":
        raise Unavailable("this process is in the root memory cgroup, below which none is made")
    folder = root / "memory" / memory.lstrip("/")
    if not os.access(folder, os.W_OK):
        raise Unavailable(f"{folder}: not there, or not ours to write below")
    path = groups.get("pids", "/")
    pids = None if path == "/" else root / "pids" / path.lstrip("/")
    tasks = [place / "tasks" for place in (folder, pids) if place is not None]
    return Place(1, folder, pids, is_ours=all(os.access(file, os.W_OK) for file in tasks))


def _checked_v2(folder: Path) -> Place:
    """Check that the memory controller reaches our children (v2: no process beside them)."""
    if not os.access(folder, os.W_OK):
        raise Unavailable(f"{folder}: not there, or not ours to write below")
    given = _text(folder / "cgroup.subtree_control").split()
    if "memory" not in given:
        raise Unavailable(
            f"{folder}: the memory controller is not given to its children; run the tester with "
            "systemd-run --user --scope -p Delegate=yes, or delegate a cgroup without processes"
        )
    return Place(2, folder, None)


def _write(path: Path, value: int) -> None:
    path.write_text(str(value))


def _write_if_there(path: Path, value: int) -> None:
    if path.exists():
        _write(path, value)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _counter(path: Path, name: str) -> int:
    return _counted(_text(path), name)


def _counted(text: str, name: str) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return 0

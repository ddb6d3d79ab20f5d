"""The process tree below the supervisor, read from /proc (Linux): who lives, how much memory.

/proc/PID/task/TID/children and statm cost about 10 microseconds a process, a psutil walk fifty
times that; the supervisor asks a hundred times a second.
"""

from __future__ import annotations

import os

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PROC = "/proc"
HAVE_CHILDREN_FILES = os.path.exists("%s/self/task/%d/children" % (PROC, os.getpid()))


def descendants(root: int) -> list[int]:
    """List every process below root, parents before their children."""
    if not HAVE_CHILDREN_FILES:
        return _descendants_by_scan(root)
    found: list[int] = []
    pending = [root]
    while pending:
        below = children(pending.pop())
        found += below
        pending += below
    return found


def memory(pid: int) -> tuple[int, int]:
    """Give a process's resident and its anonymous memory, shared pages in full; 0 if it is gone."""
    _, resident, shared = map(int, (_read("%s/%d/statm" % (PROC, pid)) or b"0 0 0").split()[:3])
    return resident * PAGE_BYTES, (resident - shared) * PAGE_BYTES


def owned_bytes(pid: int) -> int:
    """Give the process's share of memory that is not page cache; 0 if it is gone.

    Proportional (PSS), so that pages shared by forks count once, and without file pages, which the
    kernel can drop: a large model that is mapped and read is not a reason to end anything.
    """
    text = _read("%s/%d/smaps_rollup" % (PROC, pid))
    if text is None:
        return memory(pid)[0] if os.path.exists("%s/%d" % (PROC, pid)) else 0
    sizes = {line.split(b":")[0]: line for line in text.splitlines() if line.startswith(b"Pss")}
    names = (b"Pss_Anon", b"Pss_Shmem") if b"Pss_Anon" in sizes else (b"Pss",)
    return sum(int(sizes[name].split()[1]) * 1024 for name in names if name in sizes)


def anonymous(pid: int) -> tuple[int, int]:
    """Give a process's anonymous memory, and its proportional share of it; 0 where not told."""
    text = _read("%s/%s/smaps_rollup" % (PROC, pid)) or b""
    sizes = {line.split(b":")[0]: line.split() for line in text.splitlines()[1:]}
    found = [int(sizes[name][1]) * 1024 if name in sizes else 0 for name in _ANONYMOUS]
    return found[0], found[1]


def unowned_image_bytes(tree: list[int]) -> int:
    """Give what of a template's image its forks have, and their proportional shares leave out.

    This process is a fork of the template as well, so its own share tells how many have each page;
    those of the tree that are forks too have as much of it each. A fresh worker would own it all.
    """
    image, share = anonymous(os.getpid())
    mark = _stack_start(os.getpid())
    forks = sum(_stack_start(pid) == mark for pid in tree)
    return max(0, image - share * forks) if forks else 0


def _stack_start(pid: int) -> bytes:
    """Give where a process's stack begins, which is chosen anew by each exec and kept by a fork."""
    text = _read("%s/%d/stat" % (PROC, pid)) or b""
    fields = text.rpartition(b")")[2].split()
    return fields[25] if len(fields) > 25 else b""


_ANONYMOUS = (b"Anonymous", b"Pss_Anon")


def children(pid: int) -> list[int]:
    """List the children of a process."""
    found: list[int] = []
    try:
        threads = os.listdir("%s/%d/task" % (PROC, pid))
    except OSError:
        return found
    for thread in threads:
        text = _read("%s/%d/task/%s/children" % (PROC, pid, thread))
        if text:
            found += [int(child) for child in text.split()]
    return found


def _descendants_by_scan(root: int) -> list[int]:
    """List the tree from the parent of every process, for a kernel without the children files."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir(PROC) if os.path.isdir(PROC) else []:
        text = _read("%s/%s/stat" % (PROC, name)) if name.isdigit() else None
        if text:
            parent = int(text.rpartition(b")")[2].split()[1])
            parents.setdefault(parent, []).append(int(name))
    found: list[int] = []
    pending = [root]
    while pending:
        children = parents.get(pending.pop(), [])
        found += children
        pending += children
    return found


def _read(path: str) -> bytes | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        parts: list[bytes] = []
        while True:
            part = os.read(file, 65536)
            if not part:
                return b"".join(parts)
            parts.append(part)
    except OSError:
        return None
    finally:
        os.close(file)

"""What a handler asks to be installed: requirements files read as far as we need, and no further.

pip and uv judge the lines. Here they are only followed, so that two texts with the same outcome
have one digest, and names are known without anything being installed.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.environments.archives import tree_digest
from harness.errors import HandlerEnvironmentError

MAX_BYTES = 1 << 20
_INCLUDE = re.compile(
    r"(?:-(?P<short>[rcf])\s*|--(?P<long>requirement|constraint|find-links)[ =]\s*)(?P<path>.+)"
)
_NAME = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[|[<>=!~;@(]|$|\s)")
_EGG = re.compile(r"#egg=([A-Za-z0-9._-]+)")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_COMMENT = re.compile(r"(^|\s+)#.*$")


@dataclass(frozen=True)
class Requirements:
    """What is to be installed: a file, further lines, or both.

    `names` are the distributions listed, in their normal spelling; `digest` stands for everything
    that the outcome depends on, included files and local archives with their content.
    """

    shown: str
    file: Path | None
    lines: tuple[str, ...]
    names: frozenset[str]
    digest: str

    @property
    def empty(self) -> bool:
        """Whether there is nothing to install."""
        return self.file is None and not self.lines


@dataclass
class _Reading:
    hash: hashlib._Hash = field(default_factory=hashlib.sha256)
    names: set[str] = field(default_factory=set)
    seen: set[Path] = field(default_factory=set)

    def take(self, kind: str, text: str) -> None:
        self.hash.update(f"{kind}\0{text}\0".encode(errors="surrogateescape"))


def normal(name: str) -> str:
    """Spell a distribution's name as the index does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def of_package(code_dir: Path, base: Iterable[str]) -> Requirements:
    """Read code/requirements.txt, and add what the container has (base_sets.py).

    The server installs that one file (sagemaker-inference, model_server.py); none is no fault.
    """
    file = code_dir / "requirements.txt"
    asked = of_file(file) if file.is_file() else of_lines(())
    more = of_lines(line for line in base if normal(line) not in asked.names)
    return Requirements(
        shown="code/requirements.txt" if file.is_file() else "no code/requirements.txt",
        file=asked.file,
        lines=more.lines,
        names=asked.names | more.names,
        digest=f"{asked.digest}+{more.digest}" if more.lines else asked.digest,
    )


def of_file(path: Path) -> Requirements:
    """Read a requirements file. Raises HandlerEnvironmentError when it cannot be read."""
    path = Path(os.path.abspath(path))
    reading = _Reading()
    _read_file(path, reading, listed=True)
    return Requirements(str(path), path, (), frozenset(reading.names), reading.hash.hexdigest())


def of_lines(lines: Iterable[str]) -> Requirements:
    """Take requirements one by one."""
    given = tuple(lines)
    reading = _Reading()
    for line in given:
        _read_line(line.strip(), Path.cwd(), reading, listed=True)
    return Requirements("the spec", None, given, frozenset(reading.names), reading.hash.hexdigest())


def _read_file(path: Path, reading: _Reading, *, listed: bool) -> None:
    if path in reading.seen:
        return
    reading.seen.add(path)
    for line in _logical(_text(path)):
        _read_line(line, path.parent, reading, listed=listed)


def _text(path: Path) -> str:
    """Read a file that a package may have named: a device or a fifo is not opened."""
    why = None
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            why = "it is no regular file"
        else:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            if len(data) <= MAX_BYTES:
                return data.decode("utf-8-sig", "surrogateescape")
            why = f"it has more than {MAX_BYTES} bytes"
    except OSError as error:
        why = error.strerror
    raise HandlerEnvironmentError(f"environment: the requirements {path} cannot be read: {why}")


def _logical(text: str) -> Iterator[str]:
    for line in re.sub(r"\\\r?\n", "", text).splitlines():
        bare = _COMMENT.sub("", line).strip()
        if bare:
            yield bare


def _read_line(line: str, folder: Path, reading: _Reading, *, listed: bool) -> None:
    line = _VARIABLE.sub(lambda match: os.environ.get(match[1], match[0]), line)
    include = _INCLUDE.fullmatch(line)
    if include is None:
        reading.take("line", line)
        _read_local(line, folder, reading)
        if listed and (name := _name(line)):
            reading.names.add(normal(name))
        return
    kind, path = (include["short"] or include["long"][0]), include["path"].strip()
    reading.take("option", kind)
    if "://" in path:
        reading.take("address", path)
    elif kind == "f":
        reading.take("links", tree_digest(folder / path, contents=False))
    else:
        _read_file(Path(os.path.normpath(folder / path)), reading, listed=listed and kind == "r")


def _name(line: str) -> str | None:
    if egg := _EGG.search(line):
        return egg[1]
    file = line.split(";")[0].split(" --")[0].strip()
    if file.endswith(".whl"):
        return os.path.basename(file).split("-")[0]
    if line.startswith("-") or re.match(r"[./]|[A-Za-z0-9._-]*/", line):
        return None
    match = _NAME.match(line)
    return match[1] if match else None


def _read_local(line: str, folder: Path, reading: _Reading) -> None:
    """Take the content of a local archive or project into the digest."""
    path = re.sub(r"^(-e|--editable)[ =]", "", line).split(";")[0].split(" --")[0]
    path = path.partition("file://")[2] or path.split(" @ ")[-1]
    path = re.sub(r"\[[^\]]*\]$", "", path.strip())
    if "://" not in path and (
        "/" in path or path.startswith(".") or path.endswith((".whl", ".gz", ".zip"))
    ):
        reading.take("local", tree_digest(folder / path, contents=True))

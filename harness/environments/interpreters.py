"""Pythons: those of this machine, found by version, and the one that runs a handler."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.environments import places
from harness.errors import HandlerEnvironmentError
from harness.spec_environment import is_version
from harness.summaries import EnvironmentSummary

ASK_TIMEOUT_S = 20.0
OLDEST = (3, 8)
_ASK = """\
import json, platform, sys, sysconfig
print(json.dumps({"version": platform.python_version(), "implementation": sys.implementation.name,
                  "platform": sysconfig.get_platform()}))
"""
_NAME = re.compile(r"python3\.\d+")


@dataclass(frozen=True)
class Python:
    """An interpreter that said what it is."""

    executable: str
    version: str
    implementation: str
    platform: str


@dataclass(frozen=True)
class Interpreter:
    """The Python that runs a handler; `private` is a copy that only this handler has.

    `site_packages` are the directories of its packages, where they are known.
    """

    kind: str
    executable: str
    site_packages: tuple[str, ...] = ()
    private: str | None = None
    key: str | None = None

    def summary(self, version: str, *, warm: bool, reason: str) -> EnvironmentSummary:
        """Describe it for a result: the version that really answered, and how it was started."""
        return EnvironmentSummary(
            kind=self.kind,
            python_version=version,
            executable=self.executable,
            key=self.key,
            start="warm" if warm else "fresh",
            start_reason=reason,
        )


def find(asked: str | None) -> Python:
    """Find an interpreter by path or version; None is the tester's own.

    A version is looked for on PATH, under pyenv and among those that uv installed, 3.10 being the
    newest 3.10. Raises HandlerEnvironmentError.
    """
    if asked is None:
        return _own()
    if not is_version(asked):
        return identify(os.path.realpath(program(asked)))
    if _numbers(asked) < OLDEST:
        raise HandlerEnvironmentError(f"environment: Python {asked}; the worker needs 3.8 or newer")
    for path in _candidates(".".join(asked.split(".")[:2])):
        found = _identity(os.path.realpath(path))
        if found is not None and _numbers(found.version)[: asked.count(".") + 1] == _numbers(asked):
            return found
    raise HandlerEnvironmentError(
        f"environment: there is no Python {asked} on PATH, under pyenv or of uv "
        f"({_those_found()}); "
        f"install it (uv python install {asked}, pyenv install {asked}), or give a path"
    )


def program(asked: str) -> str:
    """Give the absolute path of an interpreter. Raises HandlerEnvironmentError."""
    path = Path(asked).expanduser()
    if not path.is_file():
        raise HandlerEnvironmentError(
            f"environment: there is no interpreter {str(path)!r}; give the path of a Python 3.8 or "
            f"newer, for example a virtual environment's bin/python"
        )
    if not os.access(path, os.X_OK):
        raise HandlerEnvironmentError(
            f"environment: {str(path)!r} cannot be executed; give the path of a Python interpreter"
        )
    return os.path.abspath(path)


def identify(path: str) -> Python:
    """Let an interpreter say what it is; remembered for as long as its file does not change.

    Raises HandlerEnvironmentError when it is none, or too old.
    """
    stamp = _stamp(path)
    known = _remembered().get(path)
    if isinstance(known, dict) and known.get("stamp") == stamp:
        return Python(path, *(str(known[name]) for name in ("version", *_MORE)))
    said = _ask(path)
    if _numbers(said["version"]) < OLDEST:
        raise HandlerEnvironmentError(
            f"environment: {path} is Python {said['version']}; the worker needs 3.8 or newer"
        )
    found = Python(path, said["version"], *(said[name] for name in _MORE))
    _remember(path, {"stamp": stamp, **asdict(found)})
    return found


_MORE = ("implementation", "platform")


def _own() -> Python:
    return Python(
        os.path.realpath(sys.executable),
        platform.python_version(),
        sys.implementation.name,
        sysconfig.get_platform(),
    )


def _identity(path: str) -> Python | None:
    try:
        return identify(path)
    except HandlerEnvironmentError:
        return None


def _ask(path: str) -> dict[str, str]:
    try:
        done = subprocess.run(
            [path, "-I", "-S", "-c", _ASK],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ASK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HandlerEnvironmentError(f"environment: {path} cannot be run: {error}") from None
    try:
        said = json.loads(done.stdout)
        return {name: str(said[name]) for name in ("version", *_MORE)}
    except (ValueError, TypeError, KeyError):
        words = (done.stdout + done.stderr).decode("utf-8", "replace").strip()[-500:]
        raise HandlerEnvironmentError(
            f"environment: {path} is not a Python 3.8 or newer: it ended with {done.returncode}"
            + (f" and said: {words}" if words else " and said nothing")
        ) from None


def _candidates(minor: str) -> Iterator[str]:
    """Give the places where a Python of this minor version may lie; not all of them exist."""
    name = f"python{minor}"
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    paths = [os.path.join(folder, name) for folder in folders if os.path.isabs(folder)]
    # A version manager's shim answers for whatever version is active where it is called.
    paths = [path for path in paths if os.path.basename(os.path.dirname(path)) != "shims"]
    for root in _managed():
        found = [path for path in root.glob(f"*{minor}*/bin/{name}") if os.access(path, os.X_OK)]
        paths += map(str, sorted(found, key=lambda path: _digits(path.parts[-3]), reverse=True))
    yield from (path for path in paths if os.path.isfile(path))


def _managed() -> list[Path]:
    """List where pyenv and uv keep their Pythons."""
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return [
        Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"), "versions"),
        Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or os.path.join(data, "uv", "python")),
    ]


def _those_found() -> str:
    names = {
        entry.name
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)
        for entry in (Path(folder).glob("python3.*") if os.path.isabs(folder) else ())
        if _NAME.fullmatch(entry.name) and entry.parent.name != "shims"
    }
    names |= {path.name for root in _managed() for path in root.glob("*/bin/python3.*")}
    versions = {name.removeprefix("python") for name in names if _NAME.fullmatch(name)}
    return "found: " + (", ".join(sorted(versions, key=_digits)) or "none")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(_digits(version)[:3])


def _digits(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def _stamp(path: str) -> list[int]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise HandlerEnvironmentError(f"environment: {path}: {error.strerror}") from None
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _remembered() -> dict[str, object]:
    try:
        known = json.loads((places.root() / "interpreters.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(path: str, identity: dict[str, object]) -> None:
    with places.errors():
        places.write(
            places.root() / "interpreters.json",
            json.dumps({**_remembered(), path: identity}).encode(),
        )

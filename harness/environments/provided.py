"""From a spec's environment to the interpreter of the handler, held for as long as it runs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from harness.artifacts import workspace
from harness.environments import builder, interpreters, places, requirements, user_config
from harness.environments.builder import Builder
from harness.environments.cache import Cache
from harness.environments.interpreters import Interpreter, Python
from harness.environments.requirements import Requirements
from harness.environments.tool import Note, Run
from harness.errors import HandlerEnvironmentError
from harness.spec_environment import (
    Environment,
    PythonEnvironment,
    RequirementsEnvironment,
    VenvEnvironment,
    is_version,
)

PIP_TIMEOUT_S = 120.0
LAYOUT = 1  # goes up when environments of older versions must not be used any more


@dataclass(frozen=True)
class Plan:
    """What is to be built, and with what."""

    asked: Requirements
    python: Python
    tool: Builder
    environment: RequirementsEnvironment

    @cached_property
    def key(self) -> str:
        """Stand for all that decides the outcome (docs/decisions/0130-environment-cache.md)."""
        parts = [
            *(LAYOUT, self.tool.kind, self.python.version, self.python.implementation),
            *(self.python.platform, self.python.executable, self.asked.digest),
            user_config.digest(),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def about(self) -> dict[str, object]:
        """Describe it for the record of the environment."""
        return {
            "python": self.python.version,
            "builder": self.tool.kind,
            "requirements": sorted(self.asked.names),
        }


@contextmanager
def provided(
    asked: Environment,
    code_dir: Path,
    base: Sequence[str],
    folder: Path,
    *,
    exposed: bool,
    note: Note,
) -> Iterator[Interpreter]:
    """Give the interpreter of an environment, built when it is not kept already.

    `code_dir` and `base` are what `"auto"` takes requirements from; `folder` is the run directory,
    for a private copy; `exposed` says that nothing keeps the handler from writing to other places;
    `note` is told what goes on. Raises HandlerEnvironmentError.
    """
    if asked == "inherit":
        yield Interpreter("inherit", sys.executable, tuple(filter(os.path.isdir, sys.path)))
    elif isinstance(asked, PythonEnvironment):
        yield Interpreter("python", _executable(asked.python))
    elif isinstance(asked, VenvEnvironment):
        found = _of_tree("venv", Path(os.path.abspath(Path(asked.venv).expanduser())))
        yield _private(found, folder, note) if asked.allow_install else found
    else:
        chosen = plan(asked, code_dir, base)
        with kept(chosen, exposed=exposed, note=note) as tree:
            found = replace(_of_tree("requirements", tree), key=chosen.key)
            yield _private(found, folder, note) if asked.allow_install else found


def plan(asked: RequirementsEnvironment, code_dir: Path, base: Sequence[str]) -> Plan:
    """Decide what is to be built. Raises HandlerEnvironmentError."""
    return Plan(
        wanted(asked, code_dir, base), interpreters.find(asked.python), builder.choose(), asked
    )


def wanted(asked: RequirementsEnvironment, code_dir: Path, base: Sequence[str]) -> Requirements:
    """Read the requirements that are named. Raises HandlerEnvironmentError."""
    if asked.requirements == "auto":
        return requirements.of_package(code_dir, base)
    if isinstance(asked.requirements, str):
        return requirements.of_file(Path(asked.requirements).expanduser())
    return requirements.of_lines(asked.requirements)


@contextmanager
def kept(chosen: Plan, *, exposed: bool, note: Note) -> Iterator[Path]:
    """Lease the environment of a plan, built when there is none. Raises HandlerEnvironmentError."""
    build = partial(_build, chosen, note)
    with Cache().leased(chosen.key, build, chosen.about, exposed=exposed) as tree:
        yield tree


def lock(chosen: Plan, folder: Path, note: Note) -> str:
    """Give exact versions with hashes for a plan's requirements, by work in an empty directory.

    Raises HandlerEnvironmentError.
    """
    with places.errors(), _run(chosen, folder, note) as run:
        offline = chosen.environment.offline
        return chosen.tool.lock(run, chosen.python, chosen.asked, folder, offline)


def _build(chosen: Plan, note: Note, tree: Path) -> None:
    note(
        f"building an environment of {chosen.asked.shown} for Python {chosen.python.version} "
        f"with {chosen.tool.kind}"
    )
    offline = chosen.environment.offline
    try:
        with _run(chosen, tree, note) as run:
            chosen.tool.build(run, chosen.python, chosen.asked, tree, offline)
    except HandlerEnvironmentError as error:
        if not offline:
            raise
        raise HandlerEnvironmentError(
            f"{error}\noffline: only what is on this machine may be used; build once with a "
            "network, or name a directory of wheels in PIP_FIND_LINKS"
        ) from None
    note("the environment is built")


@contextmanager
def _run(chosen: Plan, tree: Path, note: Note) -> Iterator[Run]:
    file = chosen.asked.file
    temporary = tree.with_name(f"{tree.name}.tmp")
    temporary.mkdir()
    try:
        yield Run(
            file.parent if file is not None else temporary,
            [tree],
            temporary,
            chosen.environment.build_timeout_seconds,
            note,
        )
    finally:
        workspace.remove(temporary)


def _executable(asked: str) -> str:
    if is_version(asked):
        return interpreters.find(asked).executable
    return interpreters.program(asked)


def _of_tree(kind: str, tree: Path) -> Interpreter:
    if not (tree / "bin" / "python").is_file():
        raise HandlerEnvironmentError(
            f"environment: there is no virtual environment at {tree}; make one with "
            "python -m venv, or correct the path"
        )
    sites = tuple(map(str, sorted(tree.glob("lib/python*/site-packages"))))
    return Interpreter(kind, str(tree / "bin" / "python"), sites)


def _private(found: Interpreter, folder: Path, note: Note) -> Interpreter:
    """Copy an environment into the run directory, writable, and with pip in it."""
    tree = Path(found.executable).parent.parent
    copy = folder / "environment"
    with places.errors():
        shutil.copytree(tree, copy, symlinks=True)
        for place, _, names in os.walk(copy):
            for path in (place, *(os.path.join(place, name) for name in names)):
                if not os.path.islink(path):
                    os.chmod(path, os.stat(path).st_mode | 0o200)
    private = _of_tree(found.kind, copy)
    if not any(Path(site, "pip").is_dir() for site in private.site_packages):
        _add_pip(private, copy, note)
    return replace(private, private=str(copy), key=found.key)


def _add_pip(private: Interpreter, copy: Path, note: Note) -> None:
    """Install the pip that came with the Python, as the containers have one."""
    temporary = copy.with_name("environment.tmp")
    temporary.mkdir()
    run = Run(temporary, [copy], temporary, PIP_TIMEOUT_S, note)
    run(private.executable, "-I", "-m", "ensurepip", "--default-pip")

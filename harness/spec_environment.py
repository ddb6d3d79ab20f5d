"""Where a handler's interpreter and packages come from, as the user asks for it.

specs.py puts it into the spec; environments/ makes it real.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from harness.spec_fields import PathText, Seconds, Switch, Text
from harness.spec_model import SpecModel

_VERSION: Final = re.compile(r"\d+\.\d+(\.\d+)?")
_ALLOW_INSTALL: Final = (
    "Whether the handler gets a private copy, thrown away after the run, to install packages into"
)
_KINDS: Final = '"inherit", {"python": ...}, {"venv": ...} or {"requirements": ...}'


def is_version(text: str) -> bool:
    """Tell a version, such as 3.10 or 3.10.13, from a path."""
    return _VERSION.fullmatch(text) is not None


class PythonEnvironment(SpecModel):
    """Run the handler on an interpreter, with the packages installed for it."""

    python: PathText = Field(
        description="Path of the interpreter, or a version to look for, such as 3.10 "
        "(Python 3.8 or newer)"
    )


class VenvEnvironment(SpecModel):
    """Run the handler in a virtual environment that is there."""

    venv: PathText = Field(description="Path of the virtual environment's directory")
    allow_install: Switch = Field(default=False, description=_ALLOW_INSTALL)


class RequirementsEnvironment(SpecModel):
    """Run the handler in an environment built of requirements, kept and shared by all that ask."""

    requirements: PathText | tuple[Text, ...] = Field(
        description="auto: the package's code/requirements.txt, and what the container of a named "
        "stack has; else the path of a requirements file, or a list of requirements"
    )
    python: PathText | None = Field(
        default=None, description="Path or version of the interpreter; None: the tester's own"
    )
    offline: Switch = Field(
        default=False, description="Whether building may use only what is on this machine"
    )
    allow_install: Switch = Field(default=False, description=_ALLOW_INSTALL)
    build_timeout_seconds: Seconds = Field(
        default=1800, description="Seconds that building may take"
    )


_FORMS: Final[dict[str, type[SpecModel]]] = {
    "python": PythonEnvironment,
    "venv": VenvEnvironment,
    "requirements": RequirementsEnvironment,
}


def _environment(value: object) -> object:
    if value == "inherit" or isinstance(value, tuple(_FORMS.values())):
        return value
    if isinstance(value, dict):
        for name in ("requirements", "venv", "python"):  # python goes with requirements too
            if name in value:
                return _FORMS[name](**value)
    raise ValueError(f"must be {_KINDS}")


Environment = Annotated[
    Literal["inherit"] | PythonEnvironment | VenvEnvironment | RequirementsEnvironment,
    BeforeValidator(_environment),
]


def missing_files(environment: Environment) -> Iterator[str]:
    """Name what the environment asks for and is not there."""
    if isinstance(environment, VenvEnvironment):
        program = Path(environment.venv, "bin", "python")
        if not program.is_file():
            yield f"environment: there is no virtual environment at {environment.venv}"
        return
    if isinstance(environment, RequirementsEnvironment):
        asked = environment.requirements
        if isinstance(asked, str) and asked != "auto" and not Path(asked).is_file():
            yield f"environment: there is no file at {asked}"
    python = None if environment == "inherit" else environment.python
    if python is not None and not is_version(python) and not _is_program(Path(python)):
        yield f"environment: there is no program at {python}"


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)

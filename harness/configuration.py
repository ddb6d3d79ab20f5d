"""Settings from every place that has them, merged field by field, each with where it came from.

Weakest first: defaults, `[tool.handlerproof]` of a pyproject.toml, the handler's own file,
variables of the environment (HANDLERPROOF_*), the command line.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from harness import spec_files
from harness.errors import SpecError
from harness.spec_files import HANDLER_SUFFIX
from harness.spec_model import unknown_name
from harness.specs import InferenceHandlerSpec, parse_memory

DEFAULT: Final = "default"
COMMAND_LINE: Final = "command line"
PREFIX: Final = "HANDLERPROOF_"
# Variables of ours that are no settings: where environments are kept, and two of our own tests.
NOT_SETTINGS: Final = ("CACHE", "LONG", "GOLDEN")

# Settings of the batch itself, with what each must be.
BATCH: Final[Mapping[str, type]] = {
    "jobs": int,
    "fail_fast": bool,
    "max_failures": int,
    "retry_crashed": int,
    "runs": int,
    "state": str,
}
BUDGETS: Final = ("max_model_loading_time", "max_prediction_time", "max_memory_usage_mb")
# What names one handler has no place in a project's file.
OF_ONE_HANDLER: Final = (
    "handler_name",
    "step_name",
    "packaged_model_path",
    "handler_path",
    "model_dir",
    "payload_samples_path",
    "test_data_samples",
    "model_paths",
    "code_paths",
    "data_paths",
)
# Tables whose entries are merged one by one.
TABLES: Final = ("limits", "environ_vars", "budgets", "batch")

Setting = tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """Values by dotted name, such as ("limits", "memory_limit_mb"), each with its source."""

    values: Mapping[Setting, Any] = field(default_factory=dict)
    sources: Mapping[Setting, str] = field(default_factory=dict)

    def under(self, stronger: Settings) -> Settings:
        """Merge with settings that win over these."""
        return Settings({**self.values, **stronger.values}, {**self.sources, **stronger.sources})

    def table(self, name: str) -> dict[str, Any]:
        """Give the entries of one table."""
        return {path[1]: value for path, value in self.values.items() if path[0] == name}

    def fields(self) -> dict[str, Any]:
        """Give the fields of a spec; those of the batch and the budgets are left out."""
        fields: dict[str, Any] = {}
        for path, value in self.values.items():
            if path[0] in ("batch", "budgets"):
                continue
            if len(path) == 1:
                fields[path[0]] = value
            else:
                fields.setdefault(path[0], {})[path[1]] = value
        return fields

    def shown(self) -> Iterator[tuple[str, str, str]]:
        """Go through all settings by name: name, value as JSON, source. Variables are not told."""
        for path in sorted(self.values):
            value = self.values[path]
            told = "(not shown)" if path[0] == "environ_vars" else json.dumps(value, default=str)
            yield ".".join(path), told, self.sources[path]


def settings_of(fields: Mapping[str, Any], source: str) -> Settings:
    """Take fields as a file or a command line gives them. Raises SpecError for a bad table."""
    values: dict[Setting, Any] = {}
    for name, value in fields.items():
        if name in TABLES:
            if not isinstance(value, Mapping):
                raise SpecError(f"{source}: {name} must be a table of names and values")
            values |= {(name, str(key)): entry for key, entry in value.items()}
        else:
            values[(name,)] = value
    _know(values, source)
    return Settings(values, dict.fromkeys(values, source))


def project(start: Path) -> Settings:
    """Read `[tool.handlerproof]` of the pyproject.toml nearest above. Raises SpecError."""
    file = project_file(start)
    if file is None:
        return Settings()
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError) as error:
        raise SpecError(f"{file} cannot be read: {error}") from None
    given = table.get("handlerproof", {}) if isinstance(table, dict) else {}
    if not isinstance(given, dict):
        raise SpecError(f"{file}: tool.handlerproof must be a table")
    for name in OF_ONE_HANDLER:
        if name in given:
            raise SpecError(
                f"{file}: tool.handlerproof.{name} is of one handler; put it into its "
                f"*{HANDLER_SUFFIX} file"
            )
    return settings_of(given, str(file))


def project_file(start: Path) -> Path | None:
    """Find the pyproject.toml in a directory or the nearest one above that has one."""
    folders = [start.resolve(), *start.resolve().parents]
    return next((f / "pyproject.toml" for f in folders if (f / "pyproject.toml").is_file()), None)


def environment(variables: Mapping[str, str]) -> Settings:
    """Read the variables that are settings. Raises SpecError for a value that cannot be read."""
    values: dict[Setting, Any] = {}
    sources: dict[Setting, str] = {}
    for name, (paths, read) in VARIABLES.items():
        text = variables.get(PREFIX + name)
        if text is None:
            continue
        try:
            values |= dict.fromkeys(paths, read(text))
        except ValueError as error:
            raise SpecError(f"{PREFIX}{name}={text}: {error}") from None
        sources |= dict.fromkeys(paths, PREFIX + name)
    return Settings(values, sources)


def ignored(variables: Mapping[str, str]) -> Iterator[str]:
    """Say of each variable of our prefix that it is no setting, and which was probably meant.

    No error: the prefix may be used by others.
    """
    for name in sorted(variables):
        rest = name.removeprefix(PREFIX)
        if rest != name and rest not in VARIABLES and rest not in NOT_SETTINGS:
            close = difflib.get_close_matches(rest, VARIABLES, n=1)
            known = ", ".join(VARIABLES)
            hint = f"did you mean {PREFIX}{close[0]}?" if close else f"{PREFIX} goes with {known}"
            yield f"{name} is no setting, and is ignored; {hint}"


def handler_file(path: Path) -> Settings:
    """Read a handler's own file; its name without the suffix is the handler's, unless it says so.

    Raises SpecError.
    """
    fields = resolved(spec_files.read(path), path.parent)
    if path.name.endswith(HANDLER_SUFFIX):
        fields.setdefault("handler_name", path.name.removesuffix(HANDLER_SUFFIX))
    if "batch" in fields:
        raise SpecError(f"{path}: batch is of all handlers; put it into [tool.handlerproof.batch]")
    return settings_of(fields, str(path))


def resolved(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Put the folder of a file before the relative paths of a handler in it."""
    return spec_files.resolved(fields, spec_files.HANDLER_PATHS, folder)


def defaults() -> Settings:
    """Give what holds where nothing else is said."""
    values: dict[Setting, Any] = {
        (name,): info.get_default(call_default_factory=False)
        for name, info in InferenceHandlerSpec.model_fields.items()
        if name not in OF_ONE_HANDLER and name not in TABLES
    }
    return Settings(values, dict.fromkeys(values, DEFAULT))


def _number(text: str) -> float:
    return float(text)


def _switch(text: str) -> bool:
    if text.lower() not in ("1", "0", "true", "false", "yes", "no"):
        raise ValueError("write true or false")
    return text.lower() in ("1", "true", "yes")


def _network(text: str) -> bool | str:
    known: dict[str, bool | str] = {"none": False, "loopback": "loopback", "all": True}
    if text not in known:
        raise ValueError("write none, loopback or all")
    return known[text]


VARIABLES: Final[Mapping[str, tuple[tuple[Setting, ...], Callable[[str], Any]]]] = {
    "TIMEOUT": ((("timeout_seconds",), ("limits", "timeout_seconds")), _number),
    "MEMORY": ((("limits", "memory_limit_mb"),), parse_memory),
    "ISOLATION": ((("isolation",),), str),
    "NETWORK": ((("network",),), _network),
    "JOBS": ((("batch", "jobs"),), int),
    "FAIL_FAST": ((("batch", "fail_fast"),), _switch),
    "MAX_FAILURES": ((("batch", "max_failures"),), int),
    "RETRY_CRASHED": ((("batch", "retry_crashed"),), int),
    "STATE": ((("batch", "state"),), str),
}


def _know(values: Mapping[Setting, Any], source: str) -> None:
    """Refuse names that there are not, and settings of the batch that are not what they must be.

    Values of the spec and the budgets are judged by their own models.
    """
    known = {"batch": list(BATCH), "budgets": list(BUDGETS)}
    for path, value in values.items():
        names = known.get(path[0]) if len(path) == 2 else None
        if len(path) == 1 and path[0] not in _top():
            raise SpecError(f"{source}: {unknown_name(path[0], _top())}")
        if names is not None and path[1] not in names:
            raise SpecError(f"{source}: {path[0]}: {unknown_name(path[1], names)}")
        if path[0] == "batch" and type(value) is not BATCH[path[1]]:
            raise SpecError(
                f"{source}: batch.{path[1]} must be {BATCH[path[1]].__name__}, got {value!r}"
            )


def _top() -> list[str]:
    return [*InferenceHandlerSpec.model_fields, "budgets", "batch"]

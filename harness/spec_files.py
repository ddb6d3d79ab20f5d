"""Specs written by hand: a file of TOML, YAML or JSON as a table of fields."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from harness.errors import SpecError

HANDLER_SUFFIX: Final = ".handler.toml"
HANDLER_PATHS: Final = ("packaged_model_path", "handler_path", "model_dir", "payload_samples_path")


def read(path: Path) -> dict[str, Any]:
    """Read the fields of a spec; the suffix says in which language, none means JSON.

    Raises: SpecError for a file that is not one, and for YAML when its extra is not installed.
    """
    kind, parse = _LANGUAGES.get(path.suffix.lower(), ("JSON", json.loads))
    try:
        fields = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"cannot read the spec {path}: {error.strerror}") from None
    except ImportError:
        raise SpecError(
            f"the spec {path} is YAML, and PyYAML is not installed; "
            "install handlerproof[yaml], or write TOML"
        ) from None
    except (ValueError, RecursionError) as error:
        raise SpecError(f"the spec {path} is not {kind}: {error}") from None
    if not isinstance(fields, dict):
        raise SpecError(f"the spec {path} must be a table of fields")
    return fields


def resolved(fields: dict[str, Any], names: Iterable[str], folder: Path) -> dict[str, Any]:
    """Put a folder before the relative paths under some names; tables of paths are gone through."""
    moved = dict(fields)
    for name in names:
        value = fields.get(name)
        if isinstance(value, str):
            moved[name] = str(folder / value)
        elif isinstance(value, dict):
            moved[name] = resolved(value, value, folder)
    return moved


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from None


_LANGUAGES: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    ".toml": ("TOML", tomllib.loads),
    ".yaml": ("YAML", _yaml),
    ".yml": ("YAML", _yaml),
}

"""A spec written by hand: one JSON or TOML file, its paths relative to where it lies."""

import json
import tomllib
from pathlib import Path
from typing import Any

from harness.errors import SpecError

PATHS = ("packaged_model_path", "handler_path", "model_dir", "payload_samples_path")


def read(path: Path) -> dict[str, Any]:
    """Read the fields of a spec. Raises SpecError for a file that is not one."""
    try:
        text = path.read_text(encoding="utf-8")
        fields = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise SpecError(f"cannot read the spec {path}: {error.strerror}") from None
    except ValueError as error:
        kind = "TOML" if path.suffix == ".toml" else "JSON"
        raise SpecError(f"the spec {path} is not {kind}: {error}") from None
    if not isinstance(fields, dict):
        raise SpecError(f"the spec {path} must be a table of fields")
    for name in PATHS:
        if isinstance(fields.get(name), str):
            fields[name] = str(path.parent / fields[name])
    return fields

"""What a package itself says of the columns of its input, without running any of its code.

In this order: feature_columns.txt, hyperparameters.json, the signature in MLmodel. A sample tells
them too.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.artifacts.package import Package
from harness.generation import columns
from harness.generation.columns import Column, Columns
from harness.specs import InferenceTestSample

_NUMBERED = re.compile(r"\d+\s*[,;\t]\s*(.+)")  # "0,age": how some training jobs write them
_NAME_KEYS = ("feature_columns", "feature_names", "features", "columns", "input_columns")
_WIDTH_KEYS = ("num_features", "n_features", "feature_count", "feature_dim", "input_dim")
_MAX_BYTES = 1 << 20
_MAX_COLUMNS = 10_000
_MLFLOW_KINDS = {"string": "text", "integer": "integer", "long": "integer"}


def of_package(package: Package) -> Columns | None:
    """Tell the columns that the package names; None where it names none."""
    for read in (_feature_columns, _hyperparameters, _mlmodel):
        for folder in dict.fromkeys((package.model_dir, package.code_dir)):
            found = read(folder)
            if found is not None:
                return found
    return None


def of_sample(sample: InferenceTestSample) -> Columns | None:
    """Tell the columns of a sample of CSV, or of JSON records or rows; None of any other."""
    body = sample.request_body
    text = body if isinstance(body, str) else body.decode("utf-8", "replace")
    kind = (sample.content_type or "").partition(";")[0].strip().lower()
    source = f"the sample {sample.sample_name!r}"
    if kind == "text/csv":
        return _of_csv(text, source)
    return _of_json(text, source) if kind == "application/json" else None


def _of_csv(text: str, source: str) -> Columns | None:
    rows = [row for row in csv.reader(io.StringIO(text.lstrip("\ufeff"))) if row]
    if not rows:
        return None
    has_header = (
        len(rows) > 1 and not any(map(_is_number, rows[0])) and any(map(_is_number, rows[1]))
    )
    header = rows[0] if has_header else None
    return columns.from_rows(rows[1:] if has_header else rows, header, source)


def _of_json(text: str, source: str) -> Columns | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    records = [value] if isinstance(value, dict) else value
    if not isinstance(records, list) or not records:
        return None
    if all(isinstance(item, dict) and item for item in records):
        return columns.from_records(records, source)
    rows = records if isinstance(records[0], list) else [records]
    if not all(isinstance(row, list) and row for row in rows):
        return None
    return columns.from_rows([[str(cell) for cell in row] for row in rows], None, source)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _feature_columns(folder: Path) -> Columns | None:
    text = _read(folder / "feature_columns.txt")
    if text is None:
        return None
    lines = [line.strip() for line in text.splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    numbered = [match[1].strip() for match in map(_NUMBERED.fullmatch, names) if match]
    return _named(numbered if len(numbered) == len(names) else names, "feature_columns.txt")


def _hyperparameters(folder: Path) -> Columns | None:
    values = _json(_read(folder / "hyperparameters.json"))
    if not isinstance(values, dict):
        return None
    for key in _NAME_KEYS:
        names = _unquoted(values.get(key))
        if isinstance(names, str):
            names = [name.strip() for name in names.split(",")]
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return _named(names, f"{key} in hyperparameters.json")
    for key in _WIDTH_KEYS:
        width = _unquoted(values.get(key))
        if isinstance(width, int) and not isinstance(width, bool) and 0 < width <= _MAX_COLUMNS:
            return columns.unnamed(width, f"{key} in hyperparameters.json")
    return None


def _unquoted(value: Any) -> Any:
    """Read a hyperparameter: SageMaker writes every one as JSON within a string."""
    found = _json(value) if isinstance(value, str) else None
    return value if found is None else found


def _mlmodel(folder: Path) -> Columns | None:
    """Read the inputs of an MLflow signature: one line of JSON in an otherwise simple YAML file."""
    text = _read(folder / "MLmodel")
    match = re.search(
        r"^signature:\n(?:[ \t].*\n)*?[ \t]+inputs:[ \t]*'(.*)'[ \t]*$", text or "", re.M
    )
    inputs = _json(match[1].replace("''", "'")) if match else None
    if not isinstance(inputs, list) or not inputs or len(inputs) > _MAX_COLUMNS:
        return None
    if any(not isinstance(item, dict) or item.get("type") == "tensor" for item in inputs):
        return None
    return Columns(tuple(map(_mlflow_column, inputs)), "the signature in MLmodel")


def _mlflow_column(item: dict[str, Any]) -> Column:
    name = item.get("name")
    kind = _MLFLOW_KINDS.get(str(item.get("type")), "number")
    return Column(name if isinstance(name, str) else None, kind)  # type: ignore[arg-type]


def _named(names: Sequence[str], source: str) -> Columns | None:
    names = [name for name in names if name]
    return columns.named(names, source) if 0 < len(names) <= _MAX_COLUMNS else None


def _read(file: Path) -> str | None:
    if not file.is_file() or file.is_symlink() or file.stat().st_size > _MAX_BYTES:
        return None
    return file.read_text("utf-8", "replace")


def _json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None

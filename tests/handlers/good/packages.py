"""The files of the good handlers' packages, models included, for the fixture `package`."""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy

Files = dict[str, str | bytes]

HERE = Path(__file__).parent


def files(name: str) -> Files:
    """Give a good handler's package: path in it -> content."""
    return _code(name) | MODELS[name]()


def _code(name: str) -> Files:
    return {f"code/{path.name}": path.read_bytes() for path in (HERE / name / "code").glob("*.py")}


def _plain_model() -> Files:
    return {"weights.json": json.dumps({"weights": [2.0, 0.5], "bias": 1.0})}


def _numpy_model() -> Files:
    file = io.BytesIO()
    numpy.savez(file, weights=numpy.array([2.0, 0.5]), bias=numpy.array(1.0))
    return {"weights.npz": file.getvalue()}


@functools.cache
def _sklearn_model() -> Files:
    """Train in a process of its own: the sibling module must not be imported here."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model.joblib")
        subprocess.run(
            [sys.executable, HERE / "sklearn" / "train.py", model],
            env=os.environ | {"PYTHONPATH": str(HERE / "sklearn" / "code")},
            check=True,
        )
        return {"model.joblib": model.read_bytes()}


MODELS: dict[str, Callable[[], Files]] = {
    "plain": _plain_model,
    "numpy": _numpy_model,
    "sklearn": _sklearn_model,
}

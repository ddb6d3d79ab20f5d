"""A directory of handlers, as batches find it: one sub-directory each, with code/ and payloads/."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

HANDLER = """
import json, os, time

def model_fn(model_dir):
    print("model loaded")
    return 2.0

def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]

def predict_fn(data, model):
    {predict}
    return [model * cell for cell in data]

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""
SETTINGS = 'supported_accept_types = ["application/json"]\ntimeout_seconds = 60.0\n'


def handler(predict: str = "pass") -> str:
    """Give the code of a handler that does something in predict_fn."""
    return HANDLER.format(predict=predict)


def write(folder: Path, handlers: Mapping[str, str], settings: str = SETTINGS) -> Path:
    """Write handlers, each with what its predict_fn does, and a project's file beside them."""
    for name, predict in handlers.items():
        code = folder / "handlers" / name / "code"
        code.mkdir(parents=True)
        (code / "inference.py").write_text(handler(predict))
        (code.parent / "payloads").mkdir()
        (code.parent / "payloads" / "rows.csv").write_text("1,2\n")
    (folder / "pyproject.toml").write_text(f"[tool.handlerproof]\n{settings}")
    return folder / "handlers"

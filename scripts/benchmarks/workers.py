"""Workers to measure: a launcher for a handler given as text, and answers that must be good."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import InferenceHandlerSpec
from harness.artifacts.package import open_package
from harness.artifacts.workspace import RunDirectory
from harness.environments.interpreters import Interpreter
from harness.runtime.evidence import Answer
from harness.runtime.launch import HandlerLauncher
from harness.runtime.templates import Templates
from worker import protocol

TIMEOUT_S = 30.0
HANDLER = """
def model_fn(model_dir):
    return None
"""


@contextmanager
def launcher(
    isolation: str,
    handler: str = HANDLER,
    *,
    kind: type[HandlerLauncher] = HandlerLauncher,
    templates: Templates | None = None,
    **fields: Any,
) -> Iterator[HandlerLauncher]:
    """Give a launcher of workers for a package of one module; it does nothing, if none is given."""
    with tempfile.TemporaryDirectory() as folder, RunDirectory() as run:
        Path(folder, "inference.py").write_text(handler)
        spec = InferenceHandlerSpec(
            handler_name="measured",
            packaged_model_path=folder,
            payload_samples_path=folder,
            timeout_seconds=TIMEOUT_S,
            isolation=isolation,
            **fields,
        )
        interpreter = Interpreter("inherit", sys.executable)
        yield kind(spec, open_package(spec, run), run.path, interpreter, templates)


def succeed(answer: Answer) -> Any:
    """Give the reply of a request; a bench of a worker that fails is worth nothing."""
    if not isinstance(answer.reply, protocol.Loaded | protocol.Returned):
        raise SystemExit(f"the worker failed: {answer}")
    return answer.reply

"""What may stand for a handler: a spec, a path, or a module object."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.artifacts.workspace import RunDirectory
from harness.checks import pickles
from harness.errors import SpecError
from harness.specs import InferenceHandlerSpec

Source = InferenceHandlerSpec | ModuleType | str | Path

LOADER = """\
# Written by handlerproof: this handler's module had no file, so it was sent by value.
import pathlib
import pickle

globals().update(pickle.loads(pathlib.Path(__file__).with_name("module.pickle").read_bytes()))
"""


def spec_of(
    source: Source, run: RunDirectory, model_dir: str | None = None
) -> InferenceHandlerSpec:
    """Make a spec of whatever stands for a handler.

    A file of Python is a handler, anything else at a path a package; a module object stands for its
    file, and without a file goes by value. `model_dir` is used where the code comes without a
    model. Raises SpecError.
    """
    if isinstance(source, InferenceHandlerSpec):
        if source.handler_path is not None and source.model_dir is None and model_dir:
            return source.model_copy(update={"model_dir": model_dir})
        return source
    if isinstance(source, ModuleType):
        file = getattr(source, "__file__", None)
        return _of_code(Path(file) if file else _by_value(source, run), model_dir)
    if not isinstance(source, str | os.PathLike):
        kind = type(source).__name__
        raise SpecError(f"a handler is a path, a spec, a module or a live handler, not a {kind}")
    path = Path(source)
    if path.suffix == ".py":
        return _of_code(path, model_dir)
    return InferenceHandlerSpec(handler_name=_name(path), packaged_model_path=str(path))


def own_model_dir(function: str, parameters: Mapping[str, Any]) -> str | None:
    """Give the model directory that a call of model_fn names, by whatever name it does."""
    (path,) = parameters.values() if function == "model_fn" and len(parameters) == 1 else (None,)
    return os.fspath(path) if isinstance(path, str | os.PathLike) and path else None


def _of_code(path: Path, model_dir: str | None) -> InferenceHandlerSpec:
    return InferenceHandlerSpec(handler_name=path.stem, handler_path=str(path), model_dir=model_dir)


def _by_value(module: ModuleType, run: RunDirectory) -> Path:
    folder = run.make("by-value")
    content = {name: item for name, item in vars(module).items() if not name.startswith("__")}
    try:
        data = pickles.dumps(content)
    except Exception as error:
        raise SpecError(
            f"the module {module.__name__!r} has no file and cannot be sent by value: {error}"
        ) from error
    (folder / "module.pickle").write_bytes(data)
    file = folder / "inference.py"
    # So that the package's finder sees the functions without running anything.
    names = [name for name in content if name.endswith("_fn")]
    file.write_text(LOADER + "".join(f'{name} = globals()["{name}"]\n' for name in names))
    return file


def _name(path: Path) -> str:
    return path.name.partition(".")[0] or path.name

"""Import the handler as the server does, and say what functions it has.

Its half in the parent is `harness.artifacts.package`, which says where the code is.
"""

from __future__ import annotations

import importlib
import os
import site
import sys

from . import late, signatures
from .failures import clean
from .protocol import MAX_MESSAGE_CHARS, Function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


def prepare(
    load: dict[str, Any], renew: Callable[[], None] | None = None, *, exports_code: bool = False
) -> None:
    """Give the process the environment's packages, the server's sys.path and its directory.

    A worker that was forked has the packages: `renew` is what makes them as good as new.
    """
    (renew or site.main)()
    sys.argv = ["handler"]
    paths = list(load["sys_path"])
    exported = [os.path.join(load["model_dir"], "code")] if exports_code else []
    if load.get("python_path"):
        exported.append(load["python_path"])
        paths += load["python_path"].split(os.pathsep)
    if exported:
        os.environ["PYTHONPATH"] = os.pathsep.join(exported)
    late.load_where_shadowed(_importable(paths))
    _forget_shadowed_modules(load["handler_roots"])
    sys.path[:0] = paths
    sys.dont_write_bytecode = True
    os.chdir(load.get("directory") or load["model_dir"])
    # The main module of a server is the server's: empty here, so that nothing of ours is found in
    # it, and that multiprocessing's children do not run this process's start again.
    sys.modules["__main__"] = type(sys)("__main__")


def load(name: str, needed: bool) -> Any:
    """Import the entry module by name; None where there is none. What it raises is the handler's.

    Where a stack does not need one, none is no error: it runs its defaults, without a word.
    """
    # As importlib.invalidate_caches does, which from Python 3.13 on loads importlib.metadata: that
    # takes longer than most handlers.
    sys.path_importer_cache.clear()
    if needed or _is_there(name):
        return importlib.import_module(name)
    return None


def _is_there(name: str) -> bool:
    """Say whether a module can be found, as importlib.util.find_spec does, which loads slowly."""
    if "." in name or name in sys.modules:
        return late.importlib_util.find_spec(name) is not None
    finders = [getattr(finder, "find_spec", None) for finder in sys.meta_path]
    return any(find and find(name, None) is not None for find in finders)


def file_of(module: Any) -> str | None:
    """Name the module's file; None where there is none."""
    file = getattr(module, "__file__", None)
    return clean(file, MAX_MESSAGE_CHARS) if isinstance(file, str) else None


def describe(functions: dict[str, Any]) -> list[Function]:
    """Say which functions are the handler's own, and how they can be called."""
    return [
        Function(
            name=name,
            defined=bool(own),
            parameters=signatures.parameters_of(own) if own else None,
            style=signatures.style_of(own) if own else "plain",  # type: ignore[arg-type]
        )
        for name, own in functions.items()
    ]


def _forget_shadowed_modules(roots: list[str]) -> None:
    """Let the handler's own json.py win over the copy that this worker happens to have loaded.

    Only names that lie beside the handler's code, and only modules that the interpreter itself did
    not need to start.
    """
    for name in _importable(roots) - _NEEDED_TO_START:
        sys.modules.pop(name, None)


def _importable(roots: list[str]) -> set[str]:
    names = set()
    for root in roots:
        for entry in os.listdir(root) if os.path.isdir(root) else []:
            name, extension = os.path.splitext(entry)
            package = os.path.join(
                root, entry, "__init__.py"
            )  # another directory wins over nothing
            if extension == ".py" or os.path.isfile(package):
                names.add(name)
    return names


_NEEDED_TO_START = frozenset(
    "os io abc codecs encodings site stat posixpath genericpath types importlib".split()  # noqa: SIM905
).union(sys.builtin_module_names)

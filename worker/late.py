"""Modules of the standard library that most handlers do without, loaded when one is needed.

Each takes a good part of an interpreter's start. Late, a module of the handler's own could be found
by its name: where one lies beside the handler's code, all are loaded before.
"""

from __future__ import annotations

import importlib
import sys

from . import usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Module:
    """Stands for a module, which is imported when something of it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._module: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.load(), name)

    def load(self) -> Any:
        """Import the module, once; also when the handler has left no descriptor or no path."""
        if self._module is None:
            try:
                self._module = _import(self._name, fromlist=["itself"])
            except Exception:
                with _Spare():
                    self._module = _import(self._name, fromlist=["itself"])
        return self._module


class _Spare:
    """For a moment the standard library's directories, and a descriptor that is free."""

    def __enter__(self) -> None:
        usage.close_list()
        self._path, sys.path = sys.path, [*_PATH, *sys.path]

    def __exit__(self, *_: object) -> None:
        sys.path = self._path
        usage.open_list()


_import = __import__
_PATH = list(sys.path)

importlib_machinery: Any = Module("importlib.machinery")
importlib_util: Any = Module("importlib.util")
inspect: Any = Module("inspect")
json: Any = Module("json")
pickle: Any = Module("pickle")
traceback: Any = Module("traceback")
_ALL = (importlib_machinery, importlib_util, inspect, json, pickle, traceback)
_OF_IMPORTLIB = {"machinery": importlib_machinery, "util": importlib_util}


def _of_importlib(name: str) -> Any:
    """Give what importlib has on a server, where others have imported it, after a mere import."""
    if name not in _OF_IMPORTLIB:
        raise AttributeError("module 'importlib' has no attribute %r" % name)
    return _OF_IMPORTLIB[name].load()


importlib.__getattr__ = _of_importlib  # type: ignore[method-assign]

# None before Python 3.10: any name may be one of the standard library's there.
_STANDARD: frozenset[str] | None = getattr(sys, "stdlib_module_names", None)


def load_where_shadowed(names: set[str]) -> None:
    """Import them now, where one of these names is that of a module of the standard library."""
    if names and (_STANDARD is None or not names.isdisjoint(_STANDARD)):
        for module in _ALL:
            module.load()

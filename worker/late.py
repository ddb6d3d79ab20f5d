"""Modules of the standard library that most handlers do without, loaded when one is needed.

Each takes a good part of an interpreter's start. Late, a module of the handler's own could be found
by its name: where one lies beside the handler's code, all are loaded before.
"""

from __future__ import annotations

import sys

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
        """Import the module, once."""
        if self._module is None:
            self._module = __import__(self._name)
        return self._module


inspect: Any = Module("inspect")
pickle: Any = Module("pickle")

# None before Python 3.10: any name may be one of the standard library's there.
_STANDARD: frozenset[str] | None = getattr(sys, "stdlib_module_names", None)


def load_where_shadowed(names: set[str]) -> None:
    """Import them now, where one of these names is that of a module of the standard library."""
    if names and (_STANDARD is None or not names.isdisjoint(_STANDARD)):
        inspect.load()
        pickle.load()

"""Python values as bytes for the worker: cloudpickle, with the caller's own modules by value.

Other half: `worker.parameters`, which unpickles. Nothing is ever unpickled here.
"""

import os
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import cloudpickle

_INSTALLED = frozenset({"site-packages", "dist-packages"})
_STANDARD = tuple(
    sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")
)  # of this interpreter, not of a virtual environment
_registry = threading.Lock()  # cloudpickle keeps the modules to send by value in one place


def dumps(value: Any) -> bytes:
    """Pickle a value; functions and classes of modules that are not installed go with it.

    The worker has none of the tester's path, so it could not import them. Raises whatever the
    value's own pickling does.
    """
    with _registry, _own_modules_by_value():
        return bytes(cloudpickle.dumps(value))


@contextmanager
def _own_modules_by_value() -> Iterator[None]:
    already = cloudpickle.list_registry_pickle_by_value()
    own = [module for name, module in list(sys.modules.items()) if _is_own(name, module)]
    fresh = [module for module in own if module.__name__ not in already]
    for module in fresh:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in fresh:
            cloudpickle.unregister_pickle_by_value(module)


def _is_own(name: str, module: Any) -> bool:
    """Say whether a module is the caller's: neither built in, nor installed, nor of Python."""
    names = vars(module) if type(module) is ModuleType else {}
    if names.get("__name__") != name or name.partition(".")[0] in ("__main__", "harness", "worker"):
        return False
    file = names.get("__file__")
    if not isinstance(file, str):
        return names.get("__spec__") is None  # made by hand; built-in ones have a spec
    folders = file.split(os.sep)
    return not (file.startswith(_STANDARD) or _INSTALLED.intersection(folders))

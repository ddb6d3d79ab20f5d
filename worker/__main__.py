"""Start one process of the child side: `__main__.py supervise ...`, `serve`, or a layer to try.

Its other half is `harness.runtime.process`, which starts it by file path. The folder is loaded
under a private package name, so that a handler's own `worker.py` or `protocol.py` wins its import,
and through the ordinary import system, so that the compiled files are cached.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


import sys

PRIVATE_NAME = "_handlerproof_worker"


def load(module: str) -> Any:
    """Import one module of this folder under the private package name."""
    folder = __file__.rpartition("/")[0]
    if sys.path and sys.path[0] == folder:
        del sys.path[0]
    package = type(sys)(PRIVATE_NAME)
    package.__path__ = [folder]
    sys.modules[PRIVATE_NAME] = package
    return __import__(PRIVATE_NAME + "." + module, fromlist=["main"])


if __name__ == "__main__":
    load({"supervise": "supervisor"}.get(sys.argv[1], sys.argv[1])).main(sys.argv[2:])

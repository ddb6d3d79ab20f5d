"""A script of a pipeline: its `main` is called, or its file is run as a program.

Its half in the parent is `harness.runtime.script_launch`.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import threading

from . import handler, signatures
from .failures import clean
from .protocol import MAX_MESSAGE_CHARS, Function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAMES = ("input_paths", "output_paths", "environ_vars", "job_args")


class Script:
    """The one script of this process."""

    def __init__(self, path: str, mode: str) -> None:
        self.folder = os.path.dirname(path)
        self._path = path
        self._is_program = mode == "program"
        self._main: Any = None

    def load(self, directory: str, python_path: str | None) -> None:
        """Go to the working directory and, unless it is a program, import the script.

        It gets its file's name as a module, so that `if __name__ == "__main__"` does not hold.
        What the import raises is the script's.
        """
        handler.prepare(
            {
                "sys_path": [self.folder],
                "handler_roots": [self.folder],
                "python_path": python_path,
                "model_dir": directory,
            }
        )
        sys.argv = [self._path]
        if self._is_program:
            return
        name = os.path.splitext(os.path.basename(self._path))[0]
        loader = importlib.machinery.SourceFileLoader(name, self._path)
        spec = importlib.util.spec_from_file_location(name, self._path, loader=loader)
        module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        sys.modules[name] = module
        loader.exec_module(module)
        self._main = getattr(module, "main", None)

    def describe(self) -> list[Function]:
        """Say whether there is a main, and what its parameters are called."""
        if self._is_program:
            return []
        there = callable(self._main)
        parameters = signatures.parameters_of(self._main) if there else None
        return [Function(name="main", defined=there, parameters=parameters)]

    def misfit(self) -> str | None:
        """Say why main cannot be called with the four names; None when it can."""
        if self._is_program:
            return None
        if not callable(self._main):
            return "the script defines no main(%s)" % ", ".join(NAMES)
        try:
            signature = inspect.signature(self._main)
        except (TypeError, ValueError):  # a builtin: the call itself will tell
            return None
        try:
            signature.bind(**dict.fromkeys(NAMES))
        except TypeError as error:
            return clean(
                "main%s cannot be called with %s: %s" % (signature, ", ".join(NAMES), error),
                MAX_MESSAGE_CHARS,
            )
        return None

    def run(self, request: dict[str, Any]) -> Any:
        """Call main or run the program; return when its threads have ended, as Python does."""
        value = None
        if self._is_program:
            self._run_program(request["argv"])
        else:
            value = self._main(
                input_paths=request["input_paths"],
                output_paths=request["output_paths"],
                environ_vars=request["environ_vars"],
                job_args=argparse.Namespace(**(request.get("job_args") or {})),
            )
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        return value

    def _run_program(self, argv: list[str]) -> None:
        """Execute the file as `python script.py ...` does: as __main__, its folder first."""
        sys.argv = [self._path, *argv]
        module: Any = type(sys)("__main__")
        module.__file__ = self._path
        module.__loader__ = importlib.machinery.SourceFileLoader("__main__", self._path)
        module.__builtins__ = __builtins__
        sys.modules["__main__"] = module
        exec(module.__loader__.get_code("__main__"), vars(module))

    @staticmethod
    def exit_code(error: BaseException) -> int | None:
        """Give the code that Python leaves with for a SystemExit, and print its text; else None."""
        if not issubclass(type(error), SystemExit):
            return None
        try:
            code = error.code  # type: ignore[attr-defined]
            if code is None or isinstance(code, int):
                return (code or 0) & 0xFF
            sys.stderr.write("%s\n" % (code,))
        except BaseException:  # a class of the script's own may do anything
            pass
        return 1

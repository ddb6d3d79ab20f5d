"""The environment of a worker: its interpreter, its variables, its private directories."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import serving
from harness.artifacts.package import Package
from harness.errors import HandlerEnvironmentError
from harness.results import EnvironmentSummary
from harness.runtime.guest import Asked, Guest
from harness.specs import InferenceHandlerSpec

# What a worker gets of the tester's own variables; nothing else of them is visible to a handler.
INHERITED = ("PATH", "TZ")
PRIVATE = ("home", "tmp", "own")
REGION = "us-east-1"  # the SDK sets the session's; a handler finds one


@dataclass(frozen=True)
class Interpreter:
    """The Python that runs a handler."""

    kind: str
    executable: str

    def summary(self, version: str) -> EnvironmentSummary:
        """Describe it for a result, with the version that really answered."""
        return EnvironmentSummary(
            kind=self.kind, python_version=version, executable=self.executable
        )


def find_interpreter(spec: Asked) -> Interpreter:
    """Find the interpreter that the spec's environment names.

    Raises HandlerEnvironmentError when there is no such file or it cannot be executed.
    """
    if spec.environment == "inherit":
        return Interpreter("inherit", sys.executable)
    path = Path(spec.environment.python).expanduser()
    if not path.is_file():
        raise HandlerEnvironmentError(
            f"environment: there is no interpreter {str(path)!r}; give the path of a Python 3.8 or "
            f"newer, for example a virtual environment's bin/python"
        )
    if not os.access(path, os.X_OK):
        raise HandlerEnvironmentError(
            f"environment: {str(path)!r} cannot be executed; give the path of a Python interpreter"
        )
    return Interpreter("python", os.path.abspath(path))


def variables(guest: Guest, interpreter: Interpreter, home: Path) -> dict[str, str]:
    """Give a worker's environment variables: an allowlist, private directories, the guest's own.

    PYTHONPATH is held back: the worker applies it after its own start, so that nothing on it can
    stand in for the worker's modules.
    """
    given = {name: os.environ[name] for name in INHERITED if name in os.environ}
    folder = os.path.dirname(interpreter.executable)
    given["PATH"] = os.pathsep.join(filter(None, (folder, given.get("PATH", os.defpath))))
    given["LANG"] = "C.UTF-8"
    given["HOME"] = str(home / "home")
    given["TMPDIR"] = str(home / "tmp")
    given.update(guest.variables)
    given.update(guest.asked.environ_vars)
    given.pop("PYTHONPATH", None)
    return given


def of_container(spec: InferenceHandlerSpec, package: Package) -> dict[str, str]:
    """Give the variables that the SDK and the stack's container set for a handler."""
    given = {
        "SAGEMAKER_PROGRAM": f"{package.module}.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": str(package.code_dir),
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
        "SAGEMAKER_REGION": REGION,
    }
    stack = serving.of(spec)
    if stack.server is None:
        given["SM_MODEL_DIR"] = str(package.model_dir)
    return {**given, **stack.variables}


def private_directories(home: Path) -> None:
    """Make the directories of one worker: its fresh HOME and TMPDIR, and one for our own files."""
    for name in PRIVATE:
        (home / name).mkdir(parents=True)


def installation(interpreter: Interpreter) -> list[str]:
    """List the directories that an interpreter needs: its prefixes, and where it imports from."""
    if interpreter.kind == "inherit":
        return [sys.prefix, sys.base_prefix, *filter(os.path.isabs, sys.path)]
    found = []
    for path in (interpreter.executable, os.path.realpath(interpreter.executable)):
        found.append(os.path.dirname(os.path.dirname(path)))
    return found

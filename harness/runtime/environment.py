"""What a worker finds around it: its variables, its private directories, what it must read."""

import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import serving
from harness.artifacts.package import Package
from harness.environments.interpreters import Interpreter
from harness.errors import WorkerError
from harness.runtime.guest import Guest
from harness.specs import InferenceHandlerSpec

# What a worker gets of the tester's own variables; nothing else of them is visible to a handler.
INHERITED = ("PATH", "TZ")
REGION = "us-east-1"  # the SDK sets the session's; a handler finds one


@dataclass(frozen=True)
class Private:
    """The directories that are one worker's alone: what all their paths begin with, and no other's.

    They lie side by side, in none of their own: to make a directory takes as long as some calls.
    """

    beginning: str

    @property
    def home(self) -> str:
        """Its HOME, and where most handlers find themselves."""
        return self.beginning + "home"

    @property
    def tmp(self) -> str:
        """Its TMPDIR."""
        return self.beginning + "tmp"

    @property
    def sandbox_tmp(self) -> str:
        """What a sandbox shows as /tmp."""
        return self.beginning + "sandbox-tmp"


def private_in(folder: Path) -> Private:
    """Make a worker's fresh HOME and TMPDIR below a run directory. Raises WorkerError.

    A handler that may write there cannot know what the next worker's will be called.
    """
    private = Private(f"{folder}/{secrets.token_hex(8)}-")
    try:
        os.mkdir(private.home)
        os.mkdir(private.tmp)
    except OSError as error:
        raise WorkerError(
            f"a worker's directories cannot be made in {folder}: {error.strerror}"
        ) from error
    return private


def variables(guest: Guest, interpreter: Interpreter, private: Private) -> dict[str, str]:
    """Give a worker's environment variables: an allowlist, private directories, the guest's own.

    PYTHONPATH is held back: the worker applies it after its own start, so that nothing on it can
    stand in for the worker's modules.
    """
    given = {name: os.environ[name] for name in INHERITED if name in os.environ}
    folder = os.path.dirname(interpreter.executable)
    given["PATH"] = os.pathsep.join(filter(None, (folder, given.get("PATH", os.defpath))))
    given["LANG"] = "C.UTF-8"
    given["HOME"] = private.home
    given["TMPDIR"] = private.tmp
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


def installation(interpreter: Interpreter) -> list[str]:
    """List the directories that an interpreter needs, and the tester's, which runs the supervisor.

    Prefixes, and where it imports from.
    """
    own = [sys.prefix, sys.base_prefix]
    if interpreter.kind == "inherit":
        return [*own, *filter(os.path.isabs, sys.path)]
    both = (interpreter.executable, os.path.realpath(interpreter.executable))
    return [*own, *(os.path.dirname(os.path.dirname(path)) for path in both)]

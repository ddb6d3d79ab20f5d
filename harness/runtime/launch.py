"""From a spec and its unpacked package to a running worker."""

import os
from itertools import count
from pathlib import Path

import cloudpickle

import worker.protocol as protocol
from harness.artifacts.package import Package
from harness.errors import HandlerEnvironmentError
from harness.runtime import environment
from harness.runtime.process import CHILD
from harness.runtime.session import Answer, Session
from harness.specs import InferenceHandlerSpec

MIB = 1024 * 1024
OLDEST_PYTHON = (3, 8)


class Launcher:
    """Starts workers for one handler, each with directories of its own below the run directory."""

    def __init__(self, spec: InferenceHandlerSpec, package: Package, folder: Path) -> None:
        """Raise HandlerEnvironmentError when the spec's interpreter cannot be had."""
        self._spec = spec
        self._package = package
        self._folder = folder
        self._numbers = count(1)
        self.interpreter = environment.find_interpreter(spec)

    def start(self) -> Session:
        """Start a worker and wait for its first line. Raises HandlerEnvironmentError."""
        limits = self._spec.effective_limits
        home = self._folder / f"worker-{next(self._numbers)}"
        environment.private_directories(home)
        session = Session(
            protocol.Start(
                argv=[self.interpreter.executable, "-s", "-S", CHILD, "serve"],
                environ=environment.variables(self._spec, self.interpreter, home),
                directory=str(self._package.model_dir),
                memory_bytes=limits.memory_limit_mb and int(limits.memory_limit_mb * MIB),
                max_processes=limits.max_processes,
                max_file_bytes=limits.max_file_bytes,
            ),
            max_output_bytes=limits.max_output_bytes,
            max_response_bytes=limits.max_response_bytes,
        )
        answer = session.start(self._startup_seconds)
        if session.ready is None or answer.ending is not None:
            session.close()
            raise HandlerEnvironmentError(self._explain(answer))
        version = tuple(int(part) for part in session.ready.python.split(".")[:2])
        if version < OLDEST_PYTHON:
            session.close()
            raise HandlerEnvironmentError(
                f"environment: {self.interpreter.executable} is Python {session.ready.python}; "
                "the worker needs 3.8 or newer"
            )
        return session

    def load(self, session: Session, name: str) -> Answer:
        """Let the worker import the handler, under the startup timeout."""
        paths = [str(path) for path in self._package.sys_path]
        return session.request(
            protocol.Load(
                id=name,
                module=self._package.module,
                model_dir=str(self._package.model_dir),
                sys_path=paths + list(self._spec.sys_path),
                handler_roots=paths,
                python_path=self._spec.environ_vars.get("PYTHONPATH"),
                cloudpickle_dir=os.path.dirname(os.path.abspath(cloudpickle.__file__)),
                max_response_bytes=self._spec.effective_limits.max_response_bytes,
            ),
            self._startup_seconds,
        )

    @property
    def _startup_seconds(self) -> float:
        seconds = self._spec.effective_limits.startup_timeout_seconds
        assert seconds is not None  # effective_limits fills it
        return seconds

    def _explain(self, answer: Answer) -> str:
        ending = answer.ending
        what = ending.detail if ending is not None else "it sent something else than its greeting"
        log = answer.log
        words = f"; its last words: {(log.head + log.tail).strip()[-2000:]}" if log else ""
        return (
            f"environment: the worker did not start under {self.interpreter.executable}: {what}"
            f"{words}; check that this is a Python 3.8 or newer"
        )

"""From a script's spec to a worker that has it loaded, and runs it. Other half: worker.script."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import worker.protocol as protocol
from harness.environments.interpreters import Interpreter
from harness.runtime.evidence import Answer
from harness.runtime.guest import Guest
from harness.runtime.launch import Launcher
from harness.runtime.session import Session
from harness.script_spec import ScriptExecutionSpec


@dataclass(frozen=True)
class Parameters:
    """What a script is run with: the four parameters of main, and the words of a program."""

    input_paths: Mapping[str, str]
    output_paths: Mapping[str, str]
    environ_vars: Mapping[str, str]
    job_args: Mapping[str, Any]
    argv: tuple[str, ...] | None = None


class ScriptLauncher(Launcher):
    """Starts workers for one script, which may write in the run directory and read its inputs."""

    def __init__(
        self,
        spec: ScriptExecutionSpec,
        file: Path,
        parameters: Parameters,
        folder: Path,
        interpreter: Interpreter,
    ) -> None:
        """Raise IsolationUnavailableError for what cannot be had."""
        further = spec.environ_vars.get("PYTHONPATH", "").split(os.pathsep)
        inputs = parameters.input_paths.values()
        directory = folder / "work"
        directory.mkdir(exist_ok=True)
        guest = Guest(
            spec,
            directory,
            readable=(file.parent, *map(Path, (*inputs, *filter(None, further)))),
            writable=(folder,),
        )
        super().__init__(guest, folder, interpreter)
        self._file = file
        self._parameters = parameters

    def load(self, session: Session, name: str) -> Answer:
        """Let the worker import the script, under the startup timeout."""
        return session.request(
            protocol.LoadScript(
                id=name,
                path=str(self._file),
                mode="main" if self._parameters.argv is None else "program",
                directory=str(self._guest.directory),
                **self._enclosure(),
            ),
            self._startup_seconds,
        )

    def run(self, session: Session, name: str) -> Answer:
        """Let the worker call main, or run the program, under the timeout of a call."""
        given = self._parameters
        seconds = self._guest.asked.effective_limits.timeout_seconds
        assert seconds is not None  # effective_limits fills it
        return session.request(
            protocol.RunScript(
                id=name,
                input_paths=dict(given.input_paths),
                output_paths=dict(given.output_paths),
                environ_vars=dict(given.environ_vars),
                job_args=dict(given.job_args),
                argv=list(given.argv or ()),
            ),
            seconds,
        )

"""What the user asks of one script: its file, its inputs and outputs, and how to run it.

A script is a file of Python with `main(input_paths, output_paths, environ_vars, job_args)`, or one
that is run with arguments. Paths stay text, as given; nothing here runs anything.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from pydantic import Field, model_validator

from harness.errors import PipelineError, SpecError
from harness.spec_environment import Environment
from harness.spec_fields import FileName, JsonData, PathText, Text, Variables
from harness.spec_model import SpecModel, unknown_name
from harness.specs import Isolation, Limits, Network

DEFAULT_ROOT: Final = "test/integration/runtime"
TIMEOUT_SECONDS: Final = 300
_SAVED: Final = "_runtime_test_spec.json"
_PLACE: Final = re.compile(r"\{(input_paths|output_paths)\.([^{}]+)\}")


class ScriptExecutionSpec(SpecModel):
    """One script to be run: its code, its inputs and outputs by logical name, and its limits."""

    mistake: ClassVar[type[SpecError]] = PipelineError

    script_name: FileName = Field(description="Name of the script, by default that of its file")
    step_name: FileName = Field(description="Name of the script's node in a PipelineDAG")
    script_path: PathText | None = Field(
        default=None,
        description="Path of the script's Python file; None: scripts/<script_name>.py in the "
        "workspace",
    )
    input_paths: dict[Text, PathText] = Field(
        default_factory=dict,
        description="Where each input lies, by logical name; an input that an edge feeds is taken "
        "from there instead",
    )
    output_paths: dict[Text, PathText] = Field(
        default_factory=dict, description="Where each output is to be written, by logical name"
    )
    environ_vars: Variables = Field(
        default_factory=dict,
        description="Environment variables of the script, also given to main as environ_vars",
    )
    job_args: dict[Text, JsonData] = Field(
        default_factory=dict, description="Attributes of the job_args that main is given"
    )
    arguments: tuple[str, ...] | None = Field(
        default=None,
        description="Run the script as a program with these arguments instead of calling main; "
        "{input_paths.NAME} and {output_paths.NAME} stand for paths",
    )
    aliases: dict[Text, tuple[Text, ...]] = Field(
        default_factory=dict,
        description="Other names of inputs and outputs, by logical name, for matching",
    )
    limits: Limits = Field(
        default=Limits(), description="Bounds on time, memory, processes and output"
    )
    isolation: Isolation = Field(default="auto", description="As in InferenceHandlerSpec")
    network: Network = Field(default=False, description="As in InferenceHandlerSpec")
    environment: Environment = Field(
        default="inherit", description="Interpreter and packages, as in InferenceHandlerSpec"
    )
    last_updated: Text | None = Field(
        default=None, description="When the spec was last saved, as an ISO 8601 time"
    )
    user_notes: str | None = Field(default=None, description="Notes of the user's own")

    @classmethod
    def create_default(
        cls, script_name: str, step_name: str, test_data_dir: str | Path = DEFAULT_ROOT
    ) -> Self:
        """Ask for a script with one input and one output below a directory. Raises: SpecError."""
        folder = Path(test_data_dir) / step_name
        return cls(
            script_name=script_name,
            step_name=step_name,
            input_paths={"data_input": str(folder / "input")},
            output_paths={"data_output": str(folder / "output")},
            job_args={"job_type": "testing"},
        )

    @property
    def effective_limits(self) -> Limits:
        """The limits, with the timeouts that are None set to 300 seconds."""
        return self.limits.filled(TIMEOUT_SECONDS)

    @property
    def main_params(self) -> dict[str, Any]:
        """The four arguments of main, by name."""
        return {
            "input_paths": dict(self.input_paths),
            "output_paths": dict(self.output_paths),
            "environ_vars": dict(self.environ_vars),
            "job_args": Namespace(**self.job_args),
        }

    def command_line(
        self, input_paths: dict[str, str], output_paths: dict[str, str]
    ) -> list[str] | None:
        """Put paths into the arguments; None when main is to be called instead."""
        if self.arguments is None:
            return None
        paths = {"input_paths": input_paths, "output_paths": output_paths}
        return [
            _PLACE.sub(lambda found: paths[found[1]][found[2]], argument)
            for argument in self.arguments
        ]

    def save_to_file(self, specs_dir: str | Path) -> str:
        """Save the spec in a directory under its step's name; give the file's path.

        The file has the time in `last_updated`. Raises: OSError.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        file = Path(specs_dir) / f"{self.step_name}{_SAVED}"
        self.model_copy(update={"last_updated": now}).save(file)
        return str(file)

    @classmethod
    def load_from_file(cls, script_name: str, specs_dir: str | Path) -> Self:
        """Load the spec that was saved for a step, or else the only one of a script.

        Raises: PipelineError when there is none or more than one.
        """
        own = Path(specs_dir) / f"{script_name}{_SAVED}"
        if own.name != script_name + _SAVED or own.is_file():
            return cls.load(own)
        specs = [cls.load(file) for file in saved_specs(specs_dir)]
        found = [spec for spec in specs if spec.script_name == script_name]
        if not found:
            raise PipelineError(
                f"no spec of {script_name!r} is saved in {specs_dir}; make one with save_to_file"
            )
        if len(found) > 1:
            steps = ", ".join(spec.step_name for spec in found)
            raise PipelineError(
                f"the script {script_name!r} has more than one spec in {specs_dir}; "
                f"name one of its steps: {steps}"
            )
        return found[0]

    @model_validator(mode="after")
    def _know_the_names(self) -> Self:
        for problem in (*self._unknown_aliases(), *self._unknown_places()):
            raise ValueError(problem)
        return self

    def _unknown_aliases(self) -> Iterator[str]:
        known = {**self.input_paths, **self.output_paths}
        for name in self.aliases:
            if name not in known:
                yield f"aliases: {unknown_name(name, known)}"

    def _unknown_places(self) -> Iterator[str]:
        for argument in self.arguments or ():
            for field, name in _PLACE.findall(argument):
                if name not in getattr(self, field):
                    yield f"arguments: {field}: {unknown_name(name, getattr(self, field))}"


def saved_specs(specs_dir: str | Path) -> list[Path]:
    """List the files that `save_to_file` made in a directory, by name."""
    return sorted(Path(specs_dir).glob(f"*{_SAVED}"))


def step_of(saved: Path) -> str:
    """Give the name of the step that a file was saved for."""
    return saved.name.removesuffix(_SAVED)

"""One script, run once in a worker of its own: from its spec to its result."""

import logging
import os
import secrets
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import worker.protocol as protocol
from harness.artifacts import changes, formats, outputs
from harness.artifacts.workspace import RunDirectory
from harness.checks import arguments, verdict
from harness.checks.redaction import Redaction
from harness.environments.provided import provided
from harness.errors import IsolationUnavailableError, PipelineError
from harness.pipeline_results import OutputFile, ScriptTestResult
from harness.records import Outcome
from harness.runtime import isolation, layers
from harness.runtime.evidence import Answer, Ending
from harness.runtime.script_launch import Parameters, ScriptLauncher
from harness.runtime.session import Session
from harness.script_spec import ScriptExecutionSpec

_log = logging.getLogger(__name__)

MAX_LISTED = 1000
OF_A_FUNCTION = ("output_data", "output_type")


@dataclass(frozen=True)
class Run:
    """A script that was run: its result, and where what it wrote lies, by logical name."""

    result: ScriptTestResult
    places: Mapping[str, Path]


def test(
    spec: ScriptExecutionSpec, file: Path, main_params: Mapping[str, Any], workspace: Path | None
) -> ScriptTestResult:
    """Run a script with the given parameters of main; put its outputs where they are asked for.

    Raises PipelineError for parameters that make no sense and for inputs that are missing, before
    anything runs; HandlerEnvironmentError when no worker can be started.
    """
    given = of_main_params(spec, main_params)
    need_inputs(given.input_paths)
    with RunDirectory(workspace) as run:
        done = execute(spec, file, given, run.path)
        publish(done, given.output_paths)
        return done.result


def of_main_params(spec: ScriptExecutionSpec, main_params: Mapping[str, Any]) -> Parameters:
    """Read the parameters of main. Raises PipelineError for what no script can be given."""
    names = ("input_paths", "output_paths", "environ_vars", "job_args")
    odd = [name for name in main_params if name not in names]
    if odd:
        raise PipelineError(f"main_params: main has no {odd[0]!r}; it takes {', '.join(names)}")
    given = {**spec.main_params, **main_params}
    job_args = given["job_args"]
    job_args = vars(job_args) if isinstance(job_args, Namespace) else job_args
    if not isinstance(job_args, Mapping) or not arguments.is_json(dict(job_args)):
        raise PipelineError("main_params: job_args must be a Namespace of what JSON can carry")
    inputs, places = (_paths(name, given[name]) for name in ("input_paths", "output_paths"))
    try:
        spec.command_line(inputs, places)
    except KeyError as error:
        raise PipelineError(f"main_params: the arguments need the path of {error}") from None
    return Parameters(
        inputs,
        places,
        environ_vars=_texts("environ_vars", given["environ_vars"]),
        job_args=dict(job_args),
    )


def _paths(name: str, value: Any) -> dict[str, str]:
    if isinstance(value, Mapping):
        value = {key: os.fspath(path) if path else path for key, path in value.items()}
    return {key: os.path.abspath(path) for key, path in _texts(name, value).items()}


def _texts(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(
        isinstance(item, str) and arguments.is_json(item) for pair in value.items() for item in pair
    ):
        raise PipelineError(f"main_params: {name} must be a dictionary of texts")
    return dict(value)


def need_inputs(paths: Mapping[str, str]) -> None:
    """Raise PipelineError that names every input which is not there."""
    missing = [f"{name}: {path}" for name, path in paths.items() if not os.path.exists(path)]
    if missing:
        raise PipelineError(f"inputs are missing: {'; '.join(missing)}; make them, or correct them")


def publish(run: Run, paths: Mapping[str, str]) -> None:
    """Copy what a script wrote to the user's paths. Raises PipelineError."""
    for name, place in run.places.items():
        outputs.publish(place, Path(paths[name]))


def execute(spec: ScriptExecutionSpec, file: Path, given: Parameters, folder: Path) -> Run:
    """Run a script in a worker that writes below a folder only, to places of its own there.

    Whatever it does is in the result. Raises HandlerEnvironmentError, IsolationUnavailableError.
    """
    places = outputs.prepare(given.output_paths, folder / "outputs")
    shown = {name: str(place) for name, place in places.items()}
    spec = spec.model_copy(update={"environ_vars": dict(given.environ_vars)})
    argv = spec.command_line(dict(given.input_paths), shown)
    parameters = Parameters(
        given.input_paths,
        shown,
        given.environ_vars,
        given.job_args,
        argv=None if argv is None else tuple(argv),
    )
    before = {name: _look(path) for name, path in given.input_paths.items()}
    fields = _run(spec, file, parameters, folder)
    for name, path in given.input_paths.items():
        if _look(path) != before[name]:
            fields["warnings"].append(f"the script changed its input {name!r}")
    listed = list(_listed(places, fields["warnings"]))
    if fields["outcome"] is Outcome.passed:
        written = {item.output_name for item in listed}
        empty = [name for name in places if name not in written]
        fields["warnings"] += [f"the script wrote nothing to its output {name!r}" for name in empty]
    result = ScriptTestResult(
        script_name=spec.script_name, step_name=spec.step_name, outputs=listed, **fields
    )
    return Run(Redaction(given.environ_vars).of(result), places)


def _run(
    spec: ScriptExecutionSpec, file: Path, parameters: Parameters, folder: Path
) -> dict[str, Any]:
    """Run a script on the interpreter of its environment; "auto" requirements lie beside it."""
    plan = layers.plan(spec)
    exposed = not (plan.has("landlock") or plan.has("bwrap"))
    with provided(
        spec.environment, file.parent, (), folder, exposed=exposed, note=_log.info
    ) as interpreter:
        return _Running(spec, ScriptLauncher(spec, file, parameters, folder, interpreter)).run()


def _look(path: str) -> changes.Listing:
    if os.path.isdir(path):
        return changes.listing(Path(path))
    try:
        status = os.stat(path)
    except OSError:
        return {}
    return {"": (status.st_size, status.st_mtime_ns)}


def _listed(places: Mapping[str, Path], warnings: list[str]) -> list[OutputFile]:
    found = [
        OutputFile(
            output_name=name,
            path=file.name if file == place else str(file.relative_to(place)),
            format=formats.detect(file),
            size_bytes=file.stat().st_size,
        )
        for name, place in places.items()
        for _, file in zip(range(MAX_LISTED + 1), outputs.files(place), strict=False)
    ]
    if len(found) > MAX_LISTED:
        warnings.append(f"the script wrote more than {MAX_LISTED} files; the first are listed")
    return found[:MAX_LISTED]


class _Running:
    """One worker with one script in it, from its start to its end."""

    def __init__(self, spec: ScriptExecutionSpec, launcher: ScriptLauncher) -> None:
        self._limits = spec.effective_limits
        self._spec = spec
        self._launcher = launcher
        self._is_program = spec.arguments is not None
        self._warnings: list[str] = []

    def run(self) -> dict[str, Any]:
        """Give the fields of a ScriptTestResult, but for its names and its outputs."""
        with self._launcher.start() as session:
            assert session.ready is not None
            told = {
                "isolation": isolation.in_force(
                    self._spec, self._launcher.plan, subreaper=session.subreaper
                ),
                "environment": self._launcher.summary(session),
            }
            answer = loaded = self._launcher.load(session, secrets.token_hex(8))
            if isinstance(loaded.reply, protocol.Refused):
                raise IsolationUnavailableError(
                    f"the worker could not be fenced in: {loaded.reply.reason}"
                )
            if isinstance(loaded.reply, protocol.Loaded):
                answer = self._launcher.run(session, secrets.token_hex(8))
                fields = self._judge(answer, "call")
                fields["has_main_function"] = self._has_main(loaded.reply)
                found = [*verdict.attempts_of(loaded.reply), *fields.get("network_attempts", [])]
                fields["network_attempts"] = found
            else:
                fields = self._judge(loaded, "import")
            self._close(session, fields, leaves=getattr(answer.reply, "fatal", False))
        return {**fields, **told, "warnings": self._warnings}

    def _has_main(self, loaded: protocol.Loaded) -> bool | None:
        return None if self._is_program else any(item.defined for item in loaded.functions)

    def _judge(self, answer: Answer, phase: Any) -> dict[str, Any]:
        what = "the program" if self._is_program else "main"
        fields = verdict.judge(answer, self._limits, phase=phase, function=what)
        for name in OF_A_FUNCTION:
            fields.pop(name, None)
        code = getattr(answer.reply, "exit_code", None)
        if code is not None:
            fields |= _left_with(code, what, phase)
        return fields

    def _close(self, session: Session, fields: dict[str, Any], *, leaves: bool) -> None:
        """End the worker; what it did after its answer is the script's, too.

        After a SystemExit the worker leaves by itself, with 0.
        """
        answered = session.alive
        ending = session.close()
        as_due = ending.cause == "closed" or (leaves and ending.exit_code == 0)
        if answered and not as_due:
            fields |= {
                "outcome": verdict.outcome_of(ending),
                "error_message": f"the script ended, and then: {ending.detail}"
                + verdict.how(ending),
                "exit_code": None if ending.signal is not None else ending.exit_code,
                "signal": verdict.signal_of(ending),
            }
        self._warn_of_leftovers(ending)

    def _warn_of_leftovers(self, ending: Ending) -> None:
        if ending.swept and ending.cause in ("closed", "death"):
            self._warnings.append(f"{ending.swept} processes that the script left were ended")
        if ending.left:
            self._warnings.append(f"{ending.left} processes of the script could not be ended")


def _left_with(code: int, what: str, phase: str) -> dict[str, Any]:
    """Judge a SystemExit as whoever started the script would: by its exit code."""
    if code == 0 and phase == "call":
        return {"outcome": Outcome.passed, "exit_code": 0, "error_message": None, "failure": None}
    where = "at import, before main could be called" if phase == "import" else f"in {what}"
    return {
        "outcome": Outcome.exited,
        "exit_code": code,
        "error_message": f"the script left with exit code {code} {where} (SystemExit)",
    }

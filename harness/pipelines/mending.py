"""What would mend an edge that failed: its data is changed, and given again to who refused it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.artifacts import formats, outputs
from harness.artifacts.workspace import RunDirectory
from harness.checks import script_test
from harness.errors import HarnessError
from harness.pipeline_results import AdapterProposal, NodeInput, ScriptTestResult
from harness.pipelines import adapters, requests
from harness.pipelines.nodes import HandlerRun, ScriptRun, Sent, Setting
from harness.pipelines.tables import Parcel
from harness.records import Outcome
from harness.results import FunctionTestResult, InferenceTestResult
from harness.runtime.script_launch import Parameters
from harness.script_spec import ScriptExecutionSpec

# A node that ended so has refused its data; one that hung or crashed has not said anything of it.
REFUSED = (Outcome.raised, Outcome.exited, Outcome.failed)
CHANGEABLE = ("csv", "tsv", "json", "jsonl")
MAX_FILES = 3
MAX_TRIES_SCRIPT = 40
MAX_TRIES_HANDLER = 200
TRY_TIMEOUT_S = 30.0
LOG_CHARS = 4000


def of_script(
    setting: Setting, run: ScriptRun, source: str, deadline: float
) -> AdapterProposal | None:
    """Look for a change to a file from one source with which a script passes, until a deadline."""
    for item in run.row.inputs:
        if item.source_node != source:
            continue
        files = [file for file in outputs.files(Path(item.path)) if _is_changeable(file)]
        for file in files[:MAX_FILES]:
            trial = _Trial(setting, run, item, file)
            found = adapters.find(
                Parcel(file.read_bytes(), formats.detect(file), file.name),
                trial.said(run.row.error_message, run.row.script),
                trial.attempt,
                content_types=(),
                max_tries=MAX_TRIES_SCRIPT,
                deadline=deadline,
            )
            if found is not None:
                return found
    return None


def _is_changeable(file: Path) -> bool:
    return file.stat().st_size <= adapters.MAX_BYTES and formats.detect(file) in CHANGEABLE


@dataclass(frozen=True)
class _Trial:
    """A script to be run again with one of its input files changed."""

    setting: Setting
    run: ScriptRun
    item: NodeInput
    file: Path

    def attempt(self, parcel: Parcel) -> str | None:
        """Say how the script refuses the changed file; None when it passes."""
        script = self._hurried()
        with RunDirectory(self.setting.workspace) as trial:
            path = self._changed(parcel, trial.path / "changed")
            paths = {**self.run.given.input_paths, self.item.input_name: str(path)}
            given = Parameters(
                paths,
                self.run.given.output_paths,
                self.run.given.environ_vars,
                self.run.given.job_args,
            )
            try:
                done = script_test.execute(script, self.run.file, given, trial.make("node"))
            except HarnessError as error:
                return str(error)
            result = done.result
            return None if result.success else self.said(result.error_message, result)

    def said(self, message: str | None, result: ScriptTestResult | None) -> str:
        log = result.log if result is not None else None
        return f"{message}\n{(log.head + log.tail)[-LOG_CHARS:] if log else ''}"

    def _hurried(self) -> ScriptExecutionSpec:
        script = self.setting.spec.script_specs[self.run.row.node]
        seconds = script.effective_limits.timeout_seconds or TRY_TIMEOUT_S
        limits = script.limits.model_copy(update={"timeout_seconds": min(seconds, TRY_TIMEOUT_S)})
        return script.model_copy(update={"limits": limits})

    def _changed(self, parcel: Parcel, folder: Path) -> Path:
        """Copy the input with the one file changed."""
        place = Path(self.item.path)
        if place.is_file():
            folder.mkdir()
            (folder / parcel.name).write_bytes(parcel.body)
            return folder / parcel.name
        for file in outputs.files(place):
            target = folder / file.relative_to(place)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file == self.file:
                target.with_name(parcel.name).write_bytes(parcel.body)
            else:
                shutil.copyfile(file, target)
        return folder


def of_handler(setting: Setting, run: HandlerRun, sent: Sent, issue: str) -> AdapterProposal | None:
    """Look for a change to the first request that a handler refused with which it takes it."""
    result = run.row.handler
    assert result is not None
    bad = {row.sample_name for row in rows_of(result, sent) if row.outcome in REFUSED}
    pairs = zip(sent.samples, sent.found.candidates, strict=False)
    refused = [pair for pair in pairs if pair[0].sample_name in bad]
    if not result.model_fn_result.success or not refused:
        return None
    sample, candidate = refused[0]
    with requests.trials(run.spec, setting.workspace) as attempt:
        return adapters.find(
            candidate.parcel(sample.content_type or ""),
            issue,
            attempt,
            content_types=requests.types_for_adapters(run.spec),
            max_tries=MAX_TRIES_HANDLER,
            deadline=adapters.in_time(),
        )


def rows_of(result: InferenceTestResult, sent: Sent) -> list[FunctionTestResult]:
    """List the calls that were made for what an edge sent."""
    names = {sample.sample_name for sample in sent.samples}
    rows = (
        *result.input_fn_results,
        *result.predict_fn_results,
        *result.transform_fn_results,
    )
    return [row for row in rows if row.sample_name in names]

"""Samples for a handler: those of the design, and those that a package's own columns give.

Which formats a handler reads is found by trying: each valid body is sent to the real handler in a
worker, and a format is kept when the handler answers it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.artifacts.workspace import RunDirectory
from harness.checks import handler_test
from harness.checks import samples as given_samples
from harness.checks.flow import describe
from harness.checks.ledger import Listener
from harness.checks.open_handler import opened
from harness.environments.tool import Note
from harness.errors import SpecError
from harness.generation import columns as columns_of
from harness.generation import package_columns, samples
from harness.generation.bodies import FORMS, Form
from harness.generation.columns import Columns
from harness.records import Outcome
from harness.results import EndToEndTestResult, FunctionTestResult
from harness.specs import InferenceHandlerSpec, InferenceTestSample
from harness.summaries import FailureSummary

MAX_FEATURES = 10_000
MOST_CHARS = 300  # of why a handler is not loaded


@dataclass(frozen=True)
class Generated:
    """Samples for one handler, the columns they are made of, and each format with its fate."""

    samples: tuple[InferenceTestSample, ...]
    columns: Columns
    tried: tuple[tuple[str, str], ...]


class InferenceTestDataGenerator:
    """Makes samples for handlers of tables."""

    @staticmethod
    def generate_json_samples(feature_count: int = 5) -> list[InferenceTestSample]:
        """Make the design's JSON samples, their features called feature_0, feature_1 and so on.

        One record, {"data": [[...]]}, a list of two records, and JSON that is none. Raises
        SpecError unless feature_count is from 1 to 10,000.
        """
        return samples.seed_json(_checked(feature_count))

    @staticmethod
    def generate_csv_samples(feature_count: int = 5) -> list[InferenceTestSample]:
        """Make the design's CSV samples: one row, three rows, and a row of two cells too many.

        Raises SpecError unless feature_count is from 1 to 10,000.
        """
        return samples.seed_csv(_checked(feature_count))

    @staticmethod
    def generate_for_handler(
        handler_spec: InferenceHandlerSpec,
        *,
        forms: Sequence[str] | None = None,
        feature_names: Sequence[str] | None = None,
        seed: int = 0,
        workspace: Path | None = None,
        on_row: Listener | None = None,
        on_note: Note = lambda text: None,
    ) -> Generated:
        """Make valid, edge and error samples for a handler, from what its package says.

        The columns come from `feature_names`, else from feature_columns.txt,
        hyperparameters.json, an MLflow signature, the model's own feature names, or the samples of
        the spec. A format (one of `forms`, by default all) is kept when the handler, run in a
        worker, answers its valid samples. The same seed gives the same samples. `on_row` and
        `on_note` are told what those of `RuntimeTester.test_inference_handler` are.

        Raises: SpecError where the handler cannot be loaded, nothing names the columns or no format
        is answered, and what `RuntimeTester.open_handler` raises.
        """
        chosen = _forms(forms)
        columns = (
            columns_of.named(list(feature_names), "feature_names")
            if feature_names
            else _columns(handler_spec, workspace, on_row, on_note)
        )
        made, unmade = _valid(columns, chosen, seed)
        tried = _tried(handler_spec, made, workspace, on_row, on_note) | unmade
        kept = [form for form in chosen if tried[form.name] == ANSWERED]
        if not kept:
            told = "; ".join(f"{name}: {fate}" for name, fate in tried.items())
            raise SpecError(f"the handler answers none of the formats tried ({told})")
        found = [sample for form in kept for sample in _of_form(columns, form, made, seed)]
        return Generated((*found, samples.unsupported()), columns, tuple(tried.items()))


def _checked(feature_count: int) -> int:
    if not 1 <= feature_count <= MAX_FEATURES:
        raise SpecError(f"feature_count must be from 1 to {MAX_FEATURES}, got {feature_count}")
    return feature_count


def _forms(names: Sequence[str] | None) -> list[Form]:
    unknown = [name for name in names or () if name not in FORMS]
    if unknown:
        raise SpecError(f"there is no form {unknown[0]!r}; there are {', '.join(FORMS)}")
    return [FORMS[name] for name in names] if names else list(FORMS.values())


def _columns(
    spec: InferenceHandlerSpec, workspace: Path | None, on_row: Listener | None, on_note: Note
) -> Columns:
    with RunDirectory(workspace) as run:
        given = given_samples.collect(spec, run).chosen
        with opened(spec, run, on_row, on_note) as live:
            found = package_columns.of_package(live.package) or _of_model(live.model_fn())
        found = found or next(filter(None, map(package_columns.of_sample, given)), None)
    if found is None:
        raise SpecError(
            "nothing tells what columns the handler reads: put feature_columns.txt beside the "
            "model, give a sample, or name them (--columns age,income)"
        )
    return found


def _of_model(row: FunctionTestResult) -> Columns | None:
    """Tell the columns that a fitted model remembers. Raises SpecError where none is loaded."""
    _need_loaded(row)
    model = row.output_data
    if model is None or model.shape:
        return None
    source = f"the {model.type} that model_fn loads"
    if model.columns:
        return columns_of.named(model.columns, source)
    return columns_of.unnamed(model.features, source) if model.features else None


def _need_loaded(row: FunctionTestResult) -> None:
    """Refuse a handler that cannot be loaded, from the row of its model_fn."""
    if row.success or row.outcome is Outcome.skipped:
        return
    why = " ".join((row.error_message or describe(row)).split())[:MOST_CHARS]
    if row.failure is not None:
        what = "the import of the handler" if row.phase == "import" else row.function_name
        why = f"{what} raised {why}{_place(row.failure)}"
        if row.failure.missing_variable is not None:
            why += f"; give the variable with --env {row.failure.missing_variable}=..."
    raise SpecError(f"{why}; no samples can be tried on a handler that is not loaded")


def _place(failure: FailureSummary) -> str:
    """Say in which line of the handler's own code it was raised."""
    own = next((frame for frame in reversed(failure.frames) if frame.in_handler), None)
    return f" ({Path(own.file).name}:{own.line})" if own is not None else ""


_Made = dict[str, list[InferenceTestSample]]


def _valid(columns: Columns, forms: Sequence[Form], seed: int) -> tuple[_Made, dict[str, str]]:
    """Make the valid samples of each form, and say of each other why it has none."""
    made: _Made = {}
    unmade = {}
    for form in forms:
        try:
            made[form.name] = samples.valid(columns, form, seed)
        except SpecError as error:
            unmade[form.name] = str(error)
    return made, unmade


def _tried(
    spec: InferenceHandlerSpec,
    made: _Made,
    workspace: Path | None,
    on_row: Listener | None,
    on_note: Note,
) -> dict[str, str]:
    """Send the valid samples to the real handler; say of each form what came of it.

    Raises SpecError for a handler that cannot be loaded.
    """
    asked = spec.model_copy(
        update={
            "payload_samples_path": None,
            "data_paths": {},
            "test_data_samples": tuple(sample for group in made.values() for sample in group),
        }
    )
    result = handler_test.run(asked, workspace, on_row, on_note)
    _need_loaded(result.model_fn_result)
    return {name: _fate(group, result.end_to_end_results) for name, group in made.items()}


def _fate(group: list[InferenceTestSample], ends: Sequence[EndToEndTestResult]) -> str:
    names = {sample.sample_name for sample in group}
    rows = [row for row in ends if row.sample_name in names]
    if all(any(row.success for row in rows if row.sample_name == name) for name in names):
        return ANSWERED
    failed = next(row for row in rows if not row.success)
    told = failed.error_message or failed.skip_reason or failed.outcome.value
    return f"{failed.failed_function or 'end to end'}: {told.splitlines()[0][:200]}"


def _of_form(columns: Columns, form: Form, made: _Made, seed: int) -> list[InferenceTestSample]:
    return [
        *made[form.name],
        *samples.edges(columns, form, seed),
        *samples.errors(columns, form, seed),
    ]


ANSWERED = "answered"

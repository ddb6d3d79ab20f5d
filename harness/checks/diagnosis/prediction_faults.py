"""Data that does not suit the model, and functions that do not suit one another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.checks.diagnosis.case import Case, Link, Row, chain, link
from harness.summaries import Diagnosis, FailureSummary, ValueSummary

# Their libraries' own words, for which there is no class of its own.
_NAN = re.compile(r"contains NaN|Input contains NaN|missing values|cannot convert float NaN")
_TEXT = re.compile(
    r"could not convert string to float|data must be int, float, bool or category"
    r"|dtype='numeric' is not compatible|can't convert np.ndarray of type numpy.(object_|str_)"
)
_NO_ATTRIBUTE = re.compile(r"'([\w.]+)' object (?:has no attribute '\w+'|is not callable)")
_SHOWN = 5


def find(case: Case) -> Iterator[Diagnosis]:
    """Find them in what predict_fn raised, and in what a function did with the one before it."""
    told: set[str | None] = set()
    for row, failure in case.failures("predict_fn"):
        for code, message in _of_prediction(case, row, failure):
            told.add(row.sample_name)
            yield Diagnosis(
                code=code, message=message, function="predict_fn", sample_name=row.sample_name
            )
    failed = {(row.function_name, row.sample_name) for row, _ in case.failures()}
    for pair in case.result.compatibility_results:
        expected = (pair.destination, pair.sample_name) not in failed
        if pair.expected_type is not None and pair.sample_name not in told and not expected:
            wanted, _, evidence = pair.expected_type.partition(": ")
            message = (
                f"{pair.source} gives a {pair.source_type}, and {pair.destination} wants a "
                f"{wanted}: {evidence}"
            )
            yield Diagnosis(
                code="HP506",
                message=message,
                function=pair.destination,
                sample_name=pair.sample_name,
            )


def _of_prediction(case: Case, row: Row, failure: FailureSummary) -> Iterator[tuple[str, str]]:
    given = case.row_of("input_fn", row)
    data = given.output_data if given else None
    model = case.result.model_fn_result.output_data
    said = failure.message[:160]
    if message := _of_columns(data, model, failure) or _of_key(data, failure):
        yield message
    elif (value := link(failure, "ValueError")) and _NAN.search(value.message):
        yield "HP504", f"the data holds missing values: {said}"
    elif (value := link(failure, "ValueError", "TypeError")) and _TEXT.search(value.message):
        yield "HP505", f"the data holds text: {said}"
    elif model is not None and any(_is_of(one, model, data) for one in chain(failure)):
        yield "HP507", f"model_fn returned a {model.type}{_held(model)}, and predict_fn: {said}"


def _of_columns(
    data: ValueSummary | None, model: ValueSummary | None, failure: FailureSummary
) -> tuple[str, str] | None:
    if data is None or model is None or not data.columns or not model.columns:
        return None
    if data.columns == model.columns or not link(failure, "ValueError", "KeyError"):
        return None
    missing = [name for name in model.columns if name not in data.columns]
    odd = [name for name in data.columns if name not in model.columns]
    if missing or odd:
        parts = [f"missing {_some(missing)}"] * bool(missing) + [f"new {_some(odd)}"] * bool(odd)
        return "HP502", f"of the columns that the model was fitted on: {'; '.join(parts)}"
    wrong = next(
        name for name, other in zip(data.columns, model.columns, strict=False) if name != other
    )
    return "HP502", f"the columns are in another order than at training, from {wrong!r} on"


def _of_key(data: ValueSummary | None, failure: FailureSummary) -> tuple[str, str] | None:
    found = link(failure, "KeyError")
    if found is None or data is None or not {"DataFrame", "dict"}.intersection(data.kinds):
        return None  # the model may be what was looked into
    there = f"the columns {_some(data.columns)}" if data.columns else f"a {data.type}"
    return "HP503", f"predict_fn looks for {found.message[:120]}; input_fn gave {there}"


def _is_of(one: Link, model: ValueSummary, data: ValueSummary | None) -> bool:
    """Say whether an exception is about the model's class, and not about that of the data."""
    match = _NO_ATTRIBUTE.search(one.message) if one.is_a("AttributeError", "TypeError") else None
    name = match[1].rpartition(".")[2] if match else None
    return name == model.type and (data is None or data.type != name)


def _held(model: ValueSummary) -> str:
    return f" ({model.preview[:100]})" if model.type == "dict" and model.preview else ""


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown

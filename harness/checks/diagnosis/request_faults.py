"""Mistakes in reading the request, and in giving the model what it does not take."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.checks.diagnosis.body_faults import READERS, fault
from harness.checks.diagnosis.case import FLASK, FORM, TEXT_TYPES, Case, Row, essence, is_default
from harness.summaries import Diagnosis, FailureSummary, ValueSummary

_UNSUPPORTED = "UnsupportedFormatError"
_FIELD = re.compile(rb"(?:^|&)body(?:=|&|$)")


def find(case: Case) -> Iterator[Diagnosis]:
    """Find them in what input_fn and predict_fn raised."""
    for row, failure in case.failures():
        if row.function_name in READERS and not fault(case, row, failure):
            yield from _of_reading(case, row, failure)
        if row.function_name == "predict_fn":
            yield from _of_shape(case, row, failure)


def _of_reading(case: Case, row: Row, failure: FailureSummary) -> Iterator[Diagnosis]:
    content_type = row.content_type
    text = content_type in TEXT_TYPES
    said = f"{failure.type}: {failure.message[:200]}"
    place = {"function": row.function_name, "sample_name": row.sample_name}
    if is_default(row) and failure.type == _UNSUPPORTED:
        told = f"no input_fn is defined, and the default does not read {content_type}"
        yield Diagnosis(code="HP406", message=told, **place)
    elif essence(content_type) in TEXT_TYPES and not text and not is_default(row):
        told = f"{row.function_name} refuses {content_type!r}, whose body is not decoded: {said}"
        yield Diagnosis(code="HP402", message=told, **place)
    elif essence(content_type) == FORM and _has_no_body(case, row):
        told = f"{row.function_name} got None for the body of a form: {said}"
        yield Diagnosis(code="HP405", message=told, **place)
    elif failure.type in ("TypeError", "AttributeError") and not is_default(row):
        if not text and ("bytearray" in failure.message or "bytes" in failure.message):
            told = f"a body of {content_type} arrives as bytes: {said}"
            yield Diagnosis(code="HP403", message=told, **place)
        elif text and "str" in failure.message and ("decode" in said or "bytes" in said):
            told = f"a body of {content_type} arrives as str: {said}"
            yield Diagnosis(code="HP404", message=told, **place)


def _has_no_body(case: Case, row: Row) -> bool:
    """Say whether a server took a form apart, and found no field that is called body."""
    return case.spec.stack not in FLASK and not _FIELD.search(case.body(row) or b"")


def _of_shape(case: Case, row: Row, failure: FailureSummary) -> Iterator[Diagnosis]:
    given = case.row_of("input_fn", row)
    data = given.output_data if given else None
    if data is None or data.shape is None or failure.type not in ("ValueError", "IndexError"):
        return
    model = case.result.model_fn_result.output_data
    shape = f"{data.type} of shape {tuple(data.shape)}"
    if len(data.shape) == 1 and data.dtype not in (None, "object"):
        told = f"input_fn gave a {shape}, one row without its dimension: {failure.message[:160]}"
        yield Diagnosis(
            code="HP401", message=told, function="input_fn", sample_name=row.sample_name
        )
    elif _width(data) is not None and model and model.features not in (None, _width(data)):
        told = f"input_fn gave a {shape}; the model was fitted on {model.features} features"
        yield Diagnosis(
            code="HP501", message=told, function="predict_fn", sample_name=row.sample_name
        )


def _width(data: ValueSummary) -> int | None:
    return data.shape[1] if data.shape is not None and len(data.shape) == 2 else None

"""Diagnoses 401 and 402: what changed requests have shown, with the first sample that shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.checks.diagnosis.case import Case
from harness.records import Outcome
from harness.results import VariantTestResult
from harness.summaries import Diagnosis

SINGLE_ROW, CHARSET = "HP401", "HP402"


def find(case: Case) -> Iterator[Diagnosis]:
    """Give what the changed requests prove, each code once."""
    rows = case.result.variant_results
    found: dict[str, Diagnosis] = {}
    for diagnosis in (*_single_row(rows), *_charset(rows)):
        found.setdefault(diagnosis.code, diagnosis)
    yield from found.values()


def _single_row(rows: Sequence[VariantTestResult]) -> Iterator[Diagnosis]:
    """One dimension is lost with the second row, and the request fails or predicts by column."""
    for one, two in _pairs(rows, "one row", "two rows"):
        shape, other = one.processed_input_shape, two.processed_input_shape
        if (
            not two.success
            or one.outcome is Outcome.skipped
            or shape is None
            or other is None
            or len(shape) != len(other) - 1
        ):
            continue
        harm = _harm(one, two)
        if harm is not None:
            yield Diagnosis(
                code=SINGLE_ROW,
                message=f"input_fn gives shape {_shown(shape)} for one row and {_shown(other)} for "
                f"two rows; with one row {harm}",
                function="input_fn",
                sample_name=one.sample_name,
            )


def _harm(one: VariantTestResult, two: VariantTestResult) -> str | None:
    if not one.success:
        return _failure(one)
    if not one.prediction_shape or not two.prediction_shape:
        return None
    count = one.prediction_shape[0]
    by_column = two.prediction_shape[0] == 2 and count != 1
    return f"predict_fn gives {count} predictions" if by_column else None


def _charset(rows: Sequence[VariantTestResult]) -> Iterator[Diagnosis]:
    """The same request is answered without the charset, and not with it."""
    for given, suffixed in _pairs(rows, "as given", "with charset"):
        if given.success and suffixed.outcome not in (Outcome.passed, Outcome.skipped):
            yield Diagnosis(
                code=CHARSET,
                message=f"the answer to {given.content_type!r} is {given.response.status}; with "
                f"{suffixed.content_type!r} {_failure(suffixed)}",
                function=suffixed.failed_function,
                sample_name=given.sample_name,
            )


def _pairs(
    rows: Sequence[VariantTestResult], first: str, second: str
) -> Iterator[tuple[VariantTestResult, VariantTestResult]]:
    """Pair the requests that differ in one part only: its variant `first`, and `second`."""
    found: dict[tuple[str, str | None, str], VariantTestResult] = {}
    for row in rows:
        if row.body_variant == "as given" or row.content_type_variant == "as given":
            whole = row.body_variant == "as given"
            kind: str = row.content_type_variant if whole else row.body_variant
            found[row.sample_name, row.accept_type, kind] = row
    for (sample, accept, kind), row in found.items():
        other = found.get((sample, accept, second))
        if kind == first and other is not None:
            yield row, other


def _failure(row: VariantTestResult) -> str:
    outcome = row.outcome.value.replace("_", " ")
    told = (row.error_message or row.skip_reason or "").partition("\n")[0][:200]
    return f"{row.failed_function or 'the request'} {outcome} ({told})"


def _shown(shape: Sequence[int]) -> str:
    return str(tuple(shape))

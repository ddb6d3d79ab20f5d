"""Samples made of columns: valid ones, edge cases, and requests that a handler shall refuse.

A valid sample shall be answered. An edge case may be answered or refused, but never hang, crash or
be answered with what breaks the sample's other expectations (`should_succeed` "either"). An error
sample shall be refused by one of its `expected_stages`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from harness.generation.bodies import CSV, JSON, JSON_LINES, Form
from harness.generation.columns import Columns, Row
from harness.specs import InferenceTestSample, Stage

MANY_ROWS = 1000
READING: tuple[Stage, ...] = ("input_fn", "transform_fn")
BEFORE_THE_ANSWER: tuple[Stage, ...] = ("input_fn", "predict_fn", "transform_fn")


def valid(columns: Columns, form: Form, seed: int = 0) -> list[InferenceTestSample]:
    """Make one row and three rows."""
    chance = random.Random(seed)
    return [
        _sample(form, f"{form.name}_one_row", form.write(columns, columns.rows(1, chance))),
        _sample(form, f"{form.name}_three_rows", form.write(columns, columns.rows(3, chance))),
    ]


def edges(columns: Columns, form: Form, seed: int = 0) -> list[InferenceTestSample]:
    """Make the cases that handlers forget: sizes, missing values, encodings, line ends, headers."""
    return [
        _sample(form, f"{form.name}_{name}", body, should_succeed="either", content_type=kind)
        for name, body, kind in _edges(columns, form, random.Random(seed))
    ]


def errors(columns: Columns, form: Form, seed: int = 0) -> list[InferenceTestSample]:
    """Make what must not be answered: malformed, of another width, of another type."""
    return [
        _sample(form, f"{form.name}_{name}", body, should_succeed=False, expected_stages=stages)
        for name, body, stages in _errors(columns, form, random.Random(seed))
    ]


def unsupported() -> InferenceTestSample:
    """Make a request of a content type that no handler of tables reads."""
    return InferenceTestSample(
        sample_name="unsupported_content_type",
        content_type="application/xml",
        request_body="<rows/>",
        should_succeed=False,
        expected_stages=READING,
    )


def _sample(form: Form, name: str, body: bytes, **fields: object) -> InferenceTestSample:
    fields = {"content_type": form.content_type} | {
        key: value for key, value in fields.items() if key != "content_type" or value is not None
    }
    return InferenceTestSample(sample_name=name, request_body=body, **fields)  # type: ignore[arg-type]


def _edges(
    columns: Columns, form: Form, chance: random.Random
) -> Iterator[tuple[str, bytes, str | None]]:
    rows = columns.rows(2, chance)
    plain = form.write(columns, rows)
    yield "empty_body", b"", None
    yield "many_rows", form.write(columns, columns.rows(MANY_ROWS, chance)), None
    numbers = [index for index, cell in enumerate(rows[0]) if not isinstance(cell, str)]
    if numbers:
        yield "huge_number", form.write(columns, _with(rows, numbers[0], 1e308)), None
    if form.content_type in (CSV, JSON, JSON_LINES):
        yield "charset", plain, f"{form.content_type}; charset=utf-8"
        yield "byte_order_mark", b"\xef\xbb\xbf" + plain, None
        yield "unicode", form.write(columns, _with(rows, 0, "naïve 東京 🚀")), None
        yield "line_feeds_as_windows_writes_them", plain.replace(b"\n", b"\r\n"), None
    if form.content_type == CSV:
        yield "missing_value", form.write(columns, _with(rows, 0, "")), None
        yield "no_last_line_feed", plain.rstrip(b"\n"), None
        yield "blank_last_line", plain + b"\n", None
        header = ",".join(columns.names).encode() + b"\n"
        without = plain.partition(b"\n")[2] if plain.startswith(header) else header + plain
        yield "header_the_other_way", without, None
    if form.content_type == JSON:
        missing = [[None, *row[1:]] for row in rows]
        yield "missing_value", form.write(columns, missing), None  # type: ignore[arg-type]
        yield (
            "no_rows",
            form.write(columns, rows[:1])
            if form.name == "json_record"
            else (form.write(columns, [])),
            None,
        )
        yield "not_a_number", form.write(columns, _with(rows, 0, float("nan"))), None


def _errors(
    columns: Columns, form: Form, chance: random.Random
) -> Iterator[tuple[str, bytes, tuple[Stage, ...]]]:
    rows = columns.rows(2, chance)
    plain = form.write(columns, rows)
    if form.content_type in (JSON, JSON_LINES):
        yield "malformed", plain.rstrip()[:-1] + b", oops", READING
    wider = Columns((*columns.columns, *columns.columns[:1] * 2), columns.source)
    if "record" not in form.name and form.content_type != JSON_LINES:
        yield (
            "two_columns_more",
            form.write(wider, [[*row, 1.0, 1.0] for row in rows]),
            (BEFORE_THE_ANSWER),
        )
    elif columns.width > 1:
        fewer = Columns(columns.columns[1:], columns.source)
        yield "a_column_less", form.write(fewer, [row[1:] for row in rows]), BEFORE_THE_ANSWER
    if form.content_type in (CSV, JSON, JSON_LINES) and columns.columns[0].kind != "text":
        yield "text_for_a_number", form.write(columns, _with(rows, 0, "oops")), BEFORE_THE_ANSWER
    if form.content_type not in (CSV, JSON, JSON_LINES):
        yield "cut_off", plain[: len(plain) // 2], BEFORE_THE_ANSWER


def _with(rows: list[Row], index: int, cell: float | str) -> list[Row]:
    return [[*row[:index], cell, *row[index + 1 :]] for row in rows]


def seed_json(feature_count: int) -> list[InferenceTestSample]:
    """Make the JSON samples of the design: one record, an array, two records, malformed JSON."""
    names = [f"feature_{index}" for index in range(feature_count)]
    first = {name: float(index) for index, name in enumerate(names)}
    second = {name: float(index + 1) for index, name in enumerate(names)}
    bodies = {
        "json_single_record": json.dumps(first),
        "json_array_format": json.dumps({"data": [list(first.values())]}),
        "json_multiple_records": json.dumps([first, second]),
    }
    return [
        *(_seed(name, JSON, body) for name, body in bodies.items()),
        _seed("json_malformed", JSON, '{"invalid": json, "missing": quote}', ".*JSON.*"),
    ]


def seed_csv(feature_count: int) -> list[InferenceTestSample]:
    """Make the CSV samples of the design: one row, three rows, two cells too many."""

    def row(count: int, first: int = 0) -> str:
        return ",".join(str(float(first + index)) for index in range(count))

    return [
        _seed("csv_single_row", CSV, row(feature_count)),
        _seed("csv_multiple_rows", CSV, "\n".join(row(feature_count, j) for j in range(3))),
        _seed("csv_wrong_feature_count", CSV, row(feature_count + 2), ".*feature.*count.*"),
    ]


def _seed(
    name: str, content_type: str, body: str, pattern: str | None = None
) -> InferenceTestSample:
    return InferenceTestSample(
        sample_name=name,
        content_type=content_type,
        request_body=body,
        should_succeed=pattern is None,
        error_message_pattern=pattern,
    )

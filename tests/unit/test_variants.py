"""Which changed requests are made of a sample."""

from __future__ import annotations

import pytest

from harness.checks.variants import UNKNOWN, accepts, content_types, with_rows

CHARSET = "text/csv; charset=utf-8"
BOUNDARY = 'multipart/form-data; boundary="xY"'


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("text/csv", {"as given": "text/csv", "with charset": CHARSET, "upper case": "TEXT/CSV",
                      "absent": None, "unknown": UNKNOWN}),
        (CHARSET, {"as given": CHARSET, "upper case": "TEXT/CSV; charset=utf-8", "absent": None,
                   "unknown": UNKNOWN}),
        (BOUNDARY, {"as given": BOUNDARY, "with charset": BOUNDARY + "; charset=utf-8",
                    "upper case": 'MULTIPART/FORM-DATA; boundary="xY"', "absent": None,
                    "unknown": UNKNOWN}),
        (None, {"as given": None, "unknown": UNKNOWN}),
        (UNKNOWN, {"as given": UNKNOWN, "with charset": UNKNOWN + "; charset=utf-8",
                   "upper case": UNKNOWN.upper(), "absent": None}),
    ],
)  # fmt: skip
def test_content_types_are_sent_once_each(
    given: str | None, expected: dict[str, str | None]
) -> None:
    assert content_types(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("text/csv",), ["text/csv", None, "*/*", "text/csv, application/json", "text/csv;q=0.9"]),
        (("a/b", "c/d", "e/f"), ["a/b", "c/d", "e/f", None, "*/*", "a/b, c/d", "a/b;q=0.9"]),
        ((None, "*/*"),
         [None, "*/*", "application/json, text/csv", "application/json;q=0.9"]),
    ],
)  # fmt: skip
def test_accept_types_are_asked_for_once_each(
    given: tuple[str | None, ...], expected: list[str | None]
) -> None:
    assert [value for _, value in accepts(given)] == expected


@pytest.mark.parametrize(
    ("body", "one", "two"),
    [
        (b"1,2\n3,4\n5,6\n", b"1,2\n", b"1,2\n3,4\n"),
        (b"1,2\n3,4\n5,6", b"1,2", b"1,2\n3,4"),
        (b"a,b\r\n1,2\r\n3,4\r\n", b"a,b\r\n1,2\r\n", b"a,b\r\n1,2\r\n3,4\r\n"),
        (b"a,b\n1,2\n", b"a,b\n1,2\n", b"a,b\n1,2\n1,2\n"),
        (b"1,2", b"1,2", b"1,2\n1,2"),
        (b"red,big\nblue,small\n", b"red,big\n", b"red,big\nblue,small\n"),
        (b'"a\nb",1\n', None, None),
        (b"", None, None),
        (b"\n", None, None),
    ],
)
def test_rows_are_taken_with_their_header(
    body: bytes, one: bytes | None, two: bytes | None
) -> None:
    assert with_rows(body, 1) == one
    assert with_rows(body, 2) == two

"""Where bodies are wrong, by our own reading; what functions name; what is secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import accepted, excerpts
from harness.checks.excerpts import Spot
from harness.checks.redaction import Redaction
from tests.unit import made_up


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]", None),
        ("[NaN]", None),
        ("", "the body is empty"),
        ('{"a": 1 2}', "Expecting ',' delimiter (line 1, column 9)"),
        ('{\n"a": b}', "Expecting value (line 2, column 6)"),
        ("\ufeff[1]", "Unexpected UTF-8 BOM (decode using utf-8-sig) (line 1, column 1)"),
        ("[1]\n[2]", "a second document begins, as in JSON Lines (line 2, column 1)"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
)
def test_json(text: str, told: str | None) -> None:
    spot = excerpts.of_json(text)
    assert (spot is None) is (told is None)
    assert told is None or str(spot).endswith(told)


@pytest.mark.parametrize(
    ("text", "said", "told"),
    [
        ("1,2\n3,4\n", "x", None),
        (" \n", "x", "the body is empty"),
        ("1,2\n3\n", "x", "line 2 has 1 cells, and line 1 has 2 (line 2, column 1)"),
        ('1,"2\n3,4\n', "x", "a quote is opened and not closed (line 1, column 3)"),
        ("1,2\n3,x y\n", "bad 'x y'", "'x y' is no number (line 2, column 3)"),
        ("a,b\n3,4\n", "bad 'b'", "the first line is a header, and was read as data "
         "(line 1, column 3)"),
        ("1,2\n", "bad '2'", None),
    ],
)  # fmt: skip
def test_csv(text: str, said: str, told: str | None) -> None:
    spot = excerpts.of_csv(text, said)
    assert (None if spot is None else str(spot)) == told


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("text/csv", b"", None),
        ("application/x-parquet", b"PAR1....PAR1", None),
        ("application/x-parquet", b"", "the body is empty"),
        ("application/x-parquet", b"PAR1....", "it does not end with b'PAR1'"),
        ("application/x-npy", b"PAR1....", "it begins with b'PAR1....' (parquet)"),
        ("application/x-npy", b"\x93NUMPY\x01", None),
    ],
)
def test_binary(kind: str, body: bytes, told: str | None) -> None:
    spot = excerpts.of_binary(kind, body)
    assert (spot is None) is (told is None)
    assert told is None or str(spot).startswith(told)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"caf\xc3\xa9", None),
        (b"a\ncaf\xe9", "byte 0xe9 at offset 5 is no UTF-8 (line 2, column 4)"),
        ("a".encode("utf-16"), "the body is UTF-16: it begins with a byte order mark"),
    ],
)
def test_text(body: bytes, told: str | None) -> None:
    spot = excerpts.of_text(body)
    assert (None if spot is None else str(spot)) == told


@given(st.text(max_size=300), st.integers(0, 4), st.integers(1, 300))
def test_caret_is_below_the_place(text: str, line: int, column: int) -> None:
    lines = text.split("\n")
    shown = excerpts.excerpt(text, Spot("x", line, column))
    if not 0 < line <= len(lines):
        assert shown is None
        return
    assert shown is not None
    above, below = shown.split("\n")
    assert len(above) <= 80
    assert below.strip() == "^"
    if column <= len(lines[line - 1]) and lines[line - 1][column - 1].isprintable():
        assert above[len(below) - 1] == lines[line - 1][column - 1]


def test_media_types_that_functions_name() -> None:
    source = '''
"""Also application/pdf."""
JSON, TYPES = "application/json", {"text/csv"}
PARQUET = "application/x-parquet"
def input_fn(body, kind):
    if kind == PARQUET: return read(body, kind)
    raise ValueError("send application/xml")
def read(body, kind):
    return kind.startswith("Text/CSV; header=present") or read(body, kind)
def output_fn(prediction, accept):
    return prediction, "image/png"
'''
    assert accepted.of_source(source) == {
        "input_fn": ("application/x-parquet", "text/csv"),
        "output_fn": ("image/png",),
    }


def test_secrets_are_put_out_of_records() -> None:
    redaction = Redaction(
        {
            "AWS_SECRET_ACCESS_KEY": "abcdefghij",
            "HF_TOKEN": "abcdef",
            "PIN_TOKEN": "12",
            "URL": "https://u:passphrase1@h/",
            "MODE": "passing-by",
        }
    )
    row = made_up.row(
        "predict_fn", "raised", error_message="abcdefghij abcdef 12 passphrase1 passing-by"
    )
    told = redaction.of(row).error_message
    assert told == "<AWS_SECRET_ACCESS_KEY> <HF_TOKEN> 12 <URL> passing-by"
    assert Redaction({"MODE": "passing-by"}).of(row) is row

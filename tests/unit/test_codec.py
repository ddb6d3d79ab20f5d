"""worker.codec does with `_json` alone what the json package does, word for word."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker import codec

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates too
data = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5),
    max_leaves=20,
)

LINES = {
    "NaN": b"[NaN, Infinity, -Infinity]",
    "1e999": b"[1e999, -1e999]",
    "duplicate keys": b'{"a": 1, "a": 2}',
    "lone surrogate": b'"\\ud800"',
    "surrogate pair": b'"\\ud83d\\ude00"',
    "U+2028": '"\u2028"'.encode(),
    "NUL": b'"\\u0000"',
    "white space around": b' \t{"a": [1 , 2]} \r',
    "depth 500": b"[" * 500 + b"]" * 500,
    "4000 digits": b"9" * 4000,
}
BROKEN = {
    "nothing": b"",
    "blank": b"  ",
    "half": b'{"a": [1',
    "more behind it": b"{} {}",
    "white space that is none of JSON's": b"0\x0b",
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "invalid UTF-8": b'"\xff"',
    "raw control character": b'"\x01"',
    "trailing comma": b"[1,]",
    "a bare word": b"nul",
    "a number of Python": b"0x1",
    "5000 digits": b"9" * 5000,
}


@given(data)
@example({"": [True, 1, 1.0, -0.0, 1e308, "\ud800\u2028\0"]})
def test_encode_writes_what_json_writes(value: Any) -> None:
    assert codec.encode(value) == one_line(value)
    assert b"\n" not in codec.encode(value)[:-1]


@given(data)
def test_decode_reads_what_json_reads(value: Any) -> None:
    line = one_line(value)
    assert codec.decode(line) == json.loads(line)
    assert same_types(codec.decode(line), value)


@given(st.binary(max_size=50) | st.text('[]{}",:0123456789.eE+-nulltrfaseNI \\', max_size=50))
def test_decode_refuses_what_json_refuses(line: bytes | str) -> None:
    line = line.encode() if isinstance(line, str) else line
    assert outcome(codec.decode, line) == outcome(lambda given: json.loads(given.decode()), line)


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_decode_reads_odd_json_as_json_does(line: bytes) -> None:
    assert outcome(codec.decode, line) == outcome(json.loads, line)


@pytest.mark.parametrize("line", BROKEN.values(), ids=BROKEN)
def test_decode_raises_value_error_for_what_is_no_json(line: bytes) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - which words, json decides
        codec.decode(line)
    assert outcome(lambda given: json.loads(given.decode()), line)[0] is type(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {"a": [math.nan]}], ids=str)
def test_encode_refuses_numbers_that_json_lacks(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        codec.encode(value)


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), {"a": [b""]}, {(1,): 2}])
def test_encode_refuses_what_is_no_json(value: Any) -> None:
    with pytest.raises(TypeError):
        codec.encode(value)


def test_encode_ends_on_a_value_that_holds_itself() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises((RecursionError, ValueError)):
        codec.encode(value)


def test_codec_does_the_same_where_there_are_no_accelerators() -> None:
    """As under another Python: without `_json`, the json package does it all."""
    script = """
import sys
sys.modules["_json"] = None
sys.path.insert(0, sys.argv[1])
from worker import codec
assert codec._fast is None
value = {"a": [1, 2.5, None, True, "\\u2028\\ud800"]}
line = codec.encode(value)
assert codec.decode(line) == value
sys.stdout.buffer.write(line)
for call, bad in ((codec.encode, float("nan")), (codec.decode, b"{")):
    try:
        call(bad)
    except ValueError:
        continue
    raise SystemExit("accepted")
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(Path(codec.__file__).parents[1])],
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout == one_line({"a": [1, 2.5, None, True, "\u2028\ud800"]})


def one_line(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def outcome(call: Any, line: bytes) -> tuple[type, str]:
    """Give what a call does: its value's repr (NaN is not equal to itself), or its exception."""
    try:
        value = call(line)
    except Exception as error:
        return type(error), str(error)
    return type(value), repr(value)


def same_types(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return all(map(same_types, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same_types(one[key], other[key]) for key in one)
    return True

"""A value that stays in the worker is described within bounds, whatever it is and does."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from harness import InferenceHandlerSpec, RuntimeTester
from harness.runtime import wire
from harness.summaries import ValueSummary
from tests.conftest import MakePackage
from worker import kinds, protocol, values

COLUMNS = protocol.MAX_COLUMNS


def described(value: Any) -> protocol.Value:
    """Describe a value and send it over the wire, strictly read."""
    reply = protocol.Returned(id="a", value=values.describe(value), elapsed_s=0.0)
    read = wire.decode_reply(wire.encode(reply).rstrip(b"\n"))
    assert isinstance(read, protocol.Returned)
    return read.value


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def circular() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


# ---------------------------------------------------------------- what is told of it


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, {"type": "NoneType", "module": "builtins", "preview": "None"}),
        ("naïve", {"type": "str", "length": 5, "size_bytes": 6, "preview": "'naïve'"}),
        (b"\x00\xff", {"type": "bytes", "length": 2, "size_bytes": 2, "preview": r"b'\x00\xff'"}),
        (bytearray(3), {"type": "bytearray", "length": 3, "size_bytes": 3}),
        ([], {"type": "list", "shape": [0], "length": 0}),
        ([[1, 2], [3, 4], [5, 6]], {"shape": [3, 2], "length": 3}),
        ([[1, 2], [3]], {"shape": [2]}),
        ((1, 2), {"type": "tuple", "shape": [2]}),
        ({"a": 1}, {"type": "dict", "length": 1, "shape": None, "preview": "{'a': 1}"}),
        ({1: 2, None: 3}, {"type": "dict", "length": 2}),
        (math.nan, {"type": "float", "preview": "nan"}),
        (-math.inf, {"type": "float", "preview": "-inf"}),
        (1e999, {"type": "float", "preview": "inf"}),
        ("\ud800", {"type": "str", "length": 1, "size_bytes": 3}),
        ("\u2028\0", {"type": "str", "preview": r"'\u2028\x00'"}),
        (numpy.float32(1.5), {"type": "float32", "module": "numpy", "shape": [], "size_bytes": 4}),
        (numpy.int64(7), {"type": "int64", "dtype": "int64", "size_bytes": 8}),
        (
            numpy.zeros((2, 3)),
            {"type": "ndarray", "shape": [2, 3], "dtype": "float64", "size_bytes": 48, "length": 2},
        ),
        (numpy.array(5), {"type": "ndarray", "shape": [], "length": None}),
        (
            pandas.DataFrame({"a": [1, 2], "é": [0.5, 1.5]}),
            {"type": "DataFrame", "shape": [2, 2], "columns": ["a", "é"], "length": 2},
        ),
        (scipy.sparse.csr_matrix((2, 3)), {"type": "csr_matrix", "shape": [2, 3]}),
        (len, {"type": "builtin_function_or_method", "length": None}),
        (lambda: 1, {"type": "function", "module": "builtins"}),
    ],
    ids=lambda item: type(item).__name__,
)
def test_value_is_described(value: Any, told: dict[str, Any]) -> None:
    got = described(value)
    assert {name: getattr(got, name) for name in told} == told


@pytest.mark.parametrize(
    "frame",
    [
        pandas.DataFrame({"a": range(1000)}),
        pandas.DataFrame({"a": range(1000), "b": "text", "c": 0.5}, index=[*range(1000)]),
        pandas.DataFrame({"a": pandas.Categorical(["x", "y"] * 500)}),
        pandas.DataFrame({"a": pandas.array([1, None] * 500, dtype="Int64")}),
        pandas.DataFrame({"a": pandas.to_datetime(["2026-01-01"] * 9, utc=True)}),
        pandas.DataFrame(),
    ],
    ids=["integers", "mixed", "categories", "nullable", "times", "empty"],
)
def test_dataframe_size_is_that_of_its_data(frame: pandas.DataFrame) -> None:
    assert described(frame).size_bytes == frame.memory_usage(index=True).sum()


ARRAYS = {
    "table": numpy.arange(6.0).reshape(2, 3),
    "none": numpy.zeros((0, 3)),
    "one number": numpy.array(5),
    "other order": numpy.array([1, 2], dtype=">i4"),
    "half": numpy.array([0.5, numpy.inf], dtype="float16"),
    "flags": numpy.array([True]),
    "view": numpy.arange(10, dtype="uint8")[::3],
    "many dimensions": numpy.zeros((1,) * 20),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_plain_array_is_described_as_any_other_value(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain arrays have a shorter way; here they are also asked what everything is asked."""
    quickly = [values.describe(ARRAYS[name]) for _ in range(2)]
    assert values._describe_array(ARRAYS[name]) == quickly[0]
    monkeypatch.setattr(values, "_describe_array", lambda array: None)
    monkeypatch.setattr(values.previews, "PLAIN", "")
    slowly = values.describe(ARRAYS[name])
    monkeypatch.undo()
    assert quickly == [replace(slowly, preview=values.previews.preview(ARRAYS[name]))] * 2


class Pretender:
    """What a handler may put in the place of numpy's array."""

    dtype = numpy.dtype(float)
    nbytes = shape = (object(),)


class Raising(Pretender):
    @property
    def dtype(self) -> Any:  # type: ignore[override]
        raise SystemExit(3)


@pytest.mark.parametrize("kind", [Pretender, Raising])
def test_what_only_has_the_name_of_an_array_is_asked_as_any_other_value(
    kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numpy, "ndarray", kind)
    told = described(kind())
    assert (told.type, told.shape, told.size_bytes) == (kind.__name__, None, None)


@pytest.mark.parametrize(
    "value", [[], (), [1, 2], ("text", "text/csv"), ([1, 2], (3, 4)), [{"a": 1}], ({"a": 1},)]
)
def test_sequence_is_described_as_any_other_value(
    value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickly = values.describe(value)
    monkeypatch.setattr(values, "_SEQUENCES", frozenset())
    monkeypatch.setattr(kinds, "_PLAIN", {})
    assert values.describe(value) == quickly
    found = [name for name, holds in kinds._QUESTIONS if kinds._answer(holds, value)]
    assert quickly.kinds == list(dict.fromkeys([*found, type(value).__name__]))


class Measured:
    """What tells its memory as a table does, and is none of pandas."""

    def memory_usage(self, *, index: bool) -> Any:
        return numpy.array([3, 4])


def test_size_of_what_is_like_a_table_is_what_it_tells() -> None:
    assert described(Measured()).size_bytes == 7


# ---------------------------------------------------------------- the preview


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (numpy.array([[0.5, 2], [1e-9, math.nan]]), "array([[0.5, 2], [1e-09, nan]])"),
        (numpy.array([1 / 3], dtype="float32"), "array([0.333333])"),
        (numpy.arange(4) > 1, "array([False, False, True, True])"),
        (numpy.arange(30), f"array([{', '.join(map(str, range(20)))}, ...])"),
        (numpy.zeros((9, 1)), "array([[0], [0], [0], [0], [0], [0], ...])"),
        (numpy.zeros((2, 2, 2)), "array([[[0, 0], [0, 0]], ...])"),
        (numpy.zeros((2, 0)), "array([[], []])"),
        (numpy.array(2.5), "array(2.5)"),
        (numpy.array(["a", "b"]), "array(['a', 'b'], dtype='<U1')"),
        (
            pandas.DataFrame({"a": [0.5, 15], "long": "x"}),
            "     a  long\n0  0.5     x\n1   15     x",
        ),
        (
            pandas.DataFrame([[7] * 25], columns=[*"abcdefghijklmnopqrstuvwxy"]),
            "   " + "  ".join("abcdefghijklmnopqrst") + "  ...\n0  " + "7  " * 20 + "...",
        ),
        (
            pandas.DataFrame({"a": range(7)}, index=[*"tuvwxyz"]),
            "   a\nt  0\nu  1\nv  2\nw  3\nx  4\ny  5\n...",
        ),
        (pandas.DataFrame(), ""),
        ([[1.5, 2]] * 9, "[[1.5, 2], [1.5, 2], [1.5, 2], [1.5, 2], [1.5, 2], [1.5, 2], ...]"),
    ],
)
def test_preview_shows_the_beginning(value: Any, told: str) -> None:
    assert described(value).preview == told


# ---------------------------------------------------------------- bounded


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10_000_000,
        b"\xff" * 10_000_000,
        list(range(1_000_000)),
        {number: str(number) for number in range(100_000)},
        {"x" * 1_000_000: "y" * 1_000_000},
        nested(5000),
        circular(),
        10**4000,
        10**6000,
        numpy.zeros(1_000_000),
        pandas.DataFrame(numpy.zeros((2, 5000)), columns=["c" * 10_000] * 5000),
        type("T" * 100_000, (), {})(),
        ["\ud800" * 100_000] * 100,
    ],
    ids=lambda value: type(value).__name__[:20],
)
def test_description_is_small_however_large_the_value(value: Any) -> None:
    line = wire.encode(protocol.plain(described(value)))
    # Every character may take six bytes; the cut says how much it left out.
    bound = protocol.MAX_PREVIEW_CHARS + (COLUMNS + 3) * protocol.MAX_NAME_CHARS
    assert len(line) < 6 * (bound + 100 * COLUMNS)
    got = described(value)
    assert len(got.preview or "") < protocol.MAX_PREVIEW_CHARS + 100
    assert len(got.columns or []) <= COLUMNS
    assert len(got.shape or []) <= protocol.MAX_DIMENSIONS


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.tuples(inner, inner)
            | st.dictionaries(st.text() | st.integers() | st.none(), inner)
        ),
        max_leaves=30,
    )
)
def test_any_plain_value_can_be_described(value: Any) -> None:
    got = described(value)
    assert got.type == type(value).__name__
    assert got.length == (len(value) if hasattr(value, "__len__") else None)


# ---------------------------------------------------------------- hostile


class Refusing(BaseException):
    """What hostile methods raise: no `except Exception` catches it."""


def refuse(*_: Any, **__: Any) -> Any:
    raise Refusing


class HostileText(str):
    """A str that lies about everything that it is asked for."""

    def __len__(self) -> int:
        return 0

    def encode(self, *_: Any) -> Any:  # type: ignore[override]
        return self

    decode = __str__ = __getitem__ = encode  # type: ignore[assignment]


class Meta(type):
    """A class that tells nothing of itself, not even its name."""

    def __getattribute__(cls, name: str) -> Any:
        raise Refusing


def hostile(**members: Any) -> Any:
    return type("Hostile", (), members)()


HOSTILE: dict[str, Callable[[], Any]] = {
    "repr raises": lambda: hostile(__repr__=refuse),
    "repr exits": lambda: hostile(__repr__=lambda self: sys.exit(3)),
    "repr gives no str": lambda: hostile(__repr__=lambda self: 7),
    "repr gives a lying str": lambda: hostile(__repr__=lambda self: HostileText("x" * 10**6)),
    "repr gives surrogates": lambda: hostile(__repr__=lambda self: "\ud800" * 10),
    "len raises": lambda: hostile(__len__=refuse),
    "len is negative": lambda: hostile(__len__=lambda self: -1),
    "len is no number": lambda: hostile(__len__=lambda self: "3"),
    "len is huge": lambda: hostile(__len__=lambda self: sys.maxsize),
    "class raises": lambda: hostile(__class__=property(refuse)),
    "class lies": lambda: hostile(__class__=property(lambda self: int)),
    "getattr raises": lambda: hostile(__getattr__=refuse),
    "getattribute raises": lambda: hostile(__getattribute__=refuse),
    "getattr gives anything": lambda: hostile(__getattr__=lambda self, name: self),
    "shape raises": lambda: hostile(shape=property(refuse)),
    "shape is endless": lambda: hostile(shape=iter(int, 1)),
    "shape is text": lambda: hostile(shape="wide"),
    "shape is negative": lambda: hostile(shape=(-1, 2)),
    "shape is huge": lambda: hostile(shape=(2**63, 10**5000)),
    "shape has NaN": lambda: hostile(shape=(math.nan,)),
    "shape has None": lambda: hostile(shape=(None, 2)),
    "shape is long": lambda: hostile(shape=(1,) * 10_000),
    "dtype is a lying str": lambda: hostile(dtype=HostileText("float")),
    "columns raise": lambda: hostile(columns=property(refuse)),
    "columns are endless": lambda: hostile(columns=iter(int, 1)),
    "columns are a number": lambda: hostile(columns=3),
    "columns are lying strs": lambda: hostile(columns=[HostileText("a")]),
    "nbytes is negative": lambda: hostile(nbytes=-5),
    "nbytes is huge": lambda: hostile(nbytes=10**5000),
    "memory_usage raises": lambda: hostile(memory_usage=refuse),
    "sizeof raises": lambda: hostile(__sizeof__=refuse),
    "name raises": lambda: Meta("Hostile", (), {})(),
    "name is a lying str": lambda: type(HostileText("x"), (), {"__module__": HostileText("y")})(),
    "module is a number": lambda: type("Hostile", (), {"__module__": 7})(),
    "a lying str": lambda: HostileText("text"),
    "list with a lying len": lambda: type("list", (list,), {"__len__": lambda self: 2**40})(),
    "dict with lying keys": lambda: type("dict", (dict,), {"__iter__": refuse})(a=1),
    "int whose str raises": lambda: type("int", (int,), {"__repr__": refuse})(7),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_value_is_described_all_the_same(make: Callable[[], Any]) -> None:
    got = described(make())
    assert got.type
    assert len(got.preview or "") < protocol.MAX_PREVIEW_CHARS + 100


HANDLER = """
import sys, pathlib
sys.path.insert(0, {tests!r})
from tests.unit import test_values

def model_fn(model_dir):
    return None

def predict_fn(name, model):
    return test_values.HOSTILE[name]()
"""


def test_live_worker_survives_every_hostile_value(package: MakePackage) -> None:
    root = str(Path(__file__).parents[2])
    spec = InferenceHandlerSpec(
        handler_name="hostile",
        packaged_model_path=str(package({"code/inference.py": HANDLER.format(tests=root)})),
    )
    with RuntimeTester() as tester, tester.open_handler(spec) as handler:
        assert handler.model_fn().success
        for name in HOSTILE:
            row = handler.predict_fn(name)
            assert row.success, (name, row.error_message, row.log)
            assert isinstance(row.output_data, ValueSummary)

"""An exception of the handler becomes text within bounds, whatever its own methods do."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import FunctionTestResult, InferenceHandlerSpec, RuntimeTester
from harness.runtime import wire
from tests.conftest import MakePackage
from worker import failures, protocol


def described(error: BaseException, roots: list[str] | None = None) -> protocol.Failure:
    """Describe an exception and send it over the wire, strictly read."""
    failure = failures.describe(error, roots or [])
    line = wire.encode(protocol.Raised(id="a", failure=failure, elapsed_s=0.0))
    read = wire.decode_reply(line.rstrip(b"\n"))
    assert isinstance(read, protocol.Raised)
    return read.failure


def caught(work: Callable[[], Any]) -> BaseException:
    try:
        work()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def throw(error: BaseException) -> Any:
    raise error


class Refusing(BaseException):
    """What hostile methods raise: no `except Exception` catches it."""


def refuse(*_: Any, **__: Any) -> Any:
    raise Refusing


class LyingText(str):
    def __len__(self) -> int:
        return 0

    def encode(self, *_: Any) -> Any:  # type: ignore[override]
        return self


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__name__", "__qualname__", "__module__", "__mro__"):
            raise Refusing
        return super().__getattribute__(name)


# ---------------------------------------------------------------- what is told


def test_failure_has_type_module_message_and_frames() -> None:
    def innermost() -> None:
        raise ValueError("bad\nvalue")

    got = described(caught(innermost), [str(Path(__file__).parent)])
    assert (got.type, got.module, got.message) == ("ValueError", "builtins", "bad\nvalue")
    assert [frame.function for frame in got.frames] == ["caught", "innermost"]
    assert got.frames[-1].code == 'raise ValueError("bad\\nvalue")'
    assert got.frames[-1].file == __file__
    assert got.frames[-1].in_handler
    assert got.traceback.startswith("Traceback (most recent call last):\n")
    assert got.traceback.endswith("ValueError: bad\nvalue\n")


def test_frames_outside_the_handler_are_told_apart() -> None:
    error = caught(lambda: traceback.format_list(7))  # type: ignore[arg-type]
    got = described(error, [str(Path(__file__).parent)])
    assert [frame.in_handler for frame in got.frames[:2]] == [True, True]
    assert not got.frames[-1].in_handler


def test_a_folder_whose_name_begins_alike_is_not_the_handlers() -> None:
    folder = str(Path(__file__).parent)
    assert not any(f.in_handler for f in described(caught(refuse), [folder[:-1]]).frames)


def test_nested_class_goes_by_its_qualified_name() -> None:
    class Local(Exception):
        pass

    assert described(Local()).type.endswith("<locals>.Local")
    assert described(Local()).module == __name__


def test_message_may_be_empty_and_may_be_anything_in_unicode() -> None:
    assert described(ValueError()).message == ""
    assert described(ValueError("naïve \u2028 \0")).message == "naïve \u2028 \0"
    assert described(ValueError("\ud800")).message == r"\ud800"


def test_causes_are_told_nearest_first_with_their_relation() -> None:
    def work() -> None:
        try:
            try:
                raise KeyError("first")
            except KeyError as error:
                raise ValueError("second") from error
        except ValueError:
            raise TypeError("third")  # noqa: B904 - the implicit chain is what is tested

    causes = described(caught(work)).causes
    assert [(item.relation, item.type, item.message) for item in causes] == [
        ("context", "ValueError", "second"),
        ("cause", "KeyError", "'first'"),
    ]


def test_raise_from_none_hides_the_context() -> None:
    def work() -> None:
        try:
            raise KeyError("hidden")
        except KeyError:
            raise ValueError("shown") from None

    got = described(caught(work))
    assert got.causes == []
    assert "hidden" not in got.traceback


def test_group_shows_its_members_in_the_traceback() -> None:
    group = ExceptionGroup("several", [ValueError("one"), ExceptionGroup("in", [KeyError("two")])])
    got = described(caught(lambda: throw(group)))
    assert (got.type, got.message) == ("ExceptionGroup", "several (2 sub-exceptions)")
    assert "ValueError: one" in got.traceback
    assert "KeyError: 'two'" in got.traceback


def test_syntax_error_shows_the_line() -> None:
    error = caught(lambda: compile("def broken(:\n", "inference.py", "exec"))
    got = described(error)
    assert got.type == "SyntaxError"
    assert "def broken(:" in got.traceback


# ---------------------------------------------------------------- bounded


def test_long_message_keeps_its_two_ends() -> None:
    message = described(ValueError("begin" + "x" * 10_000_000 + "end")).message
    assert len(message) < protocol.MAX_MESSAGE_CHARS + 100
    assert message.startswith("begin")
    assert message.endswith("end")
    assert "characters ..." in message


def test_endless_recursion_is_cut_in_the_middle() -> None:
    def again() -> Any:
        return again()

    got = described(caught(again))
    assert got.type == "RecursionError"
    assert len(got.frames) == protocol.MAX_FRAMES
    assert [got.frames[0].function, got.frames[-1].function] == ["caught", "again"]
    assert len(got.traceback) < protocol.MAX_TRACEBACK_CHARS + 100


def test_long_chain_of_causes_is_cut() -> None:
    error: Exception = ValueError("0")
    for number in range(1, 1000):
        following = ValueError(str(number))
        following.__cause__ = error
        error = following
    causes = described(error).causes
    assert [item.message for item in causes[:2]] == ["998", "997"]
    assert len(causes) == protocol.MAX_CAUSES


def test_circular_chain_ends() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert [item.message for item in described(one).causes] == ["two"]


def test_group_of_many_members_is_bounded() -> None:
    group = ExceptionGroup("g" * 10**6, [ValueError("x" * 10_000) for _ in range(1000)])
    got = described(group)
    assert len(got.traceback) < protocol.MAX_TRACEBACK_CHARS + 100
    assert len(got.message) < protocol.MAX_MESSAGE_CHARS + 100


# ---------------------------------------------------------------- hostile


def hostile(**members: Any) -> BaseException:
    made: BaseException = type("Hostile", (Exception,), members)("text")
    return made


HOSTILE: dict[str, Callable[[], BaseException]] = {
    "str raises": lambda: hostile(__str__=refuse),
    "str gives no str": lambda: hostile(__str__=lambda self: 7),
    "str gives a lying str": lambda: hostile(__str__=lambda self: LyingText("x" * 10**6)),
    "str gives surrogates": lambda: hostile(__str__=lambda self: "\ud800\udfff"),
    "repr raises": lambda: hostile(__repr__=refuse),
    "class raises": lambda: hostile(__class__=property(refuse)),
    "class lies": lambda: hostile(__class__=property(lambda self: int)),
    "getattribute raises": lambda: hostile(__getattribute__=refuse),
    "traceback raises": lambda: hostile(__traceback__=property(refuse)),
    "traceback is text": lambda: hostile(__traceback__="none"),
    "cause raises": lambda: hostile(__cause__=property(refuse)),
    "cause is text": lambda: hostile(__cause__="none"),
    "context raises": lambda: hostile(__context__=property(refuse)),
    "suppress raises": lambda: hostile(__suppress_context__=property(refuse)),
    "notes are a number": lambda: hostile(__notes__=7),
    "notes raise": lambda: hostile(__notes__=property(refuse)),
    "module is a number": lambda: hostile(__module__=7),
    "name is not told": lambda: Meta("Hostile", (Exception,), {})("text"),
    "name is a lying str": lambda: type(LyingText("x"), (Exception,), {})("text"),
    "arguments are huge": lambda: ValueError(*("x" * 10**6 for _ in range(20))),
    "argument's repr raises": lambda: ValueError(type("R", (), {"__repr__": refuse})(), 1),
    "hostile cause": lambda: chained(hostile(__str__=refuse)),
    "base exception": lambda: Refusing("no Exception"),
    "system exit": lambda: SystemExit(3),
    "keyboard interrupt": lambda: KeyboardInterrupt(),
    "decode error": lambda: caught(lambda: b"\xff".decode()),
}


def chained(cause: BaseException) -> BaseException:
    error = ValueError("outer")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_exception_is_described_all_the_same(make: Callable[[], BaseException]) -> None:
    got = described(caught(lambda: throw(make())))
    assert got.type
    assert len(got.message) < protocol.MAX_MESSAGE_CHARS + 100
    assert len(got.traceback) < protocol.MAX_TRACEBACK_CHARS + 100
    assert len(got.frames) >= 2


# ---------------------------------------------------------------- in a live worker

HANDLER = """
import sys
sys.path.insert(0, {tests!r})
from tests.unit import test_failures

def model_fn(model_dir):
    return None

def predict_fn(name, model):
    raise test_failures.HOSTILE[name]()
"""
FATAL = {"base exception", "system exit", "keyboard interrupt"}


def handler(package: MakePackage) -> InferenceHandlerSpec:
    root = str(Path(__file__).parents[2])
    return InferenceHandlerSpec(
        handler_name="hostile",
        packaged_model_path=str(package({"code/inference.py": HANDLER.format(tests=root)})),
    )


def test_live_worker_survives_every_hostile_exception(package: MakePackage) -> None:
    with RuntimeTester() as tester, tester.open_handler(handler(package)) as live:
        assert live.model_fn().success
        for name in HOSTILE.keys() - FATAL:
            row = live.predict_fn(name)
            assert row.outcome == "raised", (name, row.error_message, row.log)
            check_place(row)
            assert live.running, name


def test_what_is_no_exception_ends_the_worker_and_is_told_as_raised(package: MakePackage) -> None:
    with RuntimeTester() as tester, tester.open_handler(handler(package)) as live:
        for name in sorted(FATAL):
            assert live.model_fn().success
            row = live.predict_fn(name)
            assert row.outcome == "raised", (name, row.error_message)
            check_place(row)
            assert not live.running, name


def check_place(row: FunctionTestResult) -> None:
    """The handler's own line comes first: nothing of the worker's frames is shown."""
    assert row.failure is not None
    first = row.failure.frames[0]
    assert (Path(first.file).name, first.function) == ("inference.py", "predict_fn")
    assert first.in_handler
    assert "_handlerproof_worker" not in row.failure.traceback
    assert "contract.py" not in row.failure.traceback

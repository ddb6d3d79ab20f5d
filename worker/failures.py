"""An exception as text: bounded, whatever its own methods do. Becomes FailureSummary in results."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


import os

from .late import traceback
from .protocol import (
    MAX_CAUSES,
    MAX_FRAMES,
    MAX_KINDS,
    MAX_MESSAGE_CHARS,
    MAX_NAME_CHARS,
    MAX_TRACEBACK_CHARS,
    Cause,
    Failure,
    Frame,
)

# An exception's class may have put properties of its own before these.
_traceback_of = BaseException.__dict__["__traceback__"].__get__
_cause_of = BaseException.__dict__["__cause__"].__get__
_context_of = BaseException.__dict__["__context__"].__get__
_is_suppressed = BaseException.__dict__["__suppress_context__"].__get__

OUR_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


def describe(error: BaseException, handler_roots: list[str]) -> Failure:
    """Describe an exception: type, message, traceback without our own frames, cause chain."""
    own = _without_our_frames(_traceback_of(error))
    return Failure(
        type=_name(type(error)),
        module=_module(type(error)),
        message=message(error),
        traceback=_text(error, own),
        frames=_frames(own, handler_roots),
        causes=_causes(error),
        bases=class_names(type(error))[1:],
    )


def class_names(kind: type) -> list[str]:
    """Name a class and those that it derives from, the nearest first, `object` left out."""
    return [_name(one) for one in type.__dict__["__mro__"].__get__(kind)[:-1][:MAX_KINDS]]


def message(error: BaseException) -> str:
    """Give str(error), bounded; exceptions of the handler's own may refuse."""
    try:
        return clean(str(error), MAX_MESSAGE_CHARS)
    except BaseException as refusal:
        return "<str() of the exception raised %s>" % type(refusal).__name__


def is_ordinary(error: BaseException) -> bool:
    """Say whether it is an Exception; isinstance would ask error.__class__, which may be its own.

    Servers catch those and no others: SystemExit and KeyboardInterrupt end their workers.
    """
    return issubclass(type(error), Exception)


def is_a(value: object, name: str, package: str) -> bool:
    """Say whether a value is of a class of that name, or of a subclass, from that package.

    By names alone, so that the package is neither needed nor imported.
    """
    for kind in type.__dict__["__mro__"].__get__(type(value)):
        module = kind.__dict__.get("__module__")
        there = isinstance(module, str) and (module + ".").startswith(package + ".")
        if there and kind.__name__ == name:
            return True
    return False


def for_a_client(error: BaseException) -> str:
    """Give the traceback that a stack sends: the whole chain, without our own frames.

    A lone surrogate in it stays, over which some servers' workers end. The frames of the stack's
    own code between the server and the handler are not to be had here.
    """
    try:
        frames = _frames_that_stay()
        told = traceback.TracebackException(type(error), error, _traceback_of(error))
        pending, seen = [told], set()
        while pending:
            one = pending.pop()
            if id(one) not in seen:
                seen.add(id(one))
                kept = frames()
                kept.extend(frame for frame in one.stack if not _is_ours(frame.filename))
                one.stack = kept
                pending += filter(None, (one.__cause__, one.__context__))
        return _cut("".join(told.format()), MAX_TRACEBACK_CHARS)
    except BaseException as refusal:
        return "<the traceback could not be written: %s>" % type(refusal).__name__


def _frames_that_stay() -> Any:
    """Make a kind of StackSummary that keeps the heading of a traceback when no frame is left."""
    return type("Frames", (traceback.StackSummary,), {"__bool__": lambda self: True})


def clean(text: str, limit: int) -> str:
    """Cut the middle out of a long text, and make it valid Unicode (no lone surrogates)."""
    text = _cut(text, limit)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cut(text: str, limit: int) -> str:
    text = str.__str__(text)  # a plain str: a subclass may answer as it likes
    if len(text) <= limit:
        return text
    half = limit // 2
    return "%s\n... %d characters ...\n%s" % (text[:half], len(text) - 2 * half, text[-half:])


def _name(kind: type) -> str:
    try:
        return clean(str(kind.__qualname__), MAX_NAME_CHARS)
    except BaseException:  # a metaclass may do anything
        return "?"


def _module(kind: type) -> str:
    try:
        return clean(str(kind.__module__), MAX_NAME_CHARS)
    except BaseException:
        return "?"


def _without_our_frames(trace: Any) -> Any:
    """Skip the frames of this folder, and those of the import system right below them."""
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _is_ours(file: str) -> bool:
    return file.startswith((OUR_FOLDER, "<frozen importlib")) or file.endswith(
        os.sep + os.path.join("importlib", "__init__.py")
    )


def _text(error: BaseException, trace: Any) -> str:
    try:
        lines = traceback.format_exception(type(error), error, trace)
        return clean("".join(lines), MAX_TRACEBACK_CHARS)
    except BaseException as refusal:
        return "<the traceback could not be written: %s>" % type(refusal).__name__


def _frames(trace: Any, handler_roots: list[str]) -> list[Frame]:
    try:
        levels: list[Any] = list(traceback.extract_tb(trace))
    except BaseException:
        return []
    if len(levels) > MAX_FRAMES:
        levels = levels[: MAX_FRAMES // 2] + levels[-MAX_FRAMES // 2 :]
    roots = tuple(root + os.sep for root in handler_roots)
    return [_frame(level, roots) for level in levels]


def _frame(level: Any, roots: tuple[str, ...]) -> Frame:
    return Frame(
        file=clean(level.filename, MAX_MESSAGE_CHARS),
        line=level.lineno or 0,
        function=clean(level.name, MAX_NAME_CHARS),
        code=clean(level.line, MAX_NAME_CHARS) if level.line else None,
        in_handler=level.filename.startswith(roots),
    )


def _causes(error: BaseException) -> list[Cause]:
    causes: list[Cause] = []
    seen = {id(error)}
    while len(causes) < MAX_CAUSES:
        cause = _cause_of(error)
        explicit = cause is not None
        following = cause if explicit else _context_of(error)
        if following is None or id(following) in seen:
            break
        if not explicit and _is_suppressed(error):
            break
        seen.add(id(following))
        relation = "cause" if explicit else "context"
        causes.append(
            Cause(
                relation=relation,  # type: ignore[arg-type]
                type=_name(type(following)),
                message=message(following),
                bases=class_names(type(following))[1:],
            )
        )
        error = following
    return causes

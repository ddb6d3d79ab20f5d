"""How a handler's function can be called: its parameters, and whether a call runs it at once.

A plain function says so itself; `inspect` is asked about every other object, for to load it takes
longer than to load the rest of the worker.
"""

from __future__ import annotations

from .failures import clean
from .late import inspect
from .protocol import MAX_NAME_CHARS, MAX_PARAMETERS, Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VARIABLE, _KEYWORDS, _GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x04, 0x08, 0x20, 0x80, 0x200
_Function = type(clean)


def parameters_of(function: Any) -> list[Parameter] | None:
    """List the parameters of a function; None where they cannot be had."""
    try:
        if _is_plain(function):
            return _of_plain(function)
        found = list(inspect.signature(function).parameters.values())
        return [_parameter(item) for item in found[:MAX_PARAMETERS]]
    except Exception:  # a builtin, or an object that answers as it likes
        return None


def count(function: Any) -> int:
    """Count parameters of every kind, defaults and *args too. Raises what inspect raises."""
    if _is_plain(function):
        return len(_names(function.__code__))
    return len(inspect.signature(function).parameters)


def style_of(function: Any) -> str:
    """Say whether a call runs the function, or only makes a coroutine or a generator of it."""
    if _is_plain(function):
        flags = function.__code__.co_flags
        if flags & (_COROUTINE | _ASYNC_GENERATOR):
            return "async"
        return "generator" if flags & _GENERATOR else "plain"
    try:
        for one in (function, type(function).__call__):
            if inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one):
                return "async"
            if inspect.isgeneratorfunction(one):
                return "generator"
    except Exception:  # nothing to call, or an object that answers as it likes
        pass
    return "plain"


def _is_plain(function: Any) -> bool:
    """Say whether it is a function to which nothing was attached, as a decorator does."""
    return type(function) is _Function and not function.__dict__


def _names(code: Any) -> list[tuple[str, str]]:
    """Give name and kind of each parameter, in the order of a signature."""
    positional, keyword = code.co_argcount, code.co_kwonlyargcount
    names = iter(code.co_varnames)
    found = [(next(names), "positional") for _ in range(positional)]
    keywords = [(next(names), "keyword") for _ in range(keyword)]
    if code.co_flags & _VARIABLE:
        found.append((next(names), "rest"))
    found += keywords
    if code.co_flags & _KEYWORDS:
        found.append((next(names), "keywords"))
    return found


def _of_plain(function: Any) -> list[Parameter]:
    code = function.__code__
    defaults = function.__defaults__ or ()
    optional = set(code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount])
    optional.update(function.__kwdefaults__ or ())
    annotations = function.__annotations__
    return [
        Parameter(
            name=clean(name, MAX_NAME_CHARS),
            kind=kind,  # type: ignore[arg-type]
            required=name not in optional and kind not in ("rest", "keywords"),
            annotation=_annotation(annotations[name]) if name in annotations else None,
        )
        for name, kind in _names(code)[:MAX_PARAMETERS]
    ]


def _parameter(item: Any) -> Parameter:
    kinds = {item.VAR_POSITIONAL: "rest", item.VAR_KEYWORD: "keywords"}
    kind = "keyword" if item.kind is item.KEYWORD_ONLY else kinds.get(item.kind, "positional")
    return Parameter(
        name=clean(item.name, MAX_NAME_CHARS),
        kind=kind,  # type: ignore[arg-type]
        required=item.default is item.empty and kind not in ("rest", "keywords"),
        annotation=None if item.annotation is item.empty else _annotation(item.annotation),
    )


def _annotation(given: Any) -> str:
    text = given if isinstance(given, str) else inspect.formatannotation(given)
    return clean(text, MAX_NAME_CHARS)

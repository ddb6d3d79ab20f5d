"""What the child has in place of `dataclasses`: a constructor, and nothing that costs an import.

The parent never loads this file: there `worker.protocol` uses the real ones.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Field:
    """What dataclasses.Field is to the parent: a name, and a default to make."""

    def __init__(self, name: str = "", default_factory: Any = None) -> None:
        self.name = name
        self.default_factory = default_factory


def field(default_factory: Any) -> Any:
    """Stand in for dataclasses.field(default_factory=...)."""
    return Field(default_factory=default_factory)


def fields(kind: type) -> list[Field]:
    """List the fields of a message class, in order."""
    return [Field(name) for name in kind.__annotations__]


def dataclass(frozen: bool) -> Any:
    """Stand in for dataclasses.dataclass(frozen=True); nothing is really frozen in a child."""
    return _with_constructor


def _with_constructor(kind: type) -> type:
    """Give a class with annotations a constructor that takes its fields, by keyword only.

    An object has what is not None of its own, the rest of its class: `parts` sends it as it is.
    """
    template: list[tuple[str, Any, Any]] = []  # made with the first object: few kinds have any

    def __init__(self: Any, **given: Any) -> None:
        if not template:
            template[:] = [(name, *_default(kind, name)) for name in kind.__annotations__]
        own = self.__dict__
        for name, default, make in template:
            value = given.pop(name, default)
            if value is not None:
                own[name] = value
            elif make is not None:
                own[name] = make()
        if given:
            raise TypeError("%s has no field %r" % (kind.__name__, sorted(given)[0]))

    kind.__init__ = __init__  # type: ignore[misc]
    return kind


def _default(kind: type, name: str) -> tuple[Any, Any]:
    """Give a default, and what makes it where there is none: a refusal where one is required."""

    def refuse() -> None:
        raise TypeError("%s lacks the field %r" % (kind.__name__, name))

    default = kind.__dict__.get(name, _REQUIRED)
    if default is _REQUIRED:
        return None, refuse
    return (None, default.default_factory) if isinstance(default, Field) else (default, None)


_REQUIRED = object()

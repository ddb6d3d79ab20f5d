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
    """Give a class with annotations a constructor that takes its fields, by keyword only."""
    template = {name: kind.__dict__.get(name, _REQUIRED) for name in kind.__annotations__}
    required = [name for name, value in template.items() if value is _REQUIRED]
    makers = {name: item.default_factory for name, item in template.items() if _is_made(item)}

    def __init__(self: Any, **given: Any) -> None:
        own = self.__dict__
        own.update(template)
        own.update(given)
        for name in makers:
            if name not in given:
                own[name] = makers[name]()
        if len(own) != len(template):
            odd = sorted(set(given).difference(template))
            raise TypeError("%s has no field %r" % (kind.__name__, odd[0]))
        for name in required:
            if name not in given:
                raise TypeError("%s lacks the field %r" % (kind.__name__, name))

    kind.__init__ = __init__  # type: ignore[misc]
    return kind


def _is_made(default: Any) -> bool:
    return isinstance(default, Field)


_REQUIRED = object()

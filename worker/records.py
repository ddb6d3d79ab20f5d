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
    names = kind.__annotations__
    defaults = {name: kind.__dict__[name] for name in names if name in kind.__dict__}

    def __init__(self: Any, **given: Any) -> None:
        for name in names:
            if name in given:
                value = given.pop(name)
            elif name in defaults:
                value = defaults[name]
                if isinstance(value, Field):
                    value = value.default_factory()
            else:
                raise TypeError("%s lacks the field %r" % (kind.__name__, name))
            setattr(self, name, value)
        if given:
            raise TypeError("%s has no field %r" % (kind.__name__, sorted(given)[0]))

    kind.__init__ = __init__  # type: ignore[misc]
    return kind

"""The base of everything that a user writes: frozen, strict about names, clear about mistakes.

specs.py and the pipeline specs are made of it. Whatever way a spec comes in (constructor,
`model_validate`, `model_validate_json`, `load`, `model_copy`), a mistake is a SpecError with one
sentence per problem.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from harness.errors import SpecError

# Pydantic's follow-up on another error: nothing that the user could act on.
_NOT_A_PROBLEM = "default_factory_not_called"
_MAX_INPUT_CHARS = 60


class SpecModel(BaseModel):
    """Hold what the user asks, validated; never changed afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    mistake: ClassVar[type[SpecError]] = SpecError

    def __init__(self, /, **data: Any) -> None:
        """Validate the fields. Raises: SpecError."""
        with _problems_as(self.mistake, type(self).__name__):
            super().__init__(**data)

    # Lets pydantic validate nested models directly, so that a problem keeps its whole path.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Validate a dictionary or an instance. Raises: SpecError."""
        with _problems_as(cls.mistake, cls.__name__):
            return super().model_validate(obj, **options)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Validate JSON text. Raises: SpecError."""
        with _problems_as(cls.mistake, cls.__name__):
            return super().model_validate_json(json_data, **options)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy, with some fields replaced; unlike pydantic's own, validated. Raises: SpecError."""
        if not update:
            return super().model_copy(deep=deep)
        asked = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**(asked | dict(update)))

    def save(self, path: str | Path) -> None:
        """Write the spec as a JSON file. Raises: OSError."""
        Path(path).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a spec from a JSON file. Raises: SpecError, also when the file cannot be read."""
        try:
            text = Path(path).read_bytes()
        except OSError as error:
            raise SpecError(f"Cannot read the spec {path}: {error.strerror}.") from error
        with _problems_as(cls.mistake, f"{cls.__name__} in {path}"):
            return super().model_validate_json(text)

    @model_validator(mode="before")
    @classmethod
    def _know_every_field(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [str(name) for name in data if name not in cls.model_fields]
            if unknown:
                raise ValueError(
                    "; ".join(unknown_name(name, cls.model_fields) for name in unknown)
                )
        return data


def unknown_name(name: str, known: Iterable[str]) -> str:
    """Say that a name is unknown, and which of the known ones was probably meant."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
    return f"unknown name {name!r}, {hint}"


@contextmanager
def _problems_as(mistake: type[SpecError], what: str) -> Iterator[None]:
    """Turn a ValidationError into one of a kind of SpecError, a sentence for each problem."""
    try:
        yield
    except ValidationError as error:
        raise mistake(_describe(what, error)) from None


def _describe(what: str, error: ValidationError) -> str:
    problems = [
        _sentence(tuple(problem["loc"]), problem["type"], problem["msg"], problem["input"])
        for problem in error.errors(include_url=False)
        if problem["type"] != _NOT_A_PROBLEM
    ]
    if len(problems) == 1:
        return f"{what}: {problems[0]}"
    return "\n".join([f"{what} has {len(problems)} problems:", *(f"- {line}" for line in problems)])


def _sentence(path: tuple[int | str, ...], kind: str, message: str, given: object) -> str:
    """Say one problem: where, what must be, what was given."""
    where = f"{'.'.join(map(str, path))}: " if path else ""
    if kind == "missing":
        return f"{where}is required"
    if kind == "value_error":  # raised by a validator of ours, which said all there is to say
        return where + message.removeprefix("Value error, ")
    must = message.replace("Input should be", "must be", 1)
    return where + must + ("" if kind == "json_invalid" else f", got {_shortened(given)}")


def _shortened(given: object) -> str:
    text = repr(given)
    return text if len(text) <= _MAX_INPUT_CHARS else f"{text[:_MAX_INPUT_CHARS]}..."

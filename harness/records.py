"""What every record of a result is: plain data, which survives a JSON round trip exactly.

Records hold text, numbers and JSON only, never a live object. To keep that promise whatever a
handler or a file name contains, text that is not Unicode is escaped and numbers that JSON cannot
hold become text ("nan").
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    computed_field,
    model_validator,
)

from harness.errors import SpecError

_NOT_ASKED: Final = "not asked: "


# ---------------------------------------------------------------- kinds of fields


def _escaped(value: object) -> object:
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode(errors="backslashreplace").decode()


def _json_safe(value: object) -> object:
    if isinstance(value, str):
        return _escaped(value)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101 - a dict is told faster
        return {_escaped(key): _json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_safe(item) for item in value]
    return value


Text = Annotated[str, BeforeValidator(_escaped)]
JsonObject = Annotated[dict[str, JsonValue], BeforeValidator(_json_safe)]
Count = Annotated[int, Field(ge=0)]
# The bound keeps every sum of times finite, and is far beyond what the wire lets through.
Seconds = Annotated[float, Field(ge=0, lt=1e12, allow_inf_nan=False)]


# ---------------------------------------------------------------- kinds of records


class Record(BaseModel):
    """Plain data, which nobody changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Saved(Record):
    """A whole result, which can be kept in a file."""

    KIND: ClassVar = "result"

    def save(self, path: str | Path) -> None:
        """Write the result as a JSON file. Raises: OSError."""
        Path(path).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a saved result. Raises: SpecError when the file cannot be read or is not one."""
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise SpecError(f"Cannot read the result {path}: {error.strerror}.") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the top"
            raise SpecError(
                f"{path} is not a saved {cls.KIND}: {first['msg']} (at {where})."
            ) from None


class Outcome(StrEnum):
    """How a call or an end-to-end test ended."""

    passed = "passed"
    failed = "failed"
    raised = "raised"
    timed_out = "timed_out"
    memory_exceeded = "memory_exceeded"
    output_exceeded = "output_exceeded"
    processes_exceeded = "processes_exceeded"
    disk_exceeded = "disk_exceeded"
    crashed = "crashed"
    exited = "exited"
    protocol_violated = "protocol_violated"
    not_started = "not_started"
    skipped = "skipped"


def not_asked(why: str) -> str:
    """Word the skip reason of a test that the user did not ask for; rates leave it out."""
    return _NOT_ASKED + why


class Judged(Record):
    """A row with an outcome; `success` follows from it, and may stand for it when read."""

    outcome: Outcome = Field(description="How it ended")
    skip_reason: Text | None = Field(default=None, description="Why it was skipped; else None")

    @computed_field(description="Whether the outcome is passed")  # type: ignore[prop-decorator]
    @property
    def success(self) -> bool:
        """Whether the outcome is passed."""
        return self.outcome is Outcome.passed

    @property
    def asked(self) -> bool:
        """Whether the user asked for it: not switched off, not of an unsupported type."""
        return not (self.skip_reason or "").startswith(_NOT_ASKED)

    @model_validator(mode="before")
    @classmethod
    def _agree_on_success(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "success" not in data:
            return data
        rest = {name: value for name, value in data.items() if name != "success"}
        success = data["success"]
        if not isinstance(success, bool):
            raise ValueError(f"success must be true or false, not {success!r}")
        outcome = rest.setdefault("outcome", Outcome.passed if success else Outcome.failed)
        if success is not (outcome == Outcome.passed):
            raise ValueError(f"success={success} contradicts the outcome {outcome}")
        return rest

    @model_validator(mode="after")
    def _skip_with_a_reason(self) -> Self:
        if (self.outcome is Outcome.skipped) is not bool(self.skip_reason):
            raise ValueError("skip_reason goes with the outcome skipped, and with no other")
        return self

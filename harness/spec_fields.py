"""The kinds of fields that specs are made of, each with the rule and the words of its refusal.

specs.py puts them together; spec_model.py turns a refusal into a SpecError.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Annotated, Final, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, PlainSerializer

_Values = TypeVar("_Values", bound=Iterable[Hashable])

_MIB: Final = 2**20
_MAX_BYTES: Final = 2**63 - 1  # the most that setrlimit takes
_MAX_SECONDS: Final = 1_000_000  # eleven days; beyond 24 days poll(2) overflows
_MAX_PROCESSES: Final = 2**22  # Linux never has more
_MAX_NAME_BYTES: Final = 200  # file systems take 255, and names get a suffix
MAX_MIB: Final = _MAX_BYTES // _MIB

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def _unicode(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode text, or a saved spec could not hold it") from None
    return value


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    if _CONTROL.search(value):
        raise ValueError(f"must not contain control characters, got {value!r}")
    return _unicode(value)


def _path_as_text(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _path_text(value: str) -> str:
    if not value or "\0" in value:
        raise ValueError(f"must be a path, got {value!r}")
    return _unicode(value)


def _file_name(value: str) -> str:
    if "/" in value or value in (".", ".."):
        raise ValueError(f"{value!r} cannot name a file; use no '/', and not '.' or '..' alone")
    if len(value.encode()) > _MAX_NAME_BYTES:
        raise ValueError(f"must not be longer than {_MAX_NAME_BYTES} bytes, got {len(value)}")
    return value


def _pattern(value: str) -> str:
    try:
        re.compile(_unicode(value))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from None
    return value


def _body(value: object) -> str | bytes:
    """Accept text, bytes, and the form that bytes have in JSON."""
    if isinstance(value, str):
        return _unicode(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, dict) and value.keys() == {"base64"}:
        return _decoded(value["base64"])
    kind = type(value).__name__
    raise ValueError(f'must be str, bytes or {{"base64": "..."}}, got {kind}; encode it first')


def _decoded(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError(f"base64 must be a string, got {type(text).__name__}")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"base64 cannot be decoded: {error}") from None


def _body_in_json(value: str | bytes) -> str | dict[str, str]:
    return value if isinstance(value, str) else {"base64": base64.b64encode(value).decode()}


def _json_data(value: JsonValue) -> JsonValue:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ValueError("must be JSON: finite numbers, Unicode text, modest depth") from None
    return value


def _success(value: object) -> object:
    if isinstance(value, bool) or value == "either":
        return value
    raise ValueError(f'must be true, false or "either", got {value!r}')


def _variables(value: dict[str, str]) -> dict[str, str]:
    """Accept what execve accepts. Values are not quoted in errors: they may be secrets."""
    for name, text in value.items():
        if not name or "=" in name or "\0" in name:
            raise ValueError(f"{name!r} cannot name a variable; use no '=', no NUL, not nothing")
        if "\0" in text:
            raise ValueError(f"the value of {name!r} must not contain a NUL character")
        _unicode(name + text)
    return value


def _module_name(value: str) -> str:
    if not all(part.isidentifier() for part in value.split(".")):
        raise ValueError(f"{value!r} is not the name of a module; write for example sklearn.svm")
    return value


def distinct(values: _Values) -> _Values:
    """Refuse a value that is there more than once."""
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]!r} is there more than once; keep one")
    return values


Text = Annotated[str, AfterValidator(_text)]
FileName = Annotated[Text, AfterValidator(_file_name)]
PathText = Annotated[str, BeforeValidator(_path_as_text), AfterValidator(_path_text)]
ModuleName = Annotated[str, AfterValidator(_module_name)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Variables = Annotated[dict[str, str], AfterValidator(_variables)]
JsonData = Annotated[JsonValue, AfterValidator(_json_data)]
Body = Annotated[
    str | bytes, BeforeValidator(_body), PlainSerializer(_body_in_json, when_used="json")
]
# None among media types is a request without that header.
MediaTypes = Annotated[list[Text | None], AfterValidator(distinct)]
FrozenMediaTypes = Annotated[tuple[Text | None, ...], AfterValidator(distinct)]

Switch = Annotated[bool, Field(strict=True)]
Success = Annotated[bool | Literal["either"], BeforeValidator(_success)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=_MAX_SECONDS, allow_inf_nan=False)]
Tolerance = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Mib = Annotated[int, Field(strict=True, gt=0, le=MAX_MIB)]
ByteCount = Annotated[int, Field(strict=True, gt=0, le=_MAX_BYTES)]
ProcessCount = Annotated[int, Field(strict=True, gt=0, le=_MAX_PROCESSES)]

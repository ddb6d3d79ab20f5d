"""Secrets among a handler's environment variables, taken out of what is told of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel

_Model = TypeVar("_Model", bound=BaseModel)

_NAME: Final = re.compile(
    r"secret|token|passw|passphrase|credential|(api|access|private)_?key", re.I
)
_IN_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]*:([^\s/@]{3,})@", re.I)
_LEAST_CHARS: Final = 6  # a shorter value is found in too much that is none


class Redaction:
    """What is secret in a spec's variables: the values of telling names, passwords in URLs."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        found = {text: name for name, text in variables.items() if _NAME.search(name)}
        for name, text in variables.items():
            found.update(dict.fromkeys(_IN_URL.findall(text), name))
        long = (text for text in found if len(text) >= _LEAST_CHARS)
        # The longest first: one secret may be a part of another.
        self._names = {text: found[text] for text in sorted(long, key=len, reverse=True)}

    def text(self, text: str) -> str:
        """Put a variable's name in place of its value."""
        for secret, name in self._names.items():
            text = text.replace(secret, f"<{name}>")
        return text

    def of(self, record: _Model) -> _Model:
        """Give a record without the secrets; the same one where there are none to find."""
        if not self._names:
            return record
        return type(record).model_validate(self._plain(record.model_dump()))

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {name: self._plain(item) for name, item in value.items()}
        return [self._plain(item) for item in value] if isinstance(value, list) else value

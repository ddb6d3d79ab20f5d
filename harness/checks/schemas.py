"""JSON Schemas that a sample holds its response to, with the package jsonschema."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from harness.errors import SpecError
from harness.specs import InferenceTestSample


def check(samples: Iterable[InferenceTestSample]) -> None:
    """See before anything runs that every schema can be used.

    Raises: SpecError for what is no schema, and where jsonschema is not installed.
    """
    for sample in samples:
        if sample.response_schema is not None:
            _validator(sample.response_schema)


def problems(schema: dict[str, Any], parsed: Any, most: int) -> list[str]:
    """List where a response breaks a schema. Raises: SpecError for a reference out of it."""
    from referencing.exceptions import Unresolvable

    try:
        errors: Iterator[Any] = _validator(schema).iter_errors(parsed)
        found = sorted(itertools.islice(errors, most), key=lambda error: str(error.json_path))
    except Unresolvable as error:
        raise SpecError(f"response_schema refers to what is not in it: {error}") from None
    except RecursionError:
        return ["response is too deep for response_schema"]
    return [f"response{error.json_path[1:]}: {error.message}" for error in found]


def _validator(schema: dict[str, Any]) -> Any:
    """Make a validator; with a registry of its own it fetches no reference."""
    try:
        import jsonschema
        from referencing import Registry
    except ImportError:
        raise SpecError(
            "response_schema needs the jsonschema package; install handlerproof[schema]"
        ) from None
    kind = jsonschema.validators.validator_for(schema)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise SpecError(f"response_schema is no JSON Schema: {error.message}") from None
    return kind(schema, registry=Registry())

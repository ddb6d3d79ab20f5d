"""Bodies that are not what their content type says, and types that a function refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from harness.checks import excerpts
from harness.checks.diagnosis.case import FORM, TEXT_TYPES, Case, Row, essence, is_default, link
from harness.checks.excerpts import MAX_BYTES, Spot
from harness.summaries import Diagnosis, FailureSummary

READERS = ("input_fn", "transform_fn")
WRITERS = ("output_fn", "transform_fn")
_REFUSALS = ("ValueError", "TypeError", "NotImplementedError", "RuntimeError", "KeyError")
# The words of a refusal; a missing column may be refused under a type that no line names.
_ABOUT_TYPES = re.compile(r"unsupported|not supported|unknown|\b(content|media|mime|accept)", re.I)
_SHOWN = 10
_RAISE = re.compile(r"\braise\b")
_UNSUPPORTED = "UnsupportedFormatError"  # sagemaker-inference's own, which handlers raise, too


def find(case: Case) -> Iterator[Diagnosis]:
    """Find them in what the functions raised that read bodies and write them."""
    for row, failure in case.failures():
        if row.function_name in READERS and not is_default(row):
            yield from _of_reading(case, row, failure)
        if row.function_name in WRITERS and row.accept_type and not is_default(row):
            yield from _of_accept(case, row, failure)


def fault(case: Case, row: Row, failure: FailureSummary) -> tuple[str, Spot, str] | None:
    """Give the code, the place and the text, where the body itself is what the reader failed on."""
    body = case.body(row)
    if body is None or len(body) > MAX_BYTES:
        return None
    kind, text = essence(row.content_type), body.decode("utf-8", "replace")
    spot: Spot | None = None
    if link(failure, "UnicodeDecodeError"):
        code, spot = "HP411", excerpts.of_text(body)
    elif other := link(failure, "JSONDecodeError"):
        # What is no JSON by its type may be another text that the handler read.
        if "json" in kind or excerpts.is_said_of_json(text, other.message):
            code, spot = "HP407", excerpts.of_json(text)
    elif kind == "text/csv" and (found := link(failure, "ValueError", "Error", "StopIteration")):
        code, spot = "HP408", excerpts.of_csv(text, found.message)
    elif link(failure, "ValueError", "OSError", "BadZipFile", "EOFError"):
        code, spot = "HP409", excerpts.of_binary(kind, body)
    return (code, spot, text) if spot is not None else None


def _of_reading(case: Case, row: Row, failure: FailureSummary) -> Iterator[Diagnosis]:
    found = fault(case, row, failure)
    if found is not None:
        code, spot, text = found
        yield Diagnosis(
            code=code,
            message=str(spot),
            function=row.function_name,
            sample_name=row.sample_name,
            excerpt=excerpts.excerpt(text, spot),
        )
    elif (message := _of_keys(case, row, failure)) is not None:
        yield Diagnosis(
            code="HP503", message=message, function=row.function_name, sample_name=row.sample_name
        )
    elif not _is_others(row.content_type) and _refuses(case, row, failure, row.content_type):
        told = f"{row.function_name} refuses {row.content_type}{_instead(case, row)}"
        yield Diagnosis(
            code="HP410", message=told, function=row.function_name, sample_name=row.sample_name
        )


def _of_keys(case: Case, row: Row, failure: FailureSummary) -> str | None:
    """Say which key was looked for in vain in a JSON object, and which there are."""
    found, body = link(failure, "KeyError"), case.body(row)
    if found is None or body is None or len(body) > MAX_BYTES:
        return None
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict) or found.message in map(repr, parsed):
        return None
    keys = ", ".join(list(parsed)[:_SHOWN]) or "no keys"
    return f"{row.function_name} looks for {found.message[:120]}; the body has {keys}"


def _is_others(content_type: str | None) -> bool:
    """Say whether HP402 or HP405 tell it better: a charset, a form."""
    kind = essence(content_type)
    return kind == FORM or (kind in TEXT_TYPES and content_type not in TEXT_TYPES)


def _of_accept(case: Case, row: Row, failure: FailureSummary) -> Iterator[Diagnosis]:
    if _refuses(case, row, failure, row.accept_type):
        told = f"{row.function_name} refuses {row.accept_type}{_instead(case, row)}"
        yield Diagnosis(
            code="HP612", message=told, function=row.function_name, sample_name=row.sample_name
        )


def _refuses(case: Case, row: Row, failure: FailureSummary, given: str | None) -> bool:
    """Say whether a function raises by itself, on a type that it does not name or that it blames.

    An exception from below it tells of the body, not of its type.
    """
    own = failure.frames[-1] if failure.frames else None
    if own is not None and not (own.in_handler and _RAISE.search(own.code or "")):
        return False
    if not link(failure, _UNSUPPORTED, *_REFUSALS):
        return False
    if failure.type == _UNSUPPORTED or (given and given.lower() in failure.message.lower()):
        return True
    named = case.look.accepted.get(row.function_name, ())
    other = bool(named) and essence(given) not in named
    return other and bool(_ABOUT_TYPES.search(failure.message))


def _instead(case: Case, row: Row) -> str:
    """Say what the function seems to take: what it names, else what it took of other samples."""
    named = case.look.accepted.get(row.function_name, ())
    if named:
        return f"; it names {', '.join(named)}"
    rows = (other for other in case.result.function_results() if other.success)
    took = {
        essence(other.content_type if row.function_name in READERS else other.accept_type)
        for other in rows
        if other.function_name == row.function_name
    }
    return f"; it took {', '.join(sorted(took))}" if took else ""

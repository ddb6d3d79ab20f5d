"""Variants of a sample's request: other content types, other accept types, other bodies.

What clients, pipelines and batch transform really send, and what the samples seldom hold: a charset
behind the content type, no header at all, a list of accept types, a single row.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from harness.checks.arguments import body_bytes
from harness.checks.flow import Request, accept_types
from harness.results import AcceptVariant, BodyVariant, ContentTypeVariant
from harness.specs import InferenceHandlerSpec, InferenceTestSample

UNKNOWN = "application/x-unknown"
ANY = "*/*"
COMMON = ("application/json", "text/csv")
EXPECTATIONS = (
    "should_succeed",
    "expected_stages",
    "error_message_pattern",
    "expected_output_structure",
    "response_schema",
    "expected_body",
    "same_row_count",
    "deterministic",
    "max_seconds",
    "max_memory_mb",
)
Key = tuple[BodyVariant, ContentTypeVariant, AcceptVariant, str | None]


@dataclass(frozen=True)
class Variant:
    """A changed request, the name of its sample, and what each part of it is."""

    request: Request
    sample_name: str
    body: BodyVariant
    content_type: ContentTypeVariant
    accept: AcceptVariant


def asked(
    spec: InferenceHandlerSpec, samples: tuple[InferenceTestSample, ...]
) -> tuple[Variant, ...]:
    """Give the variants that the spec asks for, of the samples that are to be answered."""
    found = (
        _of_sample(spec, sample, keys)
        for sample in samples
        if sample.should_succeed is True and (keys := _keys(spec, sample))
    )
    return tuple(itertools.chain.from_iterable(found))


def content_types(given: str | None) -> dict[ContentTypeVariant, str | None]:
    """Give the content types to send, each value once."""
    found: dict[ContentTypeVariant, str | None] = {"as given": given}
    if given is not None:
        name, sign, parameters = given.partition(";")
        if "charset" not in parameters.lower():
            found["with charset"] = f"{given}; charset=utf-8"
        found["upper case"] = name.upper() + sign + parameters
    found["absent"] = None
    found["unknown"] = UNKNOWN
    return _each_once(found)


def accepts(given: tuple[str | None, ...]) -> list[tuple[AcceptVariant, str | None]]:
    """Give the accept types to ask for, each value once: those given, then the others."""
    named = [accept for accept in given if accept and "," not in accept and accept != ANY]
    pair = [*named, *(accept for accept in COMMON if accept not in named)][:2]
    others: list[tuple[AcceptVariant, str | None]] = [
        ("absent", None),
        ("any", ANY),
        ("list", ", ".join(pair)),
        ("with q", f"{pair[0].partition(';')[0]};q=0.9"),
    ]
    return [
        *(("as given", accept) for accept in given),
        *(item for item in others if item[1] not in given),
    ]


def with_rows(body: bytes, count: int) -> bytes | None:
    """Give a body of CSV with so many of its rows, a header left at its head.

    A row that there is not is the last one again. None for a body without rows, and for one whose
    rows are not its lines.
    """
    end = b"\r\n" if b"\r\n" in body else b"\n"
    lines = [line for line in body.split(end) if line.strip()]
    if any(line.count(b'"') % 2 for line in lines):
        return None
    head = lines[:1] if len(lines) > 1 and _is_header(lines[0], lines[1]) else []
    rows = lines[len(head) :]
    if not rows:
        return None
    chosen = [*head, *rows[:count], *[rows[-1]] * (count - len(rows))]
    return end.join(chosen) + (end if body.endswith(end) else b"")


def _keys(spec: InferenceHandlerSpec, sample: InferenceTestSample) -> list[Key]:
    """List what to ask for: the whole grid, and the probes that are not in it."""
    known = accepts(accept_types(spec, sample))
    types = content_types(sample.content_type)
    keys: list[Key] = []
    if spec.negotiate:
        keys += [("as given", kind, name, accept) for kind in types for name, accept in known]
    if spec.probe:
        name, accept = known[0]
        keys.append(("as given", "as given", name, accept))
        if "with charset" in types:
            keys.append(("as given", "with charset", name, accept))
        keys += [(body, "as given", name, accept) for body in _row_probes(sample)]
    return list(dict.fromkeys(keys))


def _row_probes(sample: InferenceTestSample) -> tuple[BodyVariant, ...]:
    media_type = (sample.content_type or "").partition(";")[0].strip().lower()
    rows = media_type == "text/csv" and with_rows(body_bytes(sample.request_body), 1)
    return ("one row", "two rows") if rows else ()


def _of_sample(
    spec: InferenceHandlerSpec, sample: InferenceTestSample, keys: list[Key]
) -> Iterator[Variant]:
    """Give the variants of a sample; what is the same request but for its accept is one sample.

    So a request that hung before the accept type was looked at is not made with the other ones.
    """
    types = content_types(sample.content_type)
    body = body_bytes(sample.request_body)
    bodies = {"as given": body, "one row": with_rows(body, 1), "two rows": with_rows(body, 2)}
    unexpecting = {name: type(sample).model_fields[name].default for name in EXPECTATIONS}
    changed = {
        (what, kind): sample.model_copy(
            update={
                **unexpecting,
                "sample_name": f"{sample.sample_name} ({what}, {kind})",
                "request_body": bodies[what],
                "content_type": types[kind],
            }
        )
        for what, kind, _, _ in keys
    }
    for what, kind, name, accept in keys:
        request = Request(changed[what, kind], accept)
        yield Variant(request, sample.sample_name, what, kind, name)


def _each_once(
    found: dict[ContentTypeVariant, str | None],
) -> dict[ContentTypeVariant, str | None]:
    """Leave out a variant that is the same request as an earlier one."""
    first: dict[str | None, ContentTypeVariant] = {}
    for name, value in found.items():
        first.setdefault(value, name)
    return {name: value for value, name in first.items()}


def _is_header(first: bytes, second: bytes) -> bool:
    """Say whether a line names columns: none of its cells is a number, and some below are."""
    return not any(map(_is_number, first.split(b","))) and any(map(_is_number, second.split(b",")))


def _is_number(cell: bytes) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True

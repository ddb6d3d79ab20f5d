"""All that a diagnosis may look at: the result, the spec, what the package showed before it ran."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from harness.checks import refusals, signatures
from harness.checks.arguments import body_bytes
from harness.checks.refusals import Refusal
from harness.results import EndToEndTestResult, FunctionTestResult, InferenceTestResult
from harness.specs import InferenceHandlerSpec, InferenceTestSample
from harness.summaries import Diagnosis, FailureSummary

FLASK = ("sklearn", "xgboost")
TEXT_TYPES = ("application/json", "text/csv")
FORM = "application/x-www-form-urlencoded"

_UNPICKLERS = ("pickle.py", "numpy_pickle.py", "_pickle.py", "serialization.py")
_LOADS = re.compile(r"\b(?:c?pickle|joblib|dill|cloudpickle|Unpickler\([^)]*\)|torch)\.loads?\(")


@dataclass(frozen=True)
class Look:
    """What the package shows before any of its code runs: afterwards it is the handler's to change.

    `layout` are the mistakes of where things lie; `required` the distributions that it lists, each
    with its line; `accepted` the media types that functions name; `files` are those of the model,
    and `place` what to call where they are;
    `unreadable` those among them that hold no model, with the reason; `site_packages` is where the
    handler's packages are.
    """

    model_dir: str = ""
    place: str = "the model directory"
    definitions: Mapping[str, signatures.Definition] = field(default_factory=dict)
    layout: tuple[Diagnosis, ...] = ()
    required: Mapping[str, str] = field(default_factory=dict)
    accepted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    site_packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """One exception of a chain."""

    type: str
    bases: tuple[str, ...]
    message: str

    def is_a(self, *names: str) -> bool:
        """Say whether it is of one of these classes, or of a class that derives from one."""
        return not {self.type, *self.bases}.isdisjoint(names)


def chain(failure: FailureSummary) -> Iterator[Link]:
    """Go through an exception and those behind it, nearest first."""
    yield Link(failure.type, tuple(failure.bases), failure.message)
    for cause in failure.causes:
        yield Link(cause.type, tuple(cause.bases), cause.message)


def link(failure: FailureSummary, *names: str) -> Link | None:
    """Find the nearest exception of one of these classes in a chain."""
    return next((one for one in chain(failure) if one.is_a(*names)), None)


def unpickles(failure: FailureSummary) -> bool:
    """Say whether an unpickler raised it; one in C has no frame but that of its caller."""
    last = failure.frames[-1] if failure.frames else None
    if last is None:
        return False
    return last.file.endswith(_UNPICKLERS) or bool(_LOADS.search(last.code or ""))


@dataclass(frozen=True)
class Case:
    """One handler and what came out of testing it; `samples` are the requests."""

    result: InferenceTestResult
    spec: InferenceHandlerSpec
    look: Look
    samples: tuple[InferenceTestSample, ...] = ()

    def body(self, row: Row) -> bytes | None:
        """Give the body of the request that a row belongs to, where it is known."""
        return self.body_of(row.sample_name)

    def body_of(self, name: str | None) -> bytes | None:
        """Give the body of a sample, where it is known."""
        sample = self._by_name.get(name)
        return None if sample is None else body_bytes(sample.request_body)

    @cached_property
    def _by_name(self) -> dict[str | None, InferenceTestSample]:
        return {sample.sample_name: sample for sample in self.samples}

    def failures(self, function: str | None = None) -> Iterator[tuple[Row, FailureSummary]]:
        """Go through the rows that raised what nobody expected, of one function or of all.

        What the sandbox refused is told by `refused`, and is no mistake of a handler's.
        """
        for row in self.result.function_results():
            raised = row.failure is not None and not row.success
            if raised and function in (None, row.function_name) and id(row) not in self._refused:
                assert row.failure is not None
                yield row, row.failure

    def refused(self) -> Iterator[tuple[Row, Refusal]]:
        """Go through the rows that failed for what the sandbox refused."""
        yield from self._refused.values()

    @cached_property
    def _refused(self) -> dict[int, tuple[Row, Refusal]]:
        found = {}
        for row in self.result.function_results():
            refusal = None if row.success else refusals.of(row, self.result.isolation)
            if refusal is not None:
                found[id(row)] = row, refusal
        return found

    def row_of(self, function: str, like: Row) -> Row | None:
        """Find another function's row of the same sample."""
        rows = (row for row in self.result.function_results() if row.function_name == function)
        return next((row for row in rows if row.sample_name == like.sample_name), None)

    def answers(self) -> Iterator[tuple[EndToEndTestResult, Row | None]]:
        """Go through the requests, each with the row of the function that answered it."""
        rows = {
            (row.sample_name, row.accept_type): row
            for row in self.result.function_results()
            if row.function_name in ("output_fn", "transform_fn")
        }
        for end in self.result.end_to_end_results:
            yield end, rows.get((end.sample_name, end.accept_type))


Row = FunctionTestResult
# A request, and what its answer shows: the code, the words, the function.
Seen = tuple[EndToEndTestResult, str, str, str | None]


def is_default(row: Row) -> bool:
    """Say whether a row is of the stack's own function, in place of one that is not defined."""
    return row.validation_details.get("default") is True


def essence(content_type: str | None) -> str:
    """Give a media type without its parameters, in lower case."""
    return (content_type or "").partition(";")[0].strip().lower()

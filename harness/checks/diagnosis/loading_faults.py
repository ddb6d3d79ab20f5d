"""Mistakes that show when the handler is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from harness.checks.diagnosis.case import Case, is_default
from harness.results import Diagnosis, FailureSummary, LogExcerpt

GUNICORN_S = 60.0
_OF_MAIN = re.compile(r"Can't get attribute '([^']+)' on <module '__main__'")  # pickle's own words
# scikit-learn's own warning, in the log because Python prints warnings there; plain before 1.3
_VERSIONS = re.compile(r"(?:InconsistentVersion|User)Warning: Trying to unpickle estimator (\w+) "
                       r"from version (\S+) when using version (\S+?)\.? ")  # fmt: skip
# What preflight says (environments/preflight.py); a C unpickler leaves no frame to know it by.
_DRIFT = re.compile(r"(\S+) was made with scikit-learn (\S+) and is loaded with (\S+?): ")
_UNPICKLERS = ("pickle.py", "numpy_pickle.py", "_pickle.py", "serialization.py")


def find(case: Case) -> Iterator[Diagnosis]:
    """Find why model_fn failed, or loads what will not do."""
    row = case.result.model_fn_result
    failure = row.failure
    if failure is not None:
        told = f"loading fails: {failure.type}: {failure.message[:200]}"
        yield Diagnosis(code="HP201", message=told, function="model_fn")
        yield from _of_failure(failure, missing=is_default(row))
        yield from _of_drift(case.result.warnings)
    yield from _of_versions(row.log)
    if row.execution_time > GUNICORN_S:
        told = f"model_fn took {row.execution_time:.0f} s; gunicorn ends a worker after 60 s"
        yield Diagnosis(code="HP204", message=told, function="model_fn")
    for made in case.result.function_results():
        for attempt in made.network_attempts:
            if attempt.kind == "install":
                told = f"it runs {attempt.target[:200]!r} ({attempt.file}:{attempt.line})"
                yield Diagnosis(code="HP206", message=told, function=made.function_name)


def _of_failure(failure: FailureSummary, *, missing: bool) -> Iterator[Diagnosis]:
    main = _OF_MAIN.search(failure.message)
    if main and failure.type == "AttributeError":
        told = f"the pickle looks for {main[1]} in __main__, the script that saved it"
        yield Diagnosis(code="HP202", message=told, function="model_fn")
    elif failure.type in ("AttributeError", "ModuleNotFoundError", "TypeError", "ValueError"):
        inside = [frame for frame in failure.frames if frame.file.endswith(_UNPICKLERS)]
        if inside and failure.frames[-1].file.endswith(_UNPICKLERS):
            told = f"unpickling the model fails with {failure.type}: {failure.message[:200]}"
            yield Diagnosis(code="HP203", message=told, function="model_fn")
    if failure.type == "NotImplementedError" and missing:
        told = "the module defines no model_fn, and the stack has no default"
        yield Diagnosis(code="HP205", message=told, function="model_fn")
    if failure.type == "FileNotFoundError":
        yield Diagnosis(code="HP207", message=failure.message[:300], function="model_fn")


def _of_drift(warnings: Iterable[str]) -> Iterator[Diagnosis]:
    for match in filter(None, map(_DRIFT.match, warnings)):
        told = f"{match[1]} was saved by scikit-learn {match[2]} and loaded by {match[3]}"
        yield Diagnosis(code="HP203", message=told, function="model_fn")


def _of_versions(log: LogExcerpt | None) -> Iterator[Diagnosis]:
    for match in _VERSIONS.finditer(log.head + log.tail if log else ""):
        told = f"{match[1]} was saved by scikit-learn {match[2]} and loaded by {match[3]}"
        yield Diagnosis(code="HP203", message=told, function="model_fn")

"""Mistakes that show when the handler is loaded."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator

from harness.checks.diagnosis import package_faults
from harness.checks.diagnosis.case import Case, Look, is_default, link, unpickles
from harness.summaries import Diagnosis, FailureSummary, LogExcerpt

GUNICORN_S = 60.0
# pickle's own words; with protocols before 4, those of getattr
_OF_MAIN = re.compile(r"(?:Can't get attribute '(?P<new>[^']+)' on <module '__main__'"
                      r"|module '__main__' has no attribute '(?P<old>[^']+)')")  # fmt: skip
# scikit-learn's own warning, in the log because Python prints warnings there; plain before 1.3
_VERSIONS = re.compile(r"(?:InconsistentVersion|User)Warning: Trying to unpickle estimator (\w+) "
                       r"from version (\S+) when using version (\S+?)\.? ")  # fmt: skip
# What preflight says (environments/preflight.py); a C unpickler leaves no frame to know it by.
_DRIFT = re.compile(r"(\S+) was made with scikit-learn (\S+) and is loaded with (\S+?): ")
_PATH = re.compile(r"No such file or directory: '([^']+)'")  # CPython's own words
# What readers of pickles, archives and compressed files raise, and xgboost.
_UNREADABLE = ("UnpicklingError", "EOFError", "BadZipFile", "BadGzipFile", "LZMAError",
               "XGBoostError", "JSONDecodeError")  # fmt: skip
_OF_ANYTHING = ("EOFError", "JSONDecodeError")  # these may come of other things than of a file
_OF_NO_FILE = re.compile(r"(?<![.\w])input\(|\bjson\.loads\(")
_READS = re.compile(r"\bopen\(|\.read|\bread_")
_SHOWN = 10
_MISSING = re.compile(r"No module named '([^']+)'")
# Modules that only some versions of their package have, and so tell which one saved a pickle.
_MADE_WITH = {
    "numpy._core": "numpy 2.0 or newer",
    "pandas.core.indexes.numeric": "pandas before 2.0",
    "sklearn.externals": "scikit-learn before 0.23",
    "sklearn.ensemble.forest": "scikit-learn before 0.24",
    "sklearn.tree.tree": "scikit-learn before 0.24",
    "sklearn.linear_model.logistic": "scikit-learn before 0.24",
    "sklearn.preprocessing.data": "scikit-learn before 0.24",
    "sklearn._loss.loss": "scikit-learn 1.1 or newer",
}


def find(case: Case) -> Iterator[Diagnosis]:
    """Find why model_fn failed, or loads what will not do."""
    row = case.result.model_fn_result
    failure = next((failure for _, failure in case.failures("model_fn")), None)
    if failure is not None:
        told = f"loading fails: {failure.type}: {failure.message[:200]}"
        yield Diagnosis(code="HP201", message=told, function="model_fn")
        yield from _of_failure(failure, missing=is_default(row))
        yield from _of_file(case.look, failure)
        drift = list(_of_drift(case.result.warnings))
        yield from drift or _of_unpickling(case.look, failure)
    yield from _of_versions(row.log)
    yield from _of_missing_files(case)
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
        name = main["new"] or main["old"]
        told = f"the pickle looks for {name} in __main__, the script that saved it"
        yield Diagnosis(code="HP202", message=told, function="model_fn")
    if failure.type == "NotImplementedError" and missing:
        told = "the module defines no model_fn, and the stack has no default"
        yield Diagnosis(code="HP205", message=told, function="model_fn")


def _of_missing_files(case: Case) -> Iterator[Diagnosis]:
    for row, failure in case.failures():
        found = link(failure, "FileNotFoundError")
        if found is not None:
            yield Diagnosis(
                code="HP207",
                message=_missing_file(case.look, found.message),
                function=row.function_name,
                sample_name=row.sample_name,
            )


def _missing_file(look: Look, said: str) -> str:
    match = _PATH.search(said)
    if match is None:
        return f"{said[:200]}; {_held(look)}"
    path = match[1]
    below = path.removeprefix(look.model_dir.rstrip("/") + "/") if look.model_dir else path
    if below == path and os.path.isabs(path):
        told = f"it looks for {path[:200]}, which is not below the model_dir that it gets"
        return f"{told}; {_held(look)}"
    near = difflib.get_close_matches(below, look.files, n=1)
    meant = f": did you mean {near[0]}?" if near else ""
    return f"it looks for {below[:200]}{meant}; {_held(look)}"


def _held(look: Look) -> str:
    """Say what the model directory holds."""
    if not look.files:
        return f"{look.place} is empty" if look.model_dir else "nothing is known of the directory"
    more = f" and {len(look.files) - _SHOWN} more" if len(look.files) > _SHOWN else ""
    return f"{look.place} holds {', '.join(look.files[:_SHOWN])}{more}"


def _of_unpickling(look: Look, failure: FailureSummary) -> Iterator[Diagnosis]:
    """Find a pickle that refers to what the installed version of a package does not have."""
    found = link(failure, "AttributeError", "ModuleNotFoundError", "TypeError", "ValueError")
    if found is None or not unpickles(failure) or _OF_MAIN.search(found.message):
        return
    told = f"unpickling the model fails with {found.type}: {found.message[:200]}"
    module = _MISSING.search(found.message)
    for name, made in _MADE_WITH.items() if module else ():
        if module and f"{module[1]}.".startswith(f"{name}."):
            here = package_faults.version_of(name, look)
            told += f"; {name} is of {made}, and {name.partition('.')[0]}{here} loads it"
    yield Diagnosis(code="HP203", message=told, function="model_fn")


def _of_file(look: Look, failure: FailureSummary) -> Iterator[Diagnosis]:
    """Find files that hold no model: each that failed to load may be one of them."""
    found = link(failure, *_UNREADABLE)
    if found is not None and found.type in _OF_ANYTHING and _reads_no_file(failure):
        found = None
    suspect = found or link(failure, "ValueError", "RuntimeError", "KeyError", "OSError")
    for name, why in look.unreadable.items() if suspect is not None else ():
        yield Diagnosis(code="HP208", message=f"{name} {why}", function="model_fn")
    if found is not None and not look.unreadable:
        told = f"it is cut short, or of another format: {found.type}: {found.message[:200]}"
        yield Diagnosis(code="HP208", message=told, function="model_fn")


def _reads_no_file(failure: FailureSummary) -> bool:
    """Say whether the handler's own last line asks for input, or decodes a text that it has."""
    own = next((frame for frame in reversed(failure.frames) if frame.in_handler), None)
    code = (own and own.code) or ""
    return bool(_OF_NO_FILE.search(code)) and not _READS.search(code)


def _of_drift(warnings: Iterable[str]) -> Iterator[Diagnosis]:
    for match in filter(None, map(_DRIFT.match, warnings)):
        told = f"{match[1]} was saved by scikit-learn {match[2]} and loaded by {match[3]}"
        yield Diagnosis(code="HP203", message=told, function="model_fn")


def _of_versions(log: LogExcerpt | None) -> Iterator[Diagnosis]:
    for match in _VERSIONS.finditer(log.head + log.tail if log else ""):
        told = f"{match[1]} was saved by scikit-learn {match[2]} and loaded by {match[3]}"
        yield Diagnosis(code="HP203", message=told, function="model_fn")

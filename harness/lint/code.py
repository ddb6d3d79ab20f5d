"""Where things lie in the package, and its handler's functions as the stack would call them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from harness.artifacts import entry_point, syntax
from harness.checks import signatures
from harness.checks.diagnosis import package_faults
from harness.lint.finding import Finding, Subject

_NO_DEFAULT_MODEL_FN = ("toolkit", "sklearn", "xgboost")


def layout(subject: Subject) -> Iterator[Finding]:
    """Tell where things lie that the server looks for elsewhere."""
    for seen in package_faults.of_layout(subject.spec, subject.package):
        yield Finding(seen.code, "warning", seen.message)


def functions(subject: Subject) -> Iterator[Finding]:
    """Judge the entry point: that it can be read, its functions' parameters, what is missing."""
    module = entry_point.find_module(subject.package.module, subject.package.sys_path)
    if module is None or module.file.suffix != ".py":
        return
    place = subject.place(module.file) if module.file.is_relative_to(subject.root) else None
    try:
        found = signatures.of_source(module.file.read_bytes())
    except SyntaxError as error:
        told = f"the module cannot be read: {error.msg}"
        yield Finding("HP109", "error", told, place, error.lineno)
        return
    except ValueError as error:
        yield Finding("HP109", "error", f"the module cannot be read: {error}", place)
        return
    wrong = list(signatures.problems(found, subject.spec.stack))
    for problem in wrong:
        severity = "error" if problem.certain else "warning"
        yield Finding(problem.code, severity, problem.message, place, problem.line)  # type: ignore[arg-type]
    if not any(problem.function == "model_fn" for problem in wrong):
        yield from _missing(subject, found, place)


def _missing(
    subject: Subject, found: dict[str, signatures.Definition], place: str | None
) -> Iterator[Finding]:
    needed = subject.spec.stack in _NO_DEFAULT_MODEL_FN
    if needed and "model_fn" not in found and not _has_star_import(subject):
        told = f"model_fn is not defined, and the {subject.spec.stack} stack has no default"
        yield Finding("HP205", "error", told, place)


def _has_star_import(subject: Subject) -> bool:
    module = entry_point.find_module(subject.package.module, subject.package.sys_path)
    assert module is not None
    return any(
        isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
        for node in syntax.parsed(module.file.read_bytes()).body
    )

"""Mistakes of the package: where its code lies, what it requires."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from harness.artifacts.package import Package
from harness.checks import signatures
from harness.checks.diagnosis.case import Case, Look
from harness.results import Diagnosis
from harness.specs import InferenceHandlerSpec

# Distributions of AWS's own images that are not on the index, or not for today's Pythons.
_AWS_ONLY = (
    "sagemaker_containers",
    "sagemaker_xgboost_container",
    "sagemaker_sklearn_container",
    "sagemaker_algorithm_toolkit",
    "smdebug",
    "neo_loader",
    "neopytorch",
    "neomxnet",
    "dlr",
    "awscontainers",
)
_NO_MODULE = re.compile(r"No module named '([^']+)'")  # CPython's own words, import.c
_MAX_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def look(spec: InferenceHandlerSpec, package: Package) -> Look:
    """Take down what diagnoses need of a package. Call it before any of its code runs."""
    definitions: dict[str, signatures.Definition] = {}
    file = package.handler_file
    if file is not None and file.suffix == ".py":
        with contextlib.suppress(OSError, SyntaxError, ValueError, RecursionError):
            definitions = signatures.of_source(file.read_bytes())
    return Look(definitions, tuple(of_layout(spec, package)), frozenset(_required(package)))


def find(case: Case) -> Iterator[Diagnosis]:
    """Find them in the layout, in what could not be imported, and in the signatures."""
    yield from case.look.layout
    yield from _of_imports(case)
    for problem in signatures.problems(case.look.definitions, case.spec.stack):
        yield Diagnosis(code=problem.code, message=problem.message, function=problem.function)


def of_layout(spec: InferenceHandlerSpec, package: Package) -> Iterator[Diagnosis]:
    """Find what lies elsewhere than the server looks."""
    yield from _of_program(spec, package)
    forks = sum(1 for _ in package.model_dir.rglob("._*"))
    if forks:
        yield Diagnosis(code="HP104", message=f"the package holds {forks} '._' files of macOS")
    at_root = (package.model_dir / "requirements.txt").is_file()
    if at_root and not (package.model_dir / "code" / "requirements.txt").is_file():
        told = "requirements.txt lies at the package's root, where no server installs it"
        yield Diagnosis(code="HP105", message=told)


def _of_program(spec: InferenceHandlerSpec, package: Package) -> Iterator[Diagnosis]:
    program = spec.environ_vars.get("SAGEMAKER_PROGRAM")
    asked = (program or "inference").removesuffix(".py")
    if program is not None and "/" in program:
        told = f"SAGEMAKER_PROGRAM is {program!r}; a module's name has no slash"
        yield Diagnosis(code="HP102", message=told)
    elif spec.packaged_model_path is not None and spec.entry_point is None:
        if package.handler_file is None:
            told = f"there is no module {asked!r}; the stack's defaults run in its place"
            yield Diagnosis(code="HP101", message=told)
        elif package.module != asked:
            told = f"there is no module {asked!r}; {package.handler_file.name} was run in its place"
            yield Diagnosis(code="HP101", message=told)


def _of_imports(case: Case) -> Iterator[Diagnosis]:
    for row, failure in case.failures():
        if (
            failure.type in ("SyntaxError", "IndentationError", "TabError")
            and row.phase == "import"
        ):
            yield Diagnosis(code="HP109", message=f"{failure.type}: {failure.message}")
        match = _NO_MODULE.search(failure.message)
        if failure.type != "ModuleNotFoundError" or match is None:
            continue
        name = match[1].partition(".")[0]
        code, told = _missing(name, case.look.required)
        yield Diagnosis(code=code, message=told, function=row.function_name)


def _missing(name: str, names: frozenset[str]) -> tuple[str, str]:
    if name in _AWS_ONLY:
        return "HP108", f"{name} exists only inside AWS's containers"
    if name.lower().replace("_", "-") in names:
        return "HP106", f"code/requirements.txt lists {name}, which is not installed here"
    return "HP107", f"{name} is imported, and neither installed nor listed in code/requirements.txt"


def _required(package: Package) -> set[str]:
    """Name the distributions that code/requirements.txt lists, in the index's spelling."""
    file = package.model_dir / "code" / "requirements.txt"
    text = _text(file) or _text(package.code_dir / "requirements.txt")
    lines = (line.strip() for line in text.splitlines())
    found = (_NAME.match(line) for line in lines if not line.startswith(("#", "-")))
    return {match[0].lower().replace("_", "-") for match in found if match}


def _text(file: Path) -> str:
    if not file.is_file() or file.stat().st_size > _MAX_BYTES:
        return ""
    return file.read_text("utf-8", "replace")

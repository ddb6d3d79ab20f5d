"""Mistakes of the package: where its code lies, what it requires."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.artifacts.package import Package
from harness.checks import accepted, signatures
from harness.checks.diagnosis.case import Case, Link, Look, link, unpickles
from harness.environments import distributions
from harness.environments.requirements import normal
from harness.specs import InferenceHandlerSpec
from harness.summaries import Diagnosis, FailureSummary

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
_NO_ATTRIBUTE = re.compile(r"module '([^']+)' has no attribute '([^']+)'")  # and of modules
_NO_MODULE = re.compile(r"No module named '([^']+)'")  # CPython's own words, import.c
_NO_NAME = re.compile(
    r"cannot import name '([^']+)' from (?:partially initialized module )?'([^']+)'"
)
_MAX_BYTES = 1 << 20
_MAX_FILES = 200
_SHOWN = 10
_LFS = b"version https://git-lfs.github.com/spec/"  # as Git LFS writes it, in at most 1 KiB
_LFS_BYTES = 1024
_PAGES = (b"<!doctype html", b"<html", b"<?xml")
_MODELS = frozenset(
    {".pkl", ".pickle", ".joblib", ".sav", ".bst", ".model", ".ubj", ".xgb", ".cbm", ".pt", ".pth"}
    | {".bin", ".onnx", ".h5", ".safetensors", ".npy", ".npz"}
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def look(spec: InferenceHandlerSpec, package: Package, site_packages: Sequence[str] = ()) -> Look:
    """Take down what diagnoses need of a package. Call it before any of its code runs."""
    definitions: dict[str, signatures.Definition] = {}
    types: dict[str, tuple[str, ...]] = {}
    file = package.handler_file
    if file is not None and file.suffix == ".py":
        with contextlib.suppress(OSError, SyntaxError, ValueError, RecursionError):
            source = file.read_bytes()
            definitions, types = signatures.of_source(source), accepted.of_source(source)
    return Look(
        definitions=definitions,
        layout=tuple(of_layout(spec, package)),
        required=_required(package.model_dir, package.code_dir),
        accepted=types,
        site_packages=tuple(site_packages),
        **_of_files(package.model_dir),
    )


def with_live(look: Look, live: Mapping[str, signatures.Definition]) -> Look:
    """Add what a worker shows of functions of which the source only says that they are there."""
    hidden = {name: live[name] for name, item in look.definitions.items()
              if not item.known and name in live}  # fmt: skip
    return replace(look, definitions={**look.definitions, **hidden})


def look_at(model_dir: Path) -> Look:
    """Take down what a directory alone shows."""
    required = _required(model_dir, model_dir / "code")
    return Look(place=str(model_dir), required=required, **_of_files(model_dir))


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
        if row.phase == "import" and link(failure, "SyntaxError"):
            yield Diagnosis(code="HP109", message=f"{failure.type}: {failure.message}")
        if row.function_name == "model_fn" and unpickles(failure):
            continue
        if told := _of_attribute(failure, case.look):
            yield Diagnosis(code="HP110", message=told, function=row.function_name)
        found = link(failure, "ImportError")
        if found is None:
            continue
        if seen := _of_import(found, case.look):
            code, told = seen
            yield Diagnosis(code=code, message=told, function=row.function_name)


def _of_attribute(failure: FailureSummary, look: Look) -> str | None:
    """Tell a name that an installed package has not; a module of the handler's is no package."""
    found = link(failure, "AttributeError")
    match = _NO_ATTRIBUTE.match(found.message) if found else None
    here = version_of(match[1], look) if match else ""
    return f"{match[1]}{here} has no {match[2]}{_asked(match[1], look)}" if match and here else None


def _of_import(found: Link, look: Look) -> tuple[str, str] | None:
    module, name = _NO_MODULE.search(found.message), _NO_NAME.search(found.message)
    if name is not None:
        here = version_of(name[2], look)
        return "HP110", f"{name[2]}{here} has no {name[1]}{_asked(name[2], look)}"
    if module is None:
        return None if not found.message else ("HP111", f"an import fails: {found.message[:200]}")
    top, dot, _ = module[1].partition(".")
    if dot:  # the import system names the first part that is missing: what is above is there
        return "HP110", f"{top}{version_of(top, look)} has no {module[1]}{_asked(top, look)}"
    return _missing(top, look)


def _missing(name: str, look: Look) -> tuple[str, str]:
    if name in _AWS_ONLY:
        return "HP108", f"{name} exists only inside AWS's containers"
    if distributions.listed(name, look.required):
        asked = _asked(name, look) or ", in code/requirements.txt"
        return "HP106", f"code/requirements.txt lists {name}, which is not installed here{asked}"
    listed = f" (it lists {', '.join(sorted(look.required)[:_SHOWN])})" if look.required else ""
    told = f"{name} is imported, and neither installed nor listed in code/requirements.txt{listed}"
    return "HP107", told


def version_of(module: str, look: Look) -> str:
    """Name the installed version of a module's distribution behind a space; nothing, unknown."""
    name = distributions.name_of(module.partition(".")[0])
    found = distributions.version(name, look.site_packages)
    return f" {found}" if found else ""


def _asked(module: str, look: Look) -> str:
    """Give the line of the requirements that asks for a module's distribution."""
    line = look.required.get(distributions.name_of(module.partition(".")[0]))
    return f"; code/requirements.txt says {line!r}" if line else ""


def _required(model_dir: Path, code_dir: Path) -> dict[str, str]:
    """Give the lines of code/requirements.txt by the distributions, in the index's spelling."""
    text = _text(model_dir / "code" / "requirements.txt") or _text(code_dir / "requirements.txt")
    found: dict[str, str] = {}
    for line in (line.partition(" #")[0].strip() for line in text.splitlines()):
        match = None if line.startswith(("#", "-")) else _NAME.match(line)
        if match is not None:
            found[normal(match[0])] = line
    return found


def _of_files(model_dir: Path) -> dict[str, Any]:
    """List the files of a model, code/ left out as one, and those that hold none."""
    files: list[str] = []
    unreadable: dict[str, str] = {}
    for folder, folders, names in os.walk(model_dir):
        inner = os.path.relpath(folder, model_dir)
        if inner == ".":
            files += ["code/"] * ("code" in folders)
            folders[:] = [name for name in folders if name not in ("code", "__pycache__")]
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            shown = name if inner == "." else f"{inner}/{name}"
            files.append(shown)
            if why := _unreadable(path):
                unreadable[shown] = why
        if len(files) > _MAX_FILES:
            break
    return {
        "model_dir": str(model_dir),
        "files": tuple(files[:_MAX_FILES]),
        "unreadable": unreadable,
    }


def _unreadable(file: Path) -> str | None:
    """Say why a file can hold no model: it has the extension of one, and no content of one."""
    if file.suffix not in _MODELS or file.is_symlink() or not file.is_file():
        return None
    size = file.stat().st_size
    if size == 0:
        return "is empty"
    if size <= _LFS_BYTES and file.read_bytes().startswith(_LFS):
        return "is a pointer of Git LFS, not the model"
    with file.open("rb") as opened:
        if opened.read(_LFS_BYTES).lstrip().lower().startswith(_PAGES):
            return "is a page of HTML or XML, as an error of a download, not the model"
    return None


def _text(file: Path) -> str:
    if not file.is_file() or file.stat().st_size > _MAX_BYTES:
        return ""
    return file.read_text("utf-8", "replace")

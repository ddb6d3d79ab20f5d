"""Open what the user wants tested: a model package, or a handler file with its model directory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.artifacts.entry_point import Module, find_candidates, find_module
from harness.artifacts.layout import Layout, lay_out, listed, some
from harness.artifacts.shelf import Unpack, unpacked
from harness.artifacts.workspace import RunDirectory
from harness.errors import PackageError
from harness.specs import InferenceHandlerSpec

ARCHIVE = "model.tar.gz"
_DEFAULT_MODULE = "inference"  # sagemaker-inference, environment.DEFAULT_MODULE_NAME


class NoHandlerError(PackageError):
    """Say why a package that was opened has no handler: which module is missing, what is there."""


@dataclass(frozen=True)
class Package:
    """A handler and its model, in directories that nobody else writes to.

    `module` is importable when `sys_path` (the code first, then the model's root, then the
    spec's own entries) is put on the import path. `handler_file` is None when no module could
    be a handler and the stack named in the spec runs its defaults.
    """

    model_dir: Path
    code_dir: Path
    module: str
    handler_file: Path | None
    sys_path: tuple[Path, ...]
    calibration_dir: Path | None
    warnings: tuple[str, ...]


def open_package(
    spec: InferenceHandlerSpec, run: RunDirectory, unpack: Unpack = unpacked
) -> Package:
    """Copy the spec's package below the run directory and find its entry point.

    `unpack` is how archives are, where somebody keeps them.

    The entry point is the spec's `entry_point`, else SAGEMAKER_PROGRAM of its `environ_vars`,
    else `inference`; in code/, then in the package's root (sagemaker-inference, contract 1.2).

    Raises:
        NoHandlerError: no handler in it.
        PackageError: a path that is not there, or an archive that is refused.
        WorkerError: the run directory cannot be written.
    """
    layout = lay_out(spec, run, unpack)
    module, warning = _entry(spec, layout)
    calibration = layout.model_dir / "calibration"
    return Package(
        model_dir=layout.model_dir,
        code_dir=layout.code_dir,
        module=module.name if module else _asked_module(spec),
        handler_file=module.file if module else None,
        sys_path=(*layout.search, *_extra_sys_path(spec)),
        calibration_dir=calibration if calibration.is_dir() else None,
        warnings=(*layout.warnings, *([warning] if warning else [])),
    )


def _extra_sys_path(spec: InferenceHandlerSpec) -> list[Path]:
    paths = [Path(os.path.abspath(entry)) for entry in spec.sys_path]
    for path in paths:
        if not path.exists():
            raise PackageError(f"{path}: no such file or directory; correct sys_path")
    return paths


def _entry(spec: InferenceHandlerSpec, layout: Layout) -> tuple[Module | None, str | None]:
    """Return the module to import, None for the stack's defaults, and a warning if need be."""
    if layout.entry_file is not None:
        return _entry_of_file(spec, layout, layout.entry_file), None
    name = _asked_module(spec)
    if module := find_module(name, layout.search):
        return module, None
    candidates = find_candidates(layout.search)
    if spec.entry_point is not None:
        raise NoHandlerError(_entry_point_missing(spec.entry_point, layout, candidates))
    if len(candidates) == 1:
        return candidates[0], _used_instead(name, candidates[0], layout)
    if candidates:
        raise NoHandlerError(
            f"{layout.shown}: no module {name!r} in {_places(layout)}, and several modules "
            f"define handler functions: {_files(candidates, layout)}; set entry_point to one of "
            "them (and SAGEMAKER_PROGRAM in production)"
        )
    if spec.stack_chosen:
        return None, _no_handler(name, layout)
    raise NoHandlerError(f"{layout.shown}: {_no_handler(name, layout)}")


def _asked_module(spec: InferenceHandlerSpec) -> str:
    asked = spec.entry_point
    if asked is None:
        asked = spec.environ_vars.get("SAGEMAKER_PROGRAM", _DEFAULT_MODULE)
    return asked.removesuffix(".py")


def _entry_of_file(spec: InferenceHandlerSpec, layout: Layout, file: Path) -> Module:
    if file.name == "__init__.py" or "." in file.stem:
        raise PackageError(
            f"{layout.shown}: {file.name} cannot be imported as a module of its own; rename it"
        )
    if spec.entry_point is not None and spec.entry_point.removesuffix(".py") != file.stem:
        raise PackageError(
            f"{layout.shown}: entry_point {spec.entry_point!r} contradicts the handler file "
            f"{file.name!r}; leave one of them out"
        )
    return Module(file.stem, file)


def _entry_point_missing(asked: str, layout: Layout, candidates: list[Module]) -> str:
    if "/" in asked:
        return (
            f"{layout.shown}: entry_point {asked!r} is a path, but the server imports a module "
            "by its name; put the file into code/ and set "
            f"entry_point={PurePosixPath(asked).name!r}"
        )
    step = (
        f"handler functions are defined in {_files(candidates, layout)}; set entry_point to that"
        if candidates
        else _what_is_there(layout)
    )
    return f"{layout.shown}: entry_point {asked!r} is not in {_places(layout)}; {step}"


def _used_instead(name: str, used: Module, layout: Layout) -> str:
    program = f"{used.name}.py" if used.file.name != "__init__.py" else used.name
    slash = " (a module name has no '/')" if "/" in name else ""
    return (
        f"no module {name!r} in {_places(layout)}{slash}; {_files([used], layout)} is used because "
        f"it alone defines handler functions; in production, set SAGEMAKER_PROGRAM={program}"
    )


def _no_handler(name: str, layout: Layout) -> str:
    return (
        f"no module {name!r} in {_places(layout)}, and no module there defines model_fn or another "
        f"handler function; {_what_is_there(layout)}"
    )


def _what_is_there(layout: Layout) -> str:
    """Say what was found instead, and the likely mistake."""
    root = layout.code_root
    if (root / ARCHIVE).is_file():
        return f"it holds {ARCHIVE!r}, which is the package: name {layout.shown}/{ARCHIVE}"
    entries = [path for path in root.iterdir() if not path.name.startswith("._")]
    if len(entries) == 1 and entries[0].is_dir() and entries[0] != layout.code_dir:
        only = entries[0].name
        return (
            f"the package has one root folder {only + '/'!r}: pack its content instead "
            f"(tar -czf model.tar.gz -C {only} .)"
        )
    modules = sorted(
        str(path.relative_to(root)) for path in root.rglob("*.py") if not path.name.startswith("._")
    )
    if modules:
        return f"Python files found: {some(modules)}; put the handler into code/"
    return f"it holds {listed(root)} and no Python file; put inference.py into code/"


def _places(layout: Layout) -> str:
    return " or ".join(
        "the root" if path == layout.code_root else f"{path.relative_to(layout.code_root)}/"
        for path in layout.search
    )


def _files(modules: Sequence[Module], layout: Layout) -> str:
    return ", ".join(str(module.file.relative_to(layout.code_root)) for module in modules)

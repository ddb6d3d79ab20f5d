"""Copy a package, or a handler with its model, into the run directory, laid out as served."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from harness import serving
from harness.artifacts import archive, tree
from harness.artifacts.limits import ArchiveLimits
from harness.artifacts.shelf import Unpack, unpacked
from harness.artifacts.workspace import RunDirectory
from harness.errors import PackageError, WorkerError
from harness.specs import InferenceHandlerSpec

_HANDLER_DIRECTORY_LIMITS = ArchiveLimits(max_members=5_000, max_bytes=256 << 20)
_NOT_CODE = frozenset(
    {".git", ".hg", ".svn", ".venv", ".tox", ".nox", ".ipynb_checkpoints", "node_modules"}
    | {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)
_MAX_LISTED = 10


@dataclass(frozen=True)
class Layout:
    """Where things were copied to: `code_root` is the copy of `code_origin`.

    `entry_file` is the module that the user named by its file, None to look for one by name.
    """

    shown: str
    code_origin: Path
    code_root: Path
    model_dir: Path
    code_dir: Path
    search: tuple[Path, ...]
    entry_file: Path | None
    warnings: tuple[str, ...]


def lay_out(spec: InferenceHandlerSpec, run: RunDirectory, unpack: Unpack = unpacked) -> Layout:
    """Make the copies that the spec asks for, with its overrides applied.

    Raises:
        PackageError: a path that is not there, or content that is refused.
        WorkerError: the run directory cannot be written.
    """
    try:
        if spec.packaged_model_path:
            layout = _from_package(spec, run, unpack)
        else:
            layout = _from_handler(spec, run)
    except OSError as error:
        raise WorkerError(
            f"the package cannot be copied into {run.path}: {error}; "
            "free some space, or name another workspace directory"
        ) from error
    return _with_handler_file(spec, layout)


def _from_package(spec: InferenceHandlerSpec, run: RunDirectory, unpack: Unpack) -> Layout:
    source = Path(spec.model_paths.get("extraction_root") or str(spec.packaged_model_path))
    model_dir = unpack(source, run)
    stack = serving.of(spec)
    code_dir = _code_dir(spec, source, model_dir)
    seen_dir, warning = _seen_dir(stack, model_dir)
    return Layout(
        shown=str(source),
        code_origin=source,
        code_root=model_dir,
        model_dir=seen_dir,
        code_dir=code_dir,
        search=_distinct(code_dir, *([seen_dir] if stack.code_at_root else [])),
        entry_file=None,
        warnings=(*_layout_warnings(model_dir), *([warning] if warning else [])),
    )


def _seen_dir(stack: serving.Serving, model_dir: Path) -> tuple[Path, str | None]:
    """Give the directory that model_fn gets: on TorchServe the only one in the package, if so."""
    entries = list(model_dir.iterdir())
    if not stack.single_directory or len(entries) != 1 or not entries[0].is_dir():
        return model_dir, None
    only = entries[0].name
    return entries[0], (
        f"the package holds the directory {only + '/'!r} and nothing else: {stack.title} gives "
        f"that one to model_fn, not the package's root"
    )


def _code_dir(spec: InferenceHandlerSpec, source: Path, model_dir: Path) -> Path:
    asked = spec.code_paths.get("inference_code_dir")
    if asked is None:
        # Where no code lies, it is named all the same: what a stack does without is its affair.
        at_root = serving.of(spec).code_at_root and not (model_dir / "code").is_dir()
        return model_dir if at_root else model_dir / "code"
    code_dir = _inside(asked, source, model_dir)
    if code_dir is None or not code_dir.is_dir():
        raise PackageError(
            f"{source}: code_paths['inference_code_dir'] = {asked!r} is no directory of the "
            f"package; give a path relative to its root, which holds {listed(model_dir)}"
        )
    return code_dir


def _layout_warnings(model_dir: Path) -> list[str]:
    found = []
    at_root = model_dir / "requirements.txt"
    if at_root.is_file() and not (model_dir / "code" / "requirements.txt").is_file():
        found.append(
            "requirements.txt lies at the root of the package, where the server ignores it: "
            "move it to code/requirements.txt"
        )
    walk = os.walk(model_dir)
    resource_forks = sum(name.startswith("._") for _, _, names in walk for name in names)
    if resource_forks:
        found.append(
            f"the package holds {resource_forks} '._' files that macOS added: "
            "pack it with COPYFILE_DISABLE=1"
        )
    return found


def _from_handler(spec: InferenceHandlerSpec, run: RunDirectory) -> Layout:
    handler = Path(os.path.abspath(str(spec.handler_path)))
    if not handler.exists():
        raise PackageError(f"{handler}: no such file; correct handler_path")
    if not handler.is_file() or handler.suffix != ".py":
        raise PackageError(
            f"{handler}: handler_path is no .py file; "
            "an archive or a package directory goes into packaged_model_path"
        )
    if "inference_code_dir" in spec.code_paths:
        raise PackageError(
            f"{handler}: code_paths['inference_code_dir'] belongs to packaged_model_path; "
            "with handler_path, give the directory there"
        )
    model_source = spec.model_paths.get("extraction_root") or spec.model_dir
    model_dir = run.make("model")
    if model_source:
        _copy_model(Path(model_source), model_dir)
    code_dir = run.make("code")
    warnings = _copy_code(handler, code_dir, Path(model_source) if model_source else None)
    entry_file = code_dir / handler.name
    if not entry_file.exists():  # a symlink that leaves its directory
        shutil.copyfile(handler, entry_file)
    return Layout(
        shown=str(handler),
        code_origin=handler.parent,
        code_root=code_dir,
        model_dir=model_dir,
        code_dir=code_dir,
        search=(code_dir, *([model_dir] if serving.of(spec).code_at_root else [])),
        entry_file=entry_file,
        warnings=tuple(warnings),
    )


def _copy_model(source: Path, model_dir: Path) -> None:
    if not source.is_dir():
        raise PackageError(f"{source}: no such directory; correct model_dir")
    archive.unpack(source, model_dir)


def _copy_code(handler: Path, code_dir: Path, model_source: Path | None) -> list[str]:
    """Copy the handler's directory, for its importable siblings; return what was left out."""
    warnings = []
    directory = handler.parent

    def leave_out(place: PurePosixPath, entry: os.DirEntry[str]) -> bool:
        if entry.is_symlink() and tree.link_leaves(directory, place):
            if directory / place != handler:
                warnings.append(f"{place} is a symlink that leaves {directory}: it was left out")
            return True
        return entry.is_dir(follow_symlinks=False) and (
            place.name in _NOT_CODE
            or os.path.exists(directory / place / "pyvenv.cfg")
            or (model_source is not None and _same(directory / place, model_source))
        )

    try:
        tree.copy(
            directory,
            code_dir,
            limits=_HANDLER_DIRECTORY_LIMITS,
            leave_out=leave_out,
            advice="put the handler into a directory of its own, or give packaged_model_path",
        )
    except PackageError as error:
        raise PackageError(f"{directory} (the handler's directory): {error}") from error
    return warnings


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _with_handler_file(spec: InferenceHandlerSpec, layout: Layout) -> Layout:
    """Apply the override code_paths["handler_file"]."""
    asked = spec.code_paths.get("handler_file")
    if asked is not None:
        roots = _distinct(layout.code_dir, layout.code_root)
        files = [_inside(asked, layout.code_origin, root) for root in roots]
        file = next((file for file in files if file is not None and file.is_file()), None)
        if file is None or file.suffix != ".py":
            raise PackageError(
                f"{layout.shown}: code_paths['handler_file'] = {asked!r} is no .py file of it; "
                f"give a path relative to the code, which holds {listed(layout.code_dir)}"
            )
        layout = replace(layout, entry_file=file)
    if layout.entry_file is None:
        return layout
    return replace(layout, search=_distinct(layout.entry_file.parent, *layout.search))


def listed(directory: Path) -> str:
    """Show what a directory holds, for a message."""
    names = (path.name + ("/" if path.is_dir() else "") for path in directory.iterdir())
    return some([repr(name) for name in sorted(names)]) or "nothing"


def some(items: list[str]) -> str:
    """Join the first few items, and count the others."""
    more = f" and {len(items) - _MAX_LISTED} more" if len(items) > _MAX_LISTED else ""
    return ", ".join(items[:_MAX_LISTED]) + more


def _inside(asked: str, origin: Path, copy: Path) -> Path | None:
    """Translate a path of the original, or one relative to it, to the copy; None if outside."""
    path = Path(asked)
    if path.is_absolute():
        if not path.resolve().is_relative_to(origin.resolve()):
            return None
        path = path.resolve().relative_to(origin.resolve())
    target = (copy / path).resolve()
    return target if target.is_relative_to(copy.resolve()) else None


def _distinct(*paths: Path) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(paths))

"""Handlers found: in directories, spec files, manifests and packages, also by glob.

A directory is one handler when it has a `code` directory, a model.tar.gz or a *.handler.toml; else
it is a collection, and each of its sub-directories that is a handler counts.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import spec_files
from harness.configuration import Settings, handler_file, resolved, settings_of
from harness.errors import SpecError
from harness.spec_files import HANDLER_SUFFIX

ARCHIVE = "model.tar.gz"
PAYLOADS = ("payloads", "payload.tar.gz")
SPEC_SUFFIXES = (".json", ".toml", ".yaml", ".yml")
WILD = frozenset("*?[")


@dataclass(frozen=True)
class Found:
    """A handler that was found: its own settings, and where."""

    settings: Settings
    place: str


def find(places: Sequence[str]) -> list[Found]:
    """Find the handlers at paths and globs, in order of the paths and by name in each.

    Raises SpecError for a path at which there is nothing, or no handler.
    """
    return [found for place in places for path in _paths(place) for found in _at(path)]


def _paths(place: str) -> list[Path]:
    if not WILD & set(place) or Path(place).exists():
        return [Path(place)]
    found = sorted(glob.glob(place, recursive=True))
    if not found:
        raise SpecError(f"nothing is there that matches {place}")
    return [Path(name) for name in found]


def _at(path: Path) -> list[Found]:
    if path.is_dir():
        return _in_directory(path)
    if not path.exists():
        raise SpecError(f"there is no file or directory at {path}")
    if path.name.endswith((".tar.gz", ".tgz", ".tar")):
        return [_archive(path, path.name.partition(".")[0])]
    if path.suffix in SPEC_SUFFIXES:
        return list(_in_file(path))
    raise SpecError(
        f"{path} is no handler; name a directory, a model.tar.gz, a spec (JSON, TOML, YAML) or a "
        "manifest"
    )


def _in_directory(folder: Path) -> list[Found]:
    own = _handler_in(folder)
    if own:
        return own
    found = [
        item
        for entry in sorted(folder.iterdir())
        if entry.is_dir() and not entry.name.startswith(".")
        for item in _handler_in(entry)
    ]
    if not found:
        raise SpecError(
            f"no handler is in {folder}; each needs a sub-directory with code/ (or a {ARCHIVE}) "
            f"and payloads/, or a *{HANDLER_SUFFIX} file"
        )
    return found


def _handler_in(folder: Path) -> list[Found]:
    files = sorted(folder.glob(f"*{HANDLER_SUFFIX}"))
    if files:
        return [_of_file(file, folder) for file in files]
    if (folder / ARCHIVE).is_file():
        return [_archive(folder / ARCHIVE, folder.resolve().name)]
    if (folder / "code").is_dir():
        name = folder.resolve().name
        return [_package(folder, name, _payloads(folder) or _payloads(folder.parent))]
    return []


def _of_file(file: Path, folder: Path) -> Found:
    """Read a handler's file; code and samples that it does not name are looked for beside it."""
    settings = handler_file(file)
    beside: dict[str, Any] = {}
    if not settings.values.keys() & {("packaged_model_path",), ("handler_path",)}:
        beside["packaged_model_path"] = str(
            folder / ARCHIVE if (folder / ARCHIVE).is_file() else folder
        )
    if not settings.values.keys() & {("payload_samples_path",), ("test_data_samples",)}:
        payloads = _payloads(folder)
        if payloads is not None:
            beside["payload_samples_path"] = str(payloads)
    return Found(settings_of(beside, f"beside {file}").under(settings), str(file))


def _archive(path: Path, name: str) -> Found:
    return _package(path, name, _payloads(path.parent))


def _package(path: Path, name: str, payloads: Path | None) -> Found:
    fields = {"handler_name": name, "packaged_model_path": str(path)}
    if payloads is not None:
        fields["payload_samples_path"] = str(payloads)
    return Found(settings_of(fields, str(path)), str(path))


def _payloads(folder: Path) -> Path | None:
    return next((folder / name for name in PAYLOADS if (folder / name).exists()), None)


def _in_file(path: Path) -> Iterator[Found]:
    if path.name.endswith(HANDLER_SUFFIX):
        yield _of_file(path, path.parent)
        return
    fields = spec_files.read(path)
    if "handlers" not in fields:
        yield Found(settings_of(resolved(fields, path.parent), str(path)), str(path))
        return
    yield from _in_manifest(path, fields)


def _in_manifest(path: Path, fields: dict[str, Any]) -> Iterator[Found]:
    """Go through a manifest: `handlers` is a list of paths, and of specs written out."""
    others = sorted(fields.keys() - {"handlers"})
    if others:
        raise SpecError(f"{path}: a manifest has handlers and nothing else, not {others[0]!r}")
    if not isinstance(fields["handlers"], list):
        raise SpecError(f"{path}: handlers must be a list of paths and specs")
    for number, entry in enumerate(fields["handlers"], start=1):
        if isinstance(entry, str):
            yield from find([str(path.parent / entry)])
        elif isinstance(entry, dict):
            own = resolved(entry, path.parent)
            place = f"{path}, handler {number}"
            yield Found(settings_of(own, place), place)
        else:
            raise SpecError(f"{path}: handler {number} must be a path or a spec, got {entry!r}")

"""Load payload samples from every layout that the Payload step and its users write."""

from __future__ import annotations

import difflib
import errno
import json
import os
import re
import stat
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from harness import media_types
from harness.artifacts import archive
from harness.artifacts.workspace import RunDirectory
from harness.errors import PackageError, PayloadError, SpecError
from harness.specs import InferenceTestSample

_ARCHIVE_NAME = re.compile(r".+\.(tar|tgz|tar\.(gz|bz2|xz|zst))", re.IGNORECASE)
_ARCHIVE_IN_DIRECTORY = "payload.tar.gz"
_MANIFESTS = ("samples.toml", "manifest.json", "manifest.toml")
_IGNORED_DIRECTORIES = frozenset({"__pycache__", "__MACOSX"})
_MAX_BODY_BYTES = 2 << 30
_MAX_FILES = 20_000
_MAX_DEPTH = 64

_Entry = dict[str, Any]  # fields of an InferenceTestSample
_Manifest = dict[str, _Entry]  # path of a file -> what is said of it
_SAID_OF_A_SAMPLE = sorted(set(InferenceTestSample.model_fields) - {"sample_name", "request_body"})


@dataclass(frozen=True)
class Payload:
    """One request body, byte for byte as in `file_path`, and what the manifest expects of it."""

    sample_name: str
    content_type: str
    body: bytes
    file_path: Path
    expected: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Payloads:
    """What was found: the samples, and for each file that is none "path: reason"."""

    samples: tuple[Payload, ...]
    ignored: tuple[str, ...]


def load(path: str | Path, run: RunDirectory) -> Payloads:
    """Load the samples of a directory, a payload archive or a single file.

    The content type comes from the directory's samples.toml, manifest.json or manifest.toml
    ({"file": {"content_type": "text/csv"}}), else from the nearest `<kind>_samples` directory,
    else from the name (`payload_text_csv_0.csv`), else from the extension. Such an entry may have
    every other field of an InferenceTestSample too. Hidden files are
    passed over in silence; files of unknown type and directories behind a symlink are listed in
    `ignored`. Samples are in the natural order of their paths (2 before 10). A name is the
    file's stem; where stems collide, the path without its extension, else the whole path.

    Raises:
        PayloadError: nothing at `path`, an archive that is refused, a manifest that does not
            fit, a symlink that leaves the directory, a file that cannot be read or exceeds 2 GiB.
    """
    typed: list[tuple[_Found, str]] = []
    ignored: list[str] = []
    for found in sorted(_find(Path(path), run), key=lambda found: _natural(found.place)):
        if not found.file.is_file():
            ignored.append(f"{_printable(str(found.place))}: is no regular file")
        elif content_type := _content_type(found):
            typed.append((found, content_type))
        else:
            ignored.append(
                f"{_printable(str(found.place))}: its content type is not known; "
                "name it in samples.toml"
            )
    names = _sample_names([found.place for found, _ in typed])
    return Payloads(
        samples=tuple(
            Payload(name, content_type, _body(found.file), found.file, _expected(found))
            for name, (found, content_type) in zip(names, typed, strict=True)
        ),
        ignored=tuple(ignored),
    )


@dataclass(frozen=True)
class _Found:
    """A file that may be a sample: `place` is its path below what the user named."""

    place: PurePosixPath
    file: Path
    entry: _Entry
    directory_type: str | None


def _find(path: Path, run: RunDirectory) -> Iterator[_Found]:
    try:
        is_directory = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        raise PayloadError(
            f"{path}: {error.strerror}; correct the path of the payload samples"
        ) from error
    if is_directory:
        yield from _in_directory(path, run)
    elif _ARCHIVE_NAME.fullmatch(path.name):
        yield from _in_directory(_unpacked(path, run), None)
    else:
        directory_type = media_types.of_kind(path.absolute().parent.name)
        yield _Found(PurePosixPath(path.name), path, {}, directory_type)


def _in_directory(root: Path, run: RunDirectory | None, prefix: str = "") -> Iterator[_Found]:
    """Yield the files below; an archive among them is unpacked only when `run` is given."""
    manifest = _read_manifest(root)
    for place, directory_type in _walk(root):
        if run is not None and str(place) == _ARCHIVE_IN_DIRECTORY:
            yield from _in_directory(_unpacked(root / place, run), None, str(place))
        else:
            entry = manifest.pop(str(place), {})
            yield _Found(PurePosixPath(prefix, place), root / place, entry, directory_type)
    if manifest:
        raise PayloadError(_not_there(root, next(iter(manifest))))


def _unpacked(path: Path, run: RunDirectory) -> Path:
    into = run.make("payload")
    try:
        archive.unpack(path, into)
    except PackageError as error:
        raise PayloadError(str(error)) from error
    return into


def _walk(root: Path) -> Iterator[tuple[PurePosixPath, str | None]]:
    pending = [(PurePosixPath(), media_types.of_kind(root.absolute().name))]
    count = 0
    while pending:
        place, directory_type = pending.pop()
        for entry in _listing(root / place):
            below = place / entry.name
            if _is_passed_over(below, entry):
                continue
            count += 1
            if count > _MAX_FILES or len(below.parts) > _MAX_DEPTH:
                raise PayloadError(
                    f"{root}: holds more than {_MAX_FILES} files or {_MAX_DEPTH} levels; "
                    "name the directory that holds only the samples"
                )
            if entry.is_symlink():
                _check_link(root, below)
            if entry.is_dir(follow_symlinks=False):
                pending.append((below, media_types.of_kind(entry.name) or directory_type))
            else:
                yield below, directory_type


def _listing(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError as error:
        raise PayloadError(
            f"{directory}: cannot be read: {error.strerror}; check its permissions"
        ) from error


def _is_passed_over(place: PurePosixPath, entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith("."):
        return True
    if entry.is_dir(follow_symlinks=False):
        return entry.name in _IGNORED_DIRECTORIES
    return str(place) in _MANIFESTS


def _check_link(root: Path, place: PurePosixPath) -> None:
    try:
        os.stat(root / place)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise PayloadError(f"{root / place}: is a symlink in a loop; remove it") from None
    if not (root / place).resolve().is_relative_to(root.resolve()):
        raise PayloadError(
            f"{root / place}: is a symlink that leaves {root}; put the real file there (cp -L)"
        )


def _read_manifest(root: Path) -> _Manifest:
    paths = [root / name for name in _MANIFESTS if (root / name).is_file()]
    if len(paths) > 1:
        both = " and ".join(path.name for path in paths)
        raise PayloadError(f"{root}: has {both}; keep one of them")
    if not paths:
        return {}
    path = paths[0]
    _check_link(root, PurePosixPath(path.name))
    try:
        text = _body(path).decode()
        entries: Any = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"{path}: is no valid {path.suffix[1:].upper()}: {error}") from error
    if not isinstance(entries, dict):
        raise PayloadError(f"{path}: must map file names to {_EXAMPLE}")
    return {
        str(PurePosixPath(name)): _checked_entry(path, name, entry)
        for name, entry in entries.items()
    }


_EXAMPLE = '{"content_type": "text/csv"}'


def _checked_entry(path: Path, name: str, entry: Any) -> _Entry:
    if not isinstance(entry, dict):
        raise PayloadError(f"{path}: the entry of {name!r} must be like {_EXAMPLE}")
    for key in entry:
        if key not in _SAID_OF_A_SAMPLE:
            raise PayloadError(
                f"{path}: unknown key {key!r} in the entry of {name!r}"
                f"{_did_you_mean(key, _SAID_OF_A_SAMPLE)}; the keys are "
                f"{', '.join(_SAID_OF_A_SAMPLE)}"
            )
    content_type = entry.get("content_type", "given by the file's name")
    if not isinstance(content_type, str) or not content_type.strip():
        raise PayloadError(f"{path}: the entry of {name!r} must be like {_EXAMPLE}")
    try:
        InferenceTestSample(**{"content_type": None, **entry}, sample_name="x", request_body=b"")
    except SpecError as error:
        raise PayloadError(f"{path}: the entry of {name!r}: {error}") from None
    return entry


def _expected(found: _Found) -> _Entry:
    return {name: value for name, value in found.entry.items() if name != "content_type"}


def _not_there(root: Path, name: str) -> str:
    places = [str(place) for place, _ in _walk(root)]
    return (
        f"{root}: the manifest names {name!r}, which is not there"
        f"{_did_you_mean(name, places)}; correct or remove the entry"
    )


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _content_type(found: _Found) -> str | None:
    name = found.place.name
    return (
        found.entry.get("content_type")
        or found.directory_type
        or media_types.of_payload_name(name)
        or media_types.of_extension(name)
    )


def _body(file: Path) -> bytes:
    try:
        # O_NONBLOCK: a fifo that took the file's place must not be waited for.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as opened:
            size = os.fstat(descriptor).st_size
            if size > _MAX_BODY_BYTES:
                raise PayloadError(
                    f"{file}: {size} bytes are more than the {_MAX_BODY_BYTES} that a sample may "
                    "have; cut it down"
                )
            return opened.read()
    except OSError as error:
        raise PayloadError(
            f"{file}: cannot be read: {error.strerror}; check its permissions"
        ) from error


def _natural(place: PurePosixPath) -> list[list[tuple[int, int, str]]]:
    """Order by path, and numbers in it by value; the text itself decides between 1 and 01."""
    return [
        [
            (0, int(piece), piece) if index % 2 else (1, 0, piece)
            for index, piece in enumerate(re.split(r"([0-9]+)", part))
        ]
        for part in place.parts
    ]


def _sample_names(places: list[PurePosixPath]) -> list[str]:
    """Name each sample as shortly as its neighbours allow."""
    choices = [(place.stem, str(place.with_suffix("")), str(place)) for place in places]
    chosen = [0] * len(places)
    while True:
        names = [choice[level] for choice, level in zip(choices, chosen, strict=True)]
        count = Counter(names)
        longer = [
            min(level + 1, 2) if count[name] > 1 else level
            for name, level in zip(names, chosen, strict=True)
        ]
        if longer == chosen:
            return [_printable(name) for name in names]
        chosen = longer


def _printable(name: str) -> str:
    """Show a name that is not UTF-8 with its bytes escaped, so that reports can hold it."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")

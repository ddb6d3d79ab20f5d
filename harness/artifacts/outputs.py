"""What a script writes: private places for its outputs, what was written, and where it goes.

A script never writes where the user's outputs lie. It is given places in the run directory, and
what it wrote there is copied to the user's paths afterwards; what lies there already stays.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.errors import PipelineError

MAX_FILES = 50_000
_FILE_NAME = re.compile(r".+\.[A-Za-z][A-Za-z0-9]{0,7}")


def prepare(asked: Mapping[str, str], folder: Path) -> dict[str, Path]:
    """Make a place in a folder for each output; outputs that lie within others do so there too.

    A path that looks like a file's is left to be written; any other becomes a directory.
    """
    wanted = {name: Path(os.path.abspath(path)) for name, path in asked.items()}
    places: dict[Path, Path] = {}
    for number, path in enumerate(sorted(set(wanted.values()), key=lambda path: len(path.parts))):
        outer = next((other for other in places if path.is_relative_to(other)), None)
        if outer is not None:
            places[path] = places[outer] / path.relative_to(outer)
        else:
            places[path] = folder / str(number) / (path.name or "output")
        _make(places[path], is_file=is_written_like_a_file(path) and not path.is_dir())
    return {name: places[path] for name, path in wanted.items()}


def is_written_like_a_file(path: Path) -> bool:
    """Tell whether a path has a name with an extension, so that a file is meant."""
    return _FILE_NAME.fullmatch(path.name) is not None


def _make(place: Path, *, is_file: bool) -> None:
    (place.parent if is_file else place).mkdir(parents=True, exist_ok=True)


def files(place: Path) -> Iterator[Path]:
    """Give the files at a place, in order: itself, or those below it.

    Links are left out, and so is all that a link above the place would lead to.
    """
    if os.path.realpath(place) != str(place):
        return
    if place.is_file():
        yield place
        return
    found = 0
    for folder, folders, names in os.walk(place):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                found += 1
                if found > MAX_FILES:
                    return
                yield path


def has_content(place: Path) -> bool:
    """Tell whether there is a file with anything in it."""
    return any(file.stat().st_size for file in files(place))


def publish(place: Path, path: Path) -> None:
    """Copy what was written to a private place to the user's path.

    Raises PipelineError when it cannot be written there.
    """
    try:
        for file in files(place):
            _copy(file, path if file == place else path / file.relative_to(place))
    except OSError as error:
        raise PipelineError(
            f"the output {path} cannot be written: {error.strerror}; correct output_paths"
        ) from error


def _copy(file: Path, target: Path) -> None:
    """Copy one file to take the target's place at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{secrets.token_hex(8)}")
    try:
        shutil.copyfile(file, fresh)
        os.replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)

"""Single files: a handler's, and what a script left behind."""

from pathlib import Path

from harness import media_types
from harness.artifacts import syntax
from harness.errors import PackageError

FORMATS = {
    "application/jsonlines": "jsonlines",
    "application/x-parquet": "parquet",
    "application/x-npy": "npy",
    "application/x-npz": "npz",
}


def handler_file(path: Path) -> Path:
    """Check that a path is a file of Python that can be read; give it whole.

    Raises PackageError. Nothing of it is run: handlers run in workers only.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise PackageError(
            f"{path}: cannot be read ({error.strerror}); give a handler's file"
        ) from None
    try:
        syntax.parsed(source)
    except (SyntaxError, ValueError) as error:
        raise PackageError(f"{path}: is not Python ({error}); give a handler's file") from None
    return path.absolute()


def valid_output_files(folder: Path) -> list[Path]:
    """List the files with content below a directory, in order of their paths.

    Hidden files and links are left out; a directory that is not there has none.
    """
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.stat().st_size > 0
    )


def format_of(path: Path) -> str:
    """Name a file's format by its extension: csv, json, parquet, ..., else "unknown"."""
    media_type = media_types.of_extension(path.name)
    if media_type in FORMATS:
        return FORMATS[media_type]
    return path.suffix.lstrip(".").lower() or "unknown"

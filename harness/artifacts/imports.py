"""What a handler imports when it is imported, read from its source and never run."""

import ast
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.artifacts import syntax
from harness.artifacts.entry_point import find_module

MAX_FILES = 50
MAX_FILE_BYTES = 1_048_576
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True)
class Imports:
    """The modules that a handler's own files import at their top level, and a digest of the files.

    A module is "a.b", or "a.b:name" where `from a.b import name` may name a module as well.
    """

    modules: tuple[str, ...]
    digest: str


def of_handler(file: Path | None, directories: Sequence[Path]) -> Imports:
    """Read a handler's file and the modules beside it that it imports.

    What cannot be read or parsed imports nothing here: the worker will say why.
    """
    found: dict[str, None] = {}
    digest = hashlib.sha256()
    pending = [file] if file is not None else []
    seen = set(pending)
    while pending and len(seen) <= MAX_FILES:
        source = _source(pending.pop())
        digest.update(source)
        for name in _imported(source):
            own = find_module(name.partition(":")[0], directories)
            if own is None:
                found[name] = None
            elif own.file.suffix == ".py" and own.file not in seen:
                seen.add(own.file)
                pending.append(own.file)
    return Imports(tuple(sorted(found)), digest.hexdigest())


def importable(directories: Sequence[Path]) -> set[str]:
    """Name what could be imported of these directories, in place of a package of that name."""
    return {
        path.name.partition(".")[0]
        for directory in directories
        if directory.is_dir()
        for path in directory.iterdir()
    }


def _source(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_FILE_BYTES)
    except OSError:
        return b""


def _imported(source: bytes) -> Iterator[str]:
    try:
        tree = syntax.parsed(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in _run_at_import(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                # A name in capitals is a class or a constant, and needs no import of its own.
                is_module = alias.name.islower() and alias.name.isidentifier()
                yield f"{node.module}:{alias.name}" if is_module else node.module


def _run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Walk through what runs when a module is imported: not the bodies of functions."""
    pending = [node]
    while pending:
        for child in ast.iter_child_nodes(pending.pop()):
            if not isinstance(child, FUNCTIONS):
                yield child
                pending.append(child)

"""Find the module that the server would import, and the modules that could be meant instead."""

from __future__ import annotations

import ast
import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.artifacts import syntax

HANDLER_FUNCTIONS = frozenset({"model_fn", "input_fn", "predict_fn", "output_fn", "transform_fn"})

_NAMES = "|".join(sorted(HANDLER_FUNCTIONS))
_LOOKS_DEFINED = re.compile(
    rf"""^(?:async[ \t]+)?def[ \t]+({_NAMES})[ \t]*\(      # def model_fn(
      | ^({_NAMES})[ \t]*(?::[^=\n]+)?=(?!=)               # model_fn = ..., model_fn: T = ...
      | ^from[ \t]+(\S+)[ \t]+import\b[^\n]*\b({_NAMES})\b # from helpers import model_fn
    """,
    re.MULTILINE | re.VERBOSE,
)


@dataclass(frozen=True)
class Module:
    """An importable module: its name, and the file that defines it."""

    name: str
    file: Path


def find_module(name: str, directories: Sequence[Path]) -> Module | None:
    """Return the module that `import name` would find in `directories`, in that order.

    As for the server's `find_spec`, a name with a slash finds nothing; a directory without
    `__init__.py` is no module here, because importing one gives no functions.
    """
    parts = name.split(".")
    if not all(parts) or "/" in name or "\0" in name:
        return None
    for directory in directories:
        for file in _files(directory.joinpath(*parts)):
            if file.is_file():
                return Module(name, file)
    return None


def find_candidates(directories: Sequence[Path]) -> list[Module]:
    """Return the top-level modules that define, assign or import a handler function.

    A module from which another candidate takes its handler functions is that one's helper and
    is not listed.
    """
    found: dict[str, tuple[Module, _Definitions]] = {}
    for module in _top_level_modules(directories):
        found.setdefault(module.name, (module, _definitions(module.file.read_bytes())))
    serving = {name for name, (_, defined) in found.items() if defined.functions}
    serving |= {name for name, (_, defined) in found.items() if defined.stars & serving}
    helpers = set[str]().union(*(found[name][1].sources | found[name][1].stars for name in serving))
    return [found[name][0] for name in found if name in (serving - helpers or serving)]


def _files(base: Path) -> Iterator[Path]:
    """Give what may define a module, in the order of Python's finder: name.*.so may be many."""
    yield base / "__init__.py"
    compiled = f"{base.name}.so"
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(base.parent)):
            if name.startswith(f"{base.name}.") and name.endswith(".so") and name != compiled:
                yield base.with_name(name)
    for suffix in (".so", ".py", ".pyc"):
        yield base.with_name(base.name + suffix)


def _top_level_modules(directories: Sequence[Path]) -> Iterator[Module]:
    for directory in directories:
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            if path.name.startswith(".") or path in directories:
                continue
            if path.suffix == ".py" and "." not in path.stem and path.is_file():
                yield Module(path.stem, path)
            elif "." not in path.name and (path / "__init__.py").is_file():
                yield Module(path.name, path / "__init__.py")


@dataclass
class _Definitions:
    """What a module's top level says: handler functions, where they come from, star imports."""

    functions: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    stars: set[str] = field(default_factory=set)


def _definitions(source: bytes) -> _Definitions:
    try:
        body = syntax.parsed(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _guess(source)  # broken, or in the grammar of a newer Python
    defined = _Definitions()
    statements: list[ast.AST] = list(body)
    while statements:
        statement = statements.pop()
        _note(statement, defined)
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            statements += [
                child
                for child in ast.iter_child_nodes(statement)
                if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case)
            ]
    return defined


def _note(statement: ast.AST, defined: _Definitions) -> None:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            defined.functions |= {name} & HANDLER_FUNCTIONS
        case ast.Assign(targets=targets):
            defined.functions |= {
                node.id
                for target in targets
                for node in ast.walk(target)
                if isinstance(node, ast.Name)
            } & HANDLER_FUNCTIONS
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            defined.functions |= {name} & HANDLER_FUNCTIONS
        case ast.ImportFrom(module=module, names=aliases):
            names = {alias.asname or alias.name for alias in aliases}
            origin = (module or "").split(".")[0]
            if names & HANDLER_FUNCTIONS:
                defined.functions |= names & HANDLER_FUNCTIONS
                defined.sources.add(origin)
            if "*" in names:
                defined.stars.add(origin)


def _guess(source: bytes) -> _Definitions:
    defined = _Definitions()
    for match in _LOOKS_DEFINED.finditer(source.decode("latin-1").replace("\r\n", "\n")):
        defined.functions.add(match[1] or match[2] or match[4])
        if match[3]:
            defined.sources.add(match[3].lstrip(".").split(".")[0])
    return defined

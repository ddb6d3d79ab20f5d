"""What a handler's modules import, read from their syntax: nothing of them is run."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.artifacts import syntax

_FORGIVING = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
MAX_FILES = 500


@dataclass(frozen=True)
class Import:
    """One import of a top-level module: where it is, and whether the handler lives without it.

    `guarded` is in a try that forgives it, `conditional` below an if or in a function.
    """

    module: str
    file: Path
    line: int
    guarded: bool
    conditional: bool


def of_handler(entry: Path, search: Sequence[Path]) -> list[Import]:
    """Follow a handler's imports through its own modules; give those of other distributions."""
    found: list[Import] = []
    pending = [entry]
    seen: set[Path] = set()
    while pending and len(seen) < MAX_FILES:
        file = pending.pop()
        if file in seen:
            continue
        seen.add(file)
        for names, item in _of_file(file):
            own = list(_own(names, file, search))
            pending += own
            if not own and item is not None and not _is_own(item.module, search):
                found.append(item)
    return found


def may_define(file: Path, *groups: Collection[str]) -> bool:
    """Tell whether a module may define or import a whole group of names.

    One that is no Python may.
    """
    try:
        tree = syntax.parsed(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return True
    bound: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.alias):
            bound.add(node.asname or node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
    return "*" in bound or any(bound.issuperset(names) for names in groups)


def _of_file(file: Path) -> Iterator[tuple[list[str], Import | None]]:
    try:
        tree = syntax.parsed(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return  # the worker says what is wrong with it
    yield from _of_body(tree.body, file, guarded=False, conditional=False)


def _of_body(
    body: Sequence[ast.AST], file: Path, *, guarded: bool, conditional: bool
) -> Iterator[tuple[list[str], Import | None]]:
    for node in body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                item = Import(top, file, node.lineno, guarded, conditional)
                yield [alias.name], item
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module or ''}.{alias.name}".strip(".") for alias in node.names]
            if node.level:
                yield ["." * node.level + name for name in (node.module or "", *names)], None
            else:
                top = str(node.module).partition(".")[0]
                item = Import(top, file, node.lineno, guarded, conditional)
                yield [str(node.module), *names], item
        elif isinstance(node, ast.Try):
            forgives = guarded or any(map(_forgives, node.handlers))
            yield from _of_body(node.body, file, guarded=forgives, conditional=conditional)
            for part in (*(handler.body for handler in node.handlers), node.orelse, node.finalbody):
                # What a handler of ImportError imports instead is a way out, not a need.
                yield from _of_body(part, file, guarded=forgives, conditional=conditional)
        elif isinstance(node, ast.If):
            if not _never_served(node.test):
                yield from _of_body(node.body, file, guarded=guarded, conditional=True)
            yield from _of_body(node.orelse, file, guarded=guarded, conditional=True)
        else:
            inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            children = list(ast.iter_child_nodes(node))
            yield from _of_body(children, file, guarded=guarded, conditional=conditional or inner)


def _forgives(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(ast.unparse(kind).rpartition(".")[2] in _FORGIVING for kind in kinds)


def _never_served(test: ast.expr) -> bool:
    text = ast.unparse(test)
    return text.endswith("TYPE_CHECKING") or text in (
        "__name__ == '__main__'",
        "'__main__' == __name__",
    )


def _own(names: list[str], file: Path, search: Sequence[Path]) -> Iterator[Path]:
    """Give the handler's own files that an import leads to."""
    for name in names:
        level = len(name) - len(name.lstrip("."))
        roots = [file.parents[level - 1]] if level else list(search)
        parts = [part for part in name.split(".") if part]
        for root in roots:
            for length in range(1, len(parts) + 1):
                place = root.joinpath(*parts[:length])
                for path in (place.with_name(place.name + ".py"), place / "__init__.py"):
                    if path.is_file():
                        yield path


def _is_own(module: str, search: Sequence[Path]) -> bool:
    return any((root / module).is_dir() or (root / f"{module}.py").is_file() for root in search)

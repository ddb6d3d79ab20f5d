"""Which media types a function's source names: what it seems to accept, for when it refuses one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Final

from harness.artifacts import syntax

_MEDIA_TYPE: Final = re.compile(
    r"(application|audio|font|image|message|model|multipart|text|video)/[\w.+*-]+"
)
READERS_AND_WRITERS: Final = ("input_fn", "output_fn", "transform_fn")


def of_source(source: str | bytes) -> dict[str, tuple[str, ...]]:
    """Give, for each function that reads or writes bodies, the media types that it names.

    Also by way of the module's constants and of the functions that it uses. Raises SyntaxError (and
    ValueError for a source with NUL characters).
    """
    names = dict(_named(syntax.parsed(source).body))
    return {
        function: tuple(sorted(set(_media_types(function, names))))
        for function in READERS_AND_WRITERS
        if function in names
    }


def _named(body: list[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, statement
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def _media_types(start: str, names: Mapping[str, ast.AST]) -> Iterator[str]:
    pending, seen = [start], {start}
    while pending:
        for node in ast.walk(names[pending.pop()]):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value.partition(";")[0].strip().lower()
                if _MEDIA_TYPE.fullmatch(text):
                    yield text
            elif isinstance(node, ast.Name) and node.id in names and node.id not in seen:
                seen.add(node.id)
                pending.append(node.id)

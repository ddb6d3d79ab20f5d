"""The syntax tree of a source, which several rooms look at: one handler's file is parsed once."""

from __future__ import annotations

import ast
import functools
import warnings

MAX_KEPT_BYTES = 65_536  # a tree takes about a hundred times its source


def parsed(source: str | bytes) -> ast.Module:
    """Parse a module; nobody may change the tree.

    Raises SyntaxError, ValueError (NUL characters), RecursionError or MemoryError for what Python
    cannot parse.
    """
    return _kept(source) if len(source) <= MAX_KEPT_BYTES else _parse(source)


def _parse(source: str | bytes) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes are the handler's own affair
        return ast.parse(source)


_kept = functools.lru_cache(maxsize=8)(_parse)

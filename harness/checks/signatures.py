"""How a handler's functions are defined, judged by the serving stack's rule.

The stack calls by position and counts parameters of every kind: as many as it gives, or one more,
which gets the context (sagemaker-inference 1.10.1, `Transformer._run_handler_function`). The
sagemaker-containers stacks (sklearn, xgboost) just call, and know no context. Names do not matter.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import worker.protocol as protocol
from harness.artifacts import syntax

ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "model_fn": ("model_dir",),
    "input_fn": ("request_body", "request_content_type"),
    "predict_fn": ("input_data", "model"),
    "output_fn": ("prediction", "accept"),
    "transform_fn": ("model", "request_body", "request_content_type", "accept"),
}
COUNTING: Final = frozenset({"toolkit", "pytorch", "huggingface"})  # the stacks that count
_MEANT: Final = {
    "model_fn": "load load_fn load_model load_model_fn model_load init initialize model model_func",
    "input_fn": "preprocess preprocess_fn pre_process input input_handler process_input "
    "parse_input input_func",
    "predict_fn": "predict prediction_fn predict_func inference inference_fn infer run_inference",
    "output_fn": "postprocess postprocess_fn post_process output output_handler format_output "
    "output_func",
}
# What the second parameter is called, without underscores, and how both are given.
_SECOND: Final = {
    "input_fn": (("contenttype", "mimetype"), "body, content_type"),
    "predict_fn": (("model",), "data, model"),
    "output_fn": (("accept", "contenttype", "mimetype"), "prediction, accept"),
}
MEANT: Final = {name: wanted for wanted, names in _MEANT.items() for name in names.split()}


@dataclass(frozen=True)
class Definition:
    """A function as its source or a worker shows it: parameters by kind, and what kind it is.

    `line` is 0 where there is no source. `known` is false for what is assigned or imported: it is
    there, and nothing is known of it.
    """

    name: str
    line: int
    positional: tuple[str, ...] = ()
    defaults: int = 0
    others: tuple[str, ...] = ()
    has_rest: bool = False
    needs_keywords: tuple[str, ...] = ()
    is_async: bool = False
    is_generator: bool = False
    known: bool = True

    @property
    def count(self) -> int:
        """Count parameters as the toolkit does: of every kind."""
        return len(self.positional) + len(self.others)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a definition, by its diagnosis; `certain` when it cannot work."""

    code: str
    function: str
    line: int
    message: str
    certain: bool


def of_source(source: str | bytes) -> dict[str, Definition]:
    """Give every function that a module's top level defines, the last definition of a name.

    Raises SyntaxError (and ValueError for a source with NUL characters).
    """
    tree = syntax.parsed(source)
    return {definition.name: definition for definition in _definitions(tree.body)}


def of_live(function: protocol.Function) -> Definition:
    """Give a function as the worker that has imported it describes it."""
    if function.parameters is None:  # of a builtin nothing can be known, by the toolkit neither
        return Definition(function.name, 0, known=False)
    found = [item for item in function.parameters if item.kind == "positional"]
    others = [item for item in function.parameters if item.kind != "positional"]
    return Definition(
        name=function.name,
        line=0,
        positional=tuple(item.name for item in found),
        defaults=sum(not item.required for item in found),
        others=tuple(item.name for item in others),
        has_rest=any(item.kind == "rest" for item in others),
        needs_keywords=tuple(item.name for item in others if item.required),
        is_async=function.style == "async",
        is_generator=function.style == "generator",
    )


def problems(definitions: Mapping[str, Definition], stack: str) -> Iterator[Problem]:
    """Say what the stack cannot call, or calls otherwise than the names suggest."""
    for name, arguments in ARGUMENTS.items():
        definition = definitions.get(name)
        if definition is not None and definition.known:
            yield from _of_kind(definition)
            yield from _of_count(definition, arguments, counting=stack in COUNTING)
            yield from _of_names(definition)
    yield from _conflict(definitions)
    yield from misnamed(definitions)


def _conflict(definitions: Mapping[str, Definition]) -> Iterator[Problem]:
    replaced = [name for name in ("input_fn", "predict_fn", "output_fn") if name in definitions]
    if "transform_fn" in definitions and replaced:
        line = definitions["transform_fn"].line
        told = f"transform_fn cannot stand beside {', '.join(replaced)}"
        yield Problem("HP306", "transform_fn", line, told, certain=True)


def misnamed(definitions: Mapping[str, Definition]) -> Iterator[Problem]:
    """Find functions that were meant to be one of the contract's and are called otherwise."""
    if "transform_fn" in definitions:
        return
    missing = [name for name in _MEANT if name not in definitions]
    for definition in definitions.values():
        if definition.name in ARGUMENTS:
            continue
        wanted = MEANT.get(definition.name.lower()) or _nearly(definition.name)
        if wanted in missing:
            told = f"the module defines {definition.name}: did you mean {wanted}?"
            yield Problem("HP302", wanted, definition.line, told, certain=False)


def _nearly(name: str) -> str | None:
    close = difflib.get_close_matches(name.lower(), _MEANT, n=1, cutoff=0.85)
    return close[0] if close else None


def _of_kind(definition: Definition) -> Iterator[Problem]:
    for is_one, kind in (
        (definition.is_async, "an async function: the server gets a coroutine and never awaits it"),
        (definition.is_generator, "a generator: the server gets it unfinished"),
    ):
        if is_one:
            told = f"{definition.name} is {kind}"
            yield Problem("HP303", definition.name, definition.line, told, certain=True)
            return


def _of_count(
    definition: Definition, arguments: tuple[str, ...], *, counting: bool
) -> Iterator[Problem]:
    given, name = len(arguments), definition.name
    if counting and definition.count not in (given, given + 1):
        told = (
            f"{name} has {definition.count} parameters, and is called with {given}, or {given + 1} "
            f"with the context: write {name}({', '.join(arguments)})"
        )
        yield Problem("HP301", name, definition.line, told, certain=True)
        return
    least = len(definition.positional) - definition.defaults
    most = None if definition.has_rest else len(definition.positional)
    passed = definition.count if counting else given
    if definition.needs_keywords:
        told = (
            f"{name} needs {definition.needs_keywords[0]!r} by name; the server calls by position"
        )
        yield Problem("HP301", name, definition.line, told, certain=True)
    elif passed < least or (most is not None and min(passed, given + 1) > most):
        told = (
            f"{name} takes {least if passed < least else most} positional arguments, and is called "
            f"with {passed}: write {name}({', '.join(arguments)})"
        )
        yield Problem("HP301", name, definition.line, told, certain=True)
    elif counting and definition.count == given + 1 and definition.positional[given:]:
        extra = definition.positional[given]
        if "context" not in extra.lower() and extra.lower() not in ("ctx", "_"):
            told = f"{name}'s last parameter {extra!r} gets the server's context, whatever its name"
            yield Problem("HP304", name, definition.line, told, certain=False)


def _of_names(definition: Definition) -> Iterator[Problem]:
    """Notice the order turned round, where the names leave no doubt."""
    names, given = _SECOND.get(definition.name, ((), ""))
    if len(definition.positional) < 2:
        return
    first, second = (name.lower().replace("_", "") for name in definition.positional[:2])
    if any(name in first for name in names) and not any(name in second for name in names):
        told = (
            f"{definition.name}({', '.join(definition.positional[:2])}) is called with ({given}): "
            "the parameters are the other way round"
        )
        yield Problem("HP305", definition.name, definition.line, told, certain=False)


def _definitions(body: list[ast.stmt]) -> Iterator[Definition]:
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield _of_function(statement)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as function):
                yield _of_arguments(name, statement.lineno, function.args)
            case ast.Assign(targets=targets):
                yield from (
                    Definition(target.id, statement.lineno, known=False)
                    for target in targets
                    if isinstance(target, ast.Name)
                )
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                yield Definition(name, statement.lineno, known=False)
            case ast.ImportFrom(names=aliases):
                for alias in aliases:
                    yield Definition(alias.asname or alias.name, statement.lineno, known=False)
            case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While():
                for block in ("body", "orelse", "finalbody"):
                    yield from _definitions(getattr(statement, block, []))
                for handler in getattr(statement, "handlers", []):
                    yield from _definitions(handler.body)


def _of_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Definition:
    if node.decorator_list:  # what a decorator makes of it, only running it tells
        return Definition(node.name, node.lineno, known=False)
    return _of_arguments(
        node.name,
        node.lineno,
        node.args,
        is_async=isinstance(node, ast.AsyncFunctionDef),
        is_generator=_yields(node),
    )


def _of_arguments(
    name: str,
    line: int,
    arguments: ast.arguments,
    *,
    is_async: bool = False,
    is_generator: bool = False,
) -> Definition:
    required = [
        argument.arg
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    stars = [argument.arg for argument in (arguments.vararg, arguments.kwarg) if argument]
    return Definition(
        name=name,
        line=line,
        positional=tuple(item.arg for item in (*arguments.posonlyargs, *arguments.args)),
        defaults=len(arguments.defaults),
        others=(*stars, *(argument.arg for argument in arguments.kwonlyargs)),
        has_rest=arguments.vararg is not None,
        needs_keywords=tuple(required),
        is_async=is_async,
        is_generator=is_generator,
    )


def _yields(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Look for a yield of this function itself, not of one inside it."""
    inside: list[ast.AST] = list(node.body)
    while inside:
        item = inside.pop()
        if isinstance(item, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            inside += ast.iter_child_nodes(item)
    return False

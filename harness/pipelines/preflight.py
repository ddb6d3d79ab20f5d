"""What can be seen to be wrong with a pipeline before anything of it runs."""

from __future__ import annotations

import ast
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from harness.artifacts import syntax
from harness.errors import PipelineError
from harness.pipeline_specs import InferencePipelineTestingSpec, PipelineTestingSpec
from harness.pipelines.wiring import PACKAGE, PAYLOADS, Wiring
from harness.script_spec import ScriptExecutionSpec
from harness.spec_model import unknown_name

MAIN_PARAMETERS: Final = ("input_paths", "output_paths", "environ_vars", "job_args")


def check(spec: PipelineTestingSpec, wiring: Wiring, nodes: Collection[str] | None = None) -> None:
    """Refuse a pipeline, or some of its nodes, that cannot be run as it stands.

    Raises: PipelineError, with a sentence for each problem.
    """
    chosen = [node for node in spec.dag.nodes if nodes is None or node in nodes]
    problems = [
        f"the dag has no such node: {unknown_name(name, spec.dag.nodes)}"
        for name in nodes or ()
        if name not in spec.dag.nodes
    ]
    problems += [*_without_spec(spec, chosen), *_written_twice(spec, chosen)]
    for node in chosen:
        if spec.kind_of(node) == "script":
            problems += _of_script(spec, node, wiring)
        elif isinstance(spec, InferencePipelineTestingSpec) and node in spec.inference_handlers:
            problems += _of_handler(spec, node, wiring)
    refuse(problems)


def refuse(problems: Sequence[str]) -> None:
    """Raise one PipelineError of all problems, if there are any."""
    if len(problems) == 1:
        raise PipelineError(problems[0])
    if problems:
        listed = "\n".join(f"- {problem}" for problem in problems)
        raise PipelineError(f"the pipeline has {len(problems)} problems:\n{listed}")


def script_file(script: ScriptExecutionSpec, root: str | Path) -> Path:
    """Find the file of a script: where its spec says, else in scripts/ of the workspace.

    Raises: PipelineError when there is no such file.
    """
    path = Path(script.script_path or Path(root, "scripts", f"{script.script_name}.py"))
    if not path.is_file():
        hint = "" if script.script_path else "; set script_path, or put it there"
        raise PipelineError(f"{script.step_name}: there is no script at {path}{hint}")
    return path


def check_main(script: ScriptExecutionSpec, path: Path) -> None:
    """Refuse a script without a main that takes the four parameters, as far as its text tells.

    A main that is imported, or made by a call, is left to the worker; so is a text that this Python
    cannot read. Raises: PipelineError.
    """
    if script.arguments is not None:
        return
    try:
        tree = syntax.parsed(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return
    mains = [node for node in _top_level(tree.body) if _binds_main(node)]
    if not mains:
        raise PipelineError(
            f"{script.step_name}: {path} defines no main; "
            f"write main({', '.join(MAIN_PARAMETERS)}), or set arguments to run it as a program"
        )
    if isinstance(mains[-1], ast.FunctionDef | ast.AsyncFunctionDef):
        for problem in _problems_of_main(mains[-1]):
            raise PipelineError(f"{script.step_name}: {path}:{mains[-1].lineno}: main {problem}")


def _without_spec(spec: PipelineTestingSpec, nodes: Collection[str]) -> Iterator[str]:
    if not spec.dag.nodes:
        yield "the pipeline has no nodes; there is nothing to test"
    for node in nodes:
        if spec.kind_of(node) is None:
            yield f"the node {node!r} has no spec; add it to script_specs or inference_handlers"


def _written_twice(spec: PipelineTestingSpec, nodes: Collection[str]) -> Iterator[str]:
    """Name the paths that more than one output is written to."""
    writers: dict[str, str] = {}
    for node in nodes:
        if spec.kind_of(node) != "script":
            continue
        for name, path in spec.script_specs[node].output_paths.items():
            own, place = f"{node}.{name}", os.path.realpath(path)
            if place in writers:
                yield f"{writers[place]} and {own} both write {path}; give each its own path"
            writers[place] = own


def _of_script(spec: PipelineTestingSpec, node: str, wiring: Wiring) -> Iterator[str]:
    script = spec.script_specs[node]
    try:
        check_main(script, script_file(script, spec.test_workspace_root))
    except PipelineError as error:
        yield str(error)
    except OSError as error:
        yield f"{node}: its script cannot be read: {error.strerror}"
    fed = wiring.feeds.get(node, {})
    for name, path in script.input_paths.items():
        if name not in fed and not os.path.exists(path):
            yield f"{node}: the input {name!r} is not at {path}, and {_why_unfed(spec, node)}"


def _why_unfed(spec: PipelineTestingSpec, node: str) -> str:
    sources = spec.dag.get_dependencies(node)
    if not sources:
        return "no edge leads to the node; put the input there, or add an edge"
    return (
        f"no output of {', '.join(sources)} has a name like it; "
        "put the input there, or give it an alias"
    )


def _of_handler(spec: InferencePipelineTestingSpec, node: str, wiring: Wiring) -> Iterator[str]:
    handler, fed = spec.inference_handlers[node], wiring.feeds.get(node, {})
    for name in (PACKAGE, PAYLOADS, "handler_path", "model_dir"):
        path = getattr(handler, name)
        if path is not None and name not in fed and not os.path.exists(path):
            yield f"{node}: {name} is not at {path}, and no edge feeds it"


# ---------------------------------------------------------------- the text of a script


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Go through the statements that run at import, those in branches too, but no function's."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.For | ast.While | ast.With | ast.Try | ast.TryStar):
            parts = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
            parts += [handler.body for handler in getattr(statement, "handlers", [])]
            for part in parts:
                yield from _top_level(part)


def _binds_main(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return statement.name == "main"
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return any((alias.asname or alias.name) in ("main", "*") for alias in statement.names)
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        stored = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        return any(node.id == "main" and isinstance(node.ctx, ast.Store) for node in stored)
    return False


def _problems_of_main(main: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Say why main cannot be called with the four parameters by name."""
    if isinstance(main, ast.AsyncFunctionDef):
        yield "is async; it is called and not awaited"
    arguments = main.args
    named = [*arguments.args, *arguments.kwonlyargs]
    names = {argument.arg for argument in named}
    missing = [name for name in MAIN_PARAMETERS if name not in names]
    if missing and arguments.kwarg is None:
        yield f"lacks {', '.join(missing)}; it is called with {', '.join(MAIN_PARAMETERS)} by name"
    with_default = arguments.args[len(arguments.args) - len(arguments.defaults) :]
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    optional = {item.arg for item in with_default}
    optional |= {item.arg for item, default in keywords if default is not None}
    extra = [item.arg for item in named if item.arg not in (*MAIN_PARAMETERS, *optional)]
    extra += [item.arg for item in arguments.posonlyargs]
    if extra:
        yield f"has parameters of its own without a default: {', '.join(extra)}; give them one"

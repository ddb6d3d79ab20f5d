"""The rules of ARCHITECTURE.md that the sources themselves can prove."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import harness

ROOT = Path(__file__).parents[2]

# The parts of harness from the ground up; a part may import those below its own floor, and itself.
FLOORS = (
    {"errors", "media_types", "stop"},
    {"spec_model", "spec_files", "diagnoses", "records"},
    {"spec_fields", "summaries"},
    {"spec_environment"},
    {"specs", "results", "dag"},
    {"script_spec", "pipeline_results", "serving", "stack_results"},
    {"pipeline_specs", "batch_results", "configuration"},
    {"artifacts"},
    {"environments"},
    {"runtime"},
    {"checks"},
    {"generation", "lint"},
    {"reports", "pipelines"},
    {"batch"},
    {"tester"},
    {"pytest_items"},
    {"pytest_plugin"},
    {"cli"},
)
FLOOR_OF = {part: number for number, floor in enumerate(FLOORS) for part in floor}

# In the standard library of the newest Python, but not in that of 3.8.
NEWER_THAN_3_8 = {"annotationlib", "compression", "graphlib", "tomllib", "zoneinfo"}
# In that of 3.8, but no longer in that of the newest.
REMOVED = {
    "asynchat",
    "asyncore",
    "cgi",
    "crypt",
    "distutils",
    "imp",
    "pipes",
    "smtpd",
    "telnetlib",
}

# The serving stack's default functions use what the handler's environment has.
OF_THE_HANDLERS_ENVIRONMENT = {
    "coders.py": {"numpy", "scipy"},
    "huggingface.py": {"PIL", "transformers"},
    "parameters.py": {"cloudpickle"},
    "pytorch.py": {"torch"},
    "rows.py": {"numpy"},
    "sklearn.py": {"numpy"},
    "xgboost.py": {"numpy", "xgboost"},
}

PUBLIC = [
    "BatchEntry",
    "BatchResult",
    "Budgets",
    "CompatibilityTestResult",
    "DataCompatibilityResult",
    "EndToEndTestResult",
    "FieldTolerance",
    "FunctionTestResult",
    "HandlerEnvironmentError",
    "HarnessError",
    "InferenceCIIntegration",
    "InferenceErrorHandler",
    "InferenceHandlerSpec",
    "InferencePipelineSpec",
    "InferencePipelineTestingSpec",
    "InferenceTestDataGenerator",
    "InferenceTestResult",
    "InferenceTestSample",
    "InferenceValidationFramework",
    "IsolationUnavailableError",
    "Limits",
    "Outcome",
    "PackageError",
    "PayloadError",
    "PipelineDAG",
    "PipelineError",
    "PipelineTestResult",
    "PipelineTestingSpec",
    "PipelineTestingSpecBuilder",
    "ResponseSummary",
    "RuntimeTester",
    "RuntimeTestingConfiguration",
    "ScriptExecutionSpec",
    "ScriptTestResult",
    "SpecError",
    "StackAnswer",
    "StackComparison",
    "StackDifference",
    "VariantTestResult",
]


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    """Name every module that a file imports, with its whole dotted name."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    tree = ast.parse(path.read_text())
    yield from absolute_imports(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            start = ".".join((*base, *filter(None, [node.module])))
            yield from (f"{start}.{alias.name}" for alias in node.names)


def absolute_imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(module: str) -> str:
    return module.split(".")[1]


HARNESS = [path for path in sources("harness") if path != ROOT / "harness" / "__init__.py"]


# ---------------------------------------------------------------- harness


@pytest.mark.parametrize("path", HARNESS, ids=shown)
def test_imports_go_down_only(path: Path) -> None:
    """`checks` and `reports` do not know each other, which the floors alone would not forbid."""
    own = path.relative_to(ROOT / "harness").with_suffix("").parts[0]
    used = {part_of(name) for name in imports(path) if name.startswith("harness.")} - {own}
    assert "harness" not in imports(path), "the parts of harness do not import its front"
    assert used <= FLOOR_OF.keys(), f"{used - FLOOR_OF.keys()} have no floor"
    up = {part for part in used if FLOOR_OF[part] >= FLOOR_OF[own]}
    assert not up
    assert not (own == "reports" and "checks" in used)


def test_every_part_of_harness_has_a_floor() -> None:
    parts = {path.relative_to(ROOT / "harness").with_suffix("").parts[0] for path in HARNESS}
    assert parts <= FLOOR_OF.keys()


@pytest.mark.parametrize("path", sources("harness"), ids=shown)
def test_harness_knows_only_the_protocol_of_worker(path: Path) -> None:
    used = {name for name in imports(path) if name.partition(".")[0] == "worker"}
    known = {".".join(name.split(".")[:2]) for name in used}
    if path == ROOT / "harness" / "__init__.py":
        known -= {"worker"}  # the name, so that no other module has it
    assert known <= {"worker.protocol"}


@pytest.mark.parametrize("path", sources("harness") + sources("worker"), ids=shown)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_public_names_are_exactly_these_in_order() -> None:
    assert harness.__all__ == sorted(harness.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(harness, name).__doc__, name


# ---------------------------------------------------------------- worker


class _WithoutParentsHalf(ast.NodeTransformer):
    """Drops what no child runs: the branches for type checkers and for the parent's import."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        test = ast.unparse(node.test)
        if test == "TYPE_CHECKING" or test == "TYPE_CHECKING or __name__ == 'worker.protocol'":
            return [self.visit(statement) for statement in node.orelse]
        return self.generic_visit(node)


def childs_half(path: Path) -> ast.AST:
    half: ast.AST = _WithoutParentsHalf().visit(ast.parse(path.read_text()))
    return half


@pytest.mark.parametrize("path", sources("worker"), ids=shown)
def test_worker_imports_only_the_standard_library_and_itself(path: Path) -> None:
    """Its own modules too are imported relatively: the name it is loaded under is private."""
    tops = {name.partition(".")[0] for name in absolute_imports(childs_half(path))}
    allowed = set(sys.stdlib_module_names) - NEWER_THAN_3_8 - REMOVED
    assert tops - OF_THE_HANDLERS_ENVIRONMENT.get(path.name, set()) <= allowed


@pytest.mark.parametrize("path", sources("worker"), ids=shown)
def test_worker_is_written_in_the_grammar_of_3_8(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))


# ---------------------------------------------------------------- what the README promises


def readme_commands() -> list[list[str]]:
    blocks = re.findall(r"^```(?:console|sh|bash|shell)\n(.*?)^```", _readme(), re.M | re.S)
    lines = [line.removeprefix("$ ").split() for block in blocks for line in block.splitlines()]
    return [words for words in lines if words]


def _readme() -> str:
    return (ROOT / "README.md").read_text()


def test_readme_scripts_exist_and_can_be_run() -> None:
    scripts = {words[0] for words in readme_commands() if words[0].startswith(("scripts/", "./"))}
    assert {"scripts/demo", "scripts/test", "scripts/lint"} <= scripts
    for script in scripts:
        assert (ROOT / script).stat().st_mode & 0o111, script


def test_readme_commands_exist_with_their_options() -> None:
    from harness.cli import main

    assert isinstance(main, click.Group)
    used = [words[1:] for words in readme_commands() if words[0] == "handlerproof"]
    assert used
    for name, *arguments in used:
        if name.startswith("-"):
            continue
        _, command, _ = main.resolve_command(click.Context(main), [name])
        assert command is not None, name
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        given = {word.partition("=")[0] for word in arguments if re.match(r"--\w", word)}
        assert given <= known, (name, given - known)


def test_ci_runs_what_the_readme_says() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    promised = {words[0] for words in readme_commands()}
    called = set(re.findall(r"scripts/\w+", ci))
    assert {"scripts/lint", "scripts/test"} <= called <= promised


# ---------------------------------------------------------------- the project file


def test_core_dependencies_are_these_and_no_more() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=]", dependency)[0] for dependency in project["dependencies"]}
    assert names == {"click", "cloudpickle", "psutil", "pydantic", "rich"}


def test_lock_pins_and_hashes_everything_and_names_no_place() -> None:
    lock = (ROOT / "requirements-dev.lock").read_text()
    assert "://" not in lock
    requirements = re.split(r"\n(?=\S)", lock.strip())
    for requirement in requirements:
        assert re.match(r"[\w.-]+==\S+ ", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement

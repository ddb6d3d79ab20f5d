"""What a process loads: a name of the front, a command or the pytest plugin, and what that needs.

Loading all of it takes longer than testing a handler.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import harness
from harness.cli import main
from harness.cli.group import COMMANDS

ROOT = Path(__file__).parents[2]
LOADED = "\nimport sys; print(*sys.modules)"
BATCH = {"harness.batch", "harness.batch_results"}
PIPELINES = {"harness.pipelines", "harness.pipeline_results", "harness.pipeline_specs"}
LINT = {"harness.lint", "harness.generation"}
OTHERS = {"rich", "click", "cloudpickle", "statistics", "asyncio", "unittest", "pytest", "numpy"}


def loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code + LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("code", "without"),
    [
        ("import harness", {"pydantic", "harness.errors"}),
        ("from harness import SpecError", {"pydantic"}),
        ("from harness import InferenceHandlerSpec", {"harness.runtime", "harness.checks"}),
        ("from harness import RuntimeTester", BATCH | PIPELINES | LINT | {"harness.reports"}),
        ("from harness import RuntimeTester", OTHERS),
        ("from harness import InferenceTestDataGenerator", BATCH | PIPELINES),
        ("import harness.batch.scheduling", PIPELINES | LINT | OTHERS - {"statistics"}),
        ("import harness.pytest_plugin", {"pydantic", "harness.tester"}),
        ("import harness.cli.run", BATCH | PIPELINES | LINT),
    ],
)
def test_what_is_not_needed_is_not_loaded(code: str, without: set[str]) -> None:
    assert not loaded(code) & without


@pytest.mark.parametrize("words", ["--help", "--version", "no-such-command"])
def test_help_loads_no_command(words: str) -> None:
    code = f"import sys; sys.argv = ['handlerproof', {words!r}]; from harness.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass"
    names = loaded(code)
    assert "click" in names
    assert not names & {"pydantic", "rich", *(f"harness.cli.{name}" for name in COMMANDS)}


def test_a_test_of_a_handler_loads_no_batch(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text("def model_fn(model_dir):\n    return 1\n")
    names = loaded(
        "from harness import InferenceHandlerSpec, RuntimeTester; "
        f"spec = InferenceHandlerSpec(handler_name='one', packaged_model_path={str(tmp_path)!r}); "
        "RuntimeTester().test_inference_handler(spec)"
    )
    assert "harness.runtime.session" in names
    assert not names & (BATCH | PIPELINES | LINT | OTHERS)


@pytest.mark.parametrize("stack", ["toolkit", "pytorch"])
def test_a_fresh_worker_does_not_load_patterns(stack: str, tmp_path: Path) -> None:
    """To load `re`, and what it takes along, is a fifth of a fresh worker's time."""
    file = tmp_path / "inference.py"
    told = "str(sorted({'re', 'enum', 'functools', 'json', 'urllib.parse'} & set(sys.modules)))"
    functions = "def input_fn(b, c):\n    return b\ndef predict_fn(d, m):\n    return d\n"
    answer = f"def output_fn(p, a):\n    return {told}\n"
    file.write_text(f"import sys\ndef model_fn(d):\n    return 1\n{functions}{answer}")
    spec = harness.InferenceHandlerSpec(
        handler_name="loads",
        handler_path=str(file),
        test_data_samples=[
            {"sample_name": "row", "content_type": "text/csv", "request_body": "1"},
        ],
        supported_accept_types=["application/json"],
        stack=stack,
        start="fresh",
    )
    result = harness.RuntimeTester().test_inference_handler(spec)
    assert result.end_to_end_results[0].response.body == "[]", result.errors


def test_commands_are_the_files_of_their_names() -> None:
    """Each has its file, and no command is left out."""
    context = click.Context(main)
    assert list(COMMANDS) == sorted(COMMANDS) == main.list_commands(context)
    for name in COMMANDS:
        _, command, _ = main.resolve_command(context, [name])
        assert command is not None
        assert command.name == name
        assert command.params or name in ("env",)
    folder = ROOT / "harness" / "cli"
    files = {file.stem for file in folder.glob("*.py") if "@click.command" in file.read_text()}
    assert files | {"env"} == {*COMMANDS}  # which is a group of its own


def test_a_word_that_is_nearly_a_command_is_told() -> None:
    result = CliRunner().invoke(main, ["rnu"])
    assert result.exit_code == 2
    assert "Did you mean 'run'?" in result.output


def test_a_module_of_the_users_that_is_named_as_ours_is_in_nobodys_way(tmp_path: Path) -> None:
    """What is loaded later finds our `worker`, as what was loaded at once did."""
    (tmp_path / "worker.py").write_text("")
    assert "worker.protocol" in loaded(
        f"import harness, sys; sys.path.insert(0, {str(tmp_path)!r}); harness.RuntimeTester"
    )


def test_type_checkers_see_what_is_loaded() -> None:
    tree = ast.parse((ROOT / "harness" / "__init__.py").read_text())
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == harness._HOMES
    assert list(harness._HOMES) == harness.__all__
    seen_by_all = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert "__getattr__" not in seen_by_all, "any name would be one of ours to them"


def test_a_name_that_is_not_there_is_an_error_of_import() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        exec("from harness import Nothing")
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'Nothing'"):
        harness.Nothing  # noqa: B018


def test_every_public_name_is_listed_before_it_is_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import harness; print(*dir(harness))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(harness.__all__) <= set(done.stdout.split())

"""Environments from the command line: the options of `run`, and what `env` does with those kept."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness import InferenceTestResult
from harness.cli import main
from tests.integration.environments.conftest import HANDLER, INPUT, SEES, Yard, version

WRITES = """
import os, sys

def model_fn(model_dir):
    with open(os.path.join(sys.prefix, "mark"), "w") as file:
        file.write("x")
    return "written"

def predict_fn(data, model):
    return model

def output_fn(prediction, accept):
    return prediction
"""


def handlerproof(*words: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, words)))


def asking(yard: Yard, asked: str, code: str = HANDLER) -> Path:
    return yard.package({"code/inference.py": code + INPUT, "code/requirements.txt": asked})


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.json"
    file.write_text("[1]")
    return file


def run(package: Path, rows: Path, *options: str) -> InferenceTestResult:
    done = handlerproof("run", package, "--payloads", rows, *options, "--format", "json")
    assert done.exit_code == 0, done.output
    return InferenceTestResult.model_validate_json(done.stdout)


# ---------------------------------------------------------------- run


def test_run_takes_the_packages_of_the_source_that_is_named(
    yard: Yard, rows: Path, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "own"], check=True)
    (site,) = (tmp_path / "own").glob("lib/python*/site-packages")
    (site / "other.py").write_text("")
    (tmp_path / "wanted.txt").write_text("small\n")
    package = asking(yard, "small==1.0", SEES)
    for source, kind, seen in (
        ("requirements", "requirements", "small"),
        (f"requirements:{tmp_path / 'wanted.txt'}", "requirements", "small"),
        (f"venv:{tmp_path / 'own'}", "venv", "other"),
        ("inherit", "inherit", "pydantic"),
    ):
        result = run(package, rows, "--env-from", source)
        assert result.environment is not None
        assert result.environment.kind == kind
        assert version(result) == seen


def test_run_takes_the_python_that_is_named(yard: Yard, rows: Path) -> None:
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    result = run(asking(yard, "small"), rows, "--env-from", "requirements", "--python", minor)
    assert result.environment is not None
    assert result.environment.python_version.startswith(f"{minor}.")


def test_run_offline_says_what_is_missing_and_exits_4(yard: Yard, rows: Path) -> None:
    words = ("--env-from", "requirements", "--offline")
    done = handlerproof("run", asking(yard, "absent"), "--payloads", rows, *words)
    assert done.exit_code == 4
    assert "absent" in done.stderr
    assert "offline: only what is on this machine" in done.stderr
    assert "(what it said is above)" in done.stderr
    lines = [line.strip() for line in done.stderr.splitlines()]
    assert len(lines) == len(set(lines)), "no line is told twice"
    assert not yard.half_built()


def test_run_gives_leave_to_install(yard: Yard, rows: Path) -> None:
    yard.wheel("pip", "1.0")  # or it would be put in, which takes long
    package = asking(yard, "pip", WRITES)
    result = run(package, rows, "--env-from", "requirements", "--allow-install")
    assert version(result) == "written"
    assert not list(yard.cache.glob("*/mark"))


def test_run_stops_before_the_handler_where_it_is_told_to(yard: Yard, rows: Path) -> None:
    package = asking(yard, "small", "import lightgbm\n" + HANDLER)
    words = ("--env-from", "requirements", "--preflight", "stop")
    done = handlerproof("run", package, "--payloads", rows, *words)
    assert done.exit_code == 1
    assert "inference.py:1 imports lightgbm" in done.stderr
    assert "nothing was run" in done.stderr
    assert not done.stdout


def test_environment_of_a_package_that_asks_for_nothing_is_told(yard: Yard, rows: Path) -> None:
    package = yard.package({"code/inference.py": SEES + INPUT})
    told = "there is no code/requirements.txt in the package: its environment has no packages"
    result = run(package, rows, "--env-from", "requirements")
    assert [text for text in result.warnings if told in text]
    asked = asking(yard, "small", SEES)
    assert not run(asked, rows, "--env-from", "requirements").warnings
    words = ("--env-from", "requirements", "--preflight", "stop")
    done = handlerproof("run", package, "--payloads", rows, *words)
    assert done.exit_code == 1
    assert f"warning: {told}" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--env-from nothing", "write requirements, requirements:FILE, venv:PATH or inherit"),
        ("--env-from inherit --python 3.11", "leave --python out"),
        ("--env-from inherit --offline", "--offline goes with --env-from requirements"),
        ("--allow-install", "--allow-install goes with --env-from requirements"),
    ],
)
def test_options_that_make_no_sense_together_exit_2(
    words: str, said: str, yard: Yard, rows: Path
) -> None:
    done = handlerproof("run", asking(yard, "small"), "--payloads", rows, *words.split())
    assert done.exit_code == 2
    assert said in done.stderr


def test_venv_that_is_not_there_exits_4(yard: Yard, rows: Path) -> None:
    words = ("--payloads", rows, "--env-from", "venv:/nowhere")
    done = handlerproof("run", asking(yard, "small"), *words)
    assert done.exit_code == 4
    assert "there is no virtual environment at /nowhere" in done.stderr


def test_run_gives_a_handler_without_input_fn_what_the_toolkits_own_imports(
    yard: Yard, rows: Path
) -> None:
    """A numpy of the test's own, which the default calls as it would the real one."""
    code = "def array(data):\n    return data\n"
    yard.wheel("numpy", "1.0", files={"numpy/__init__.py": code})
    package = yard.package({"code/inference.py": HANDLER, "code/requirements.txt": "small\n"})
    assert version(run(package, rows, "--env-from", "requirements")) == '{"version": "2.0"}'


# ---------------------------------------------------------------- env


def test_environments_are_built_listed_and_cleaned(yard: Yard) -> None:
    package = asking(yard, "small==1.0")
    built = handlerproof("env", "build", package)
    assert built.exit_code == 0, built.stderr
    key, tree = built.stdout.split()
    assert Path(tree, "bin", "python").is_file()
    assert handlerproof("env", "build", package).stdout == built.stdout
    listed = handlerproof("env", "list").stdout
    assert key[:8] in listed
    assert "small" in listed

    assert not handlerproof("env", "clean", "--older-than", "1h").stdout
    before = time.time() - 2 * 3600
    os.utime(yard.cache / f"{key}.json", (before, before))
    assert handlerproof("env", "clean", "--older-than", "3h").stdout == ""
    assert handlerproof("env", "clean", "--older-than", "1h").stdout == f"removed {key}\n"
    assert not Path(tree).exists()
    assert key[:8] not in handlerproof("env", "list").stdout


def test_age_that_is_none_exits_2(yard: Yard) -> None:
    done = handlerproof("env", "clean", "--older-than", "soon")
    assert done.exit_code == 2
    assert "such as 30d" in done.stderr


def test_lock_has_exact_versions_with_hashes_and_can_be_built(yard: Yard, tool: str) -> None:
    needing = yard.wheel("asks", "1.5", needs=["small<2"])
    (needed,) = yard.wheels.glob("small-1.0-*")
    package = asking(yard, "asks\n")
    done = handlerproof("env", "lock", package)
    assert done.exit_code == 0, done.stderr
    lock = package.with_name(f"{package.name}.requirements.lock")
    assert done.stdout == f"{lock}\n"
    text = lock.read_text()
    for pin, wheel in (("asks==1.5", needing), ("small==1.0", needed)):
        _, found, rest = text.partition(pin)
        assert found
        assert hashlib.sha256(wheel.read_bytes()).hexdigest() in rest
    assert str(yard.wheels) not in text
    if tool == "uv":
        result = yard.run(yard.spec("", requirements=str(lock)))
        assert version(result) == '{"version": "1.0"}'


def test_package_without_requirements_has_nothing_to_lock(yard: Yard) -> None:
    done = handlerproof("env", "lock", yard.package({"code/inference.py": HANDLER}))
    assert done.exit_code == 2
    assert "has no code/requirements.txt" in done.stderr

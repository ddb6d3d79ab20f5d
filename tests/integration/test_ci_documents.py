"""docs/ci.md and docs/ci/: the examples are run as written, the workflows' commands are real."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from junitparser import JUnitXml

from harness.batch_results import BatchResult
from harness.cli import main
from harness.reports.github import MOST_BYTES
from tests.handlers import collection

DOCS = Path(__file__).parents[2] / "docs"
WORKFLOWS = sorted((DOCS / "ci").glob("*.yml"))
HANDLERS = 50


def commands_of_document() -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", (DOCS / "ci.md").read_text(), re.M | re.S)
    return [line for block in blocks for line in block.splitlines()]


def commands_of_workflow(file: Path) -> list[str]:
    """Take the commands of every step, whichever system the file is for."""
    found = []
    for job in jobs_of(yaml.safe_load(file.read_text())):
        steps = [step.get("run", "") for step in job.get("steps", [])]
        found += [*steps, *job.get("before_script", []), *job.get("script", [])]
    return [command for command in found if command.startswith("handlerproof ")]


def jobs_of(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [job for job in workflow.get("jobs", workflow).values() if isinstance(job, dict)]


def sh(command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell does that finds `handlerproof`."""
    program = (
        f'handlerproof() {{ "{sys.executable}" -c "from harness.cli import main; main()" "$@"; }}'
    )
    environ = {**os.environ, "PYTHONPATH": str(DOCS.parent), "NO_COLOR": "1", **variables}
    return subprocess.run(
        ["bash", "-euc", f"{program}\n{command}"],
        cwd=cwd, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip


ALL = [*commands_of_document(), *(c for file in WORKFLOWS for c in commands_of_workflow(file))]


def test_there_are_commands_to_check() -> None:
    assert len(commands_of_document()) >= 8
    assert [len(commands_of_workflow(file)) for file in WORKFLOWS] == [2, 2]


@pytest.mark.parametrize("command", ALL)
def test_command_is_one_of_the_real_command_line(command: str) -> None:
    filled = re.sub(r"\$[A-Z_]*(?:INDEX|SHARD)", "1", command).replace("$CI_NODE_TOTAL", "4")
    program, name, *words = shlex.split(filled)
    assert program == "handlerproof"
    assert isinstance(main, click.Group)
    _, resolved, _ = main.resolve_command(click.Context(main), [name])
    assert resolved is not None
    context = resolved.make_context(name, words)
    if context.params.get("shard"):
        assert re.fullmatch(r"\d/4", context.params["shard"])


def test_one_handler_in_ci(tmp_path: Path) -> None:
    collection.write(tmp_path, {"model": "pass"})
    (tmp_path / "handlers" / "model").rename(tmp_path / "model")
    done = sh(commands_of_document()[0], tmp_path)
    assert done.returncode == 0, done.stderr
    assert [suite.name for suite in JUnitXml.fromfile(str(tmp_path / "junit.xml"))] == ["model"]
    (tmp_path / "model" / "code" / "inference.py").write_text(collection.handler("os._exit(0)"))
    assert sh(commands_of_document()[0], tmp_path).returncode == 1


def test_a_repository_of_fifty(tmp_path: Path) -> None:
    """As GitHub would run it: the first command of the document, and one part of the workflow."""
    names = [f"churn-{number:02}" for number in range(HANDLERS)]
    collection.write(tmp_path, {name: "1/0" if name.endswith("7") else "pass" for name in names})
    done = sh(commands_of_document()[1], tmp_path)
    assert done.returncode == 1, done.stderr
    suites = list(JUnitXml.fromfile(str(tmp_path / "junit.xml")))
    assert [suite.name for suite in suites] == names
    assert sum(suite.failures > 0 for suite in suites) == 5
    assert (tmp_path / "report.html").stat().st_size < 2_000_000
    assert (tmp_path / "summary.md").stat().st_size < MOST_BYTES
    again = sh(commands_of_document()[2], tmp_path)
    assert "5 failed" in again.stdout


def test_a_part_of_the_workflow_as_github_runs_it(tmp_path: Path) -> None:
    collection.write(tmp_path, {"churn": "1/0", "fraud": "pass"})
    (_, command) = commands_of_workflow(DOCS / "ci" / "github-actions.yml")
    summary = tmp_path / "summary"
    summary.touch()
    done = sh(command, tmp_path, SHARD="1", GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("::error title=churn%3A failed::")
    assert summary.read_text().startswith("## handlerproof: 1 failed")
    assert [e.name for e in BatchResult.load(tmp_path / "batch.json").entries] == ["churn"]


def test_python_of_the_document_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    collection.write(tmp_path, {"churn": "pass", "fraud": "pass"})
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", (DOCS / "ci.md").read_text(), re.M | re.S)
    exec(compile(code, "ci.md", "exec"), {})
    assert "'passed': 2" in capsys.readouterr().out


def test_settings_of_the_document_are_settings(tmp_path: Path) -> None:
    (settings,) = re.findall(r"^```toml\n(.*?)^```", (DOCS / "ci.md").read_text(), re.M | re.S)
    collection.write(tmp_path, {"churn": "pass"})
    (tmp_path / "pyproject.toml").write_text(settings)
    done = sh("handlerproof batch handlers/ --show-config", tmp_path, COLUMNS="300")
    assert done.returncode == 0, done.stderr
    assert re.search(r"budgets.max_prediction_time\s+│ 2.0", done.stdout)

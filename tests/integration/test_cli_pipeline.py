"""`handlerproof pipeline` as a user meets it: a process with two streams and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness import Outcome, PipelineTestResult
from harness.cli import main

COMMAND = [sys.executable, "-c", "from harness.cli import main; main()"]
ROOT = str(Path(__file__).parents[2])

SPEC = """
[dag]
nodes = ["load", "double", "serve"]
edges = [["load", "double"], ["double", "serve"]]

[script_specs.load]
script_path = "load.py"
output_paths = {data_output = "out/load"}

[script_specs.double]
script_path = "double.py"
input_paths = {data_input = "in/data"}
output_paths = {processed_data = "out/double"}

[inference_handlers.serve]
handler_name = "serve"
handler_path = "inference.py"
supported_accept_types = ["application/json"]
test_data_samples = [{sample_name = "one", content_type = "text/csv", request_body = "1,2"}]
"""
LOAD = """
import pathlib

def main(input_paths, output_paths, environ_vars, job_args):
    folder = pathlib.Path(output_paths["data_output"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.csv").write_text("1,2\\n3,4\\n")
"""
DOUBLE = """
import pathlib

def main(input_paths, output_paths, environ_vars, job_args):
    rows = (pathlib.Path(input_paths["data_input"]) / "rows.csv").read_text().split()
    folder = pathlib.Path(output_paths["processed_data"])
    folder.mkdir(parents=True, exist_ok=True)
    doubled = [",".join(str(2 * int(cell)) for cell in row.split(",")) for row in rows]
    (folder / "rows.csv").write_text("\\n".join(doubled) + "\\n")
"""
HANDLER = """
import json

def model_fn(model_dir):
    return 1

def input_fn(body, content_type):
    return [[float(cell) for cell in row.split(",")] for row in body.split()]

def predict_fn(rows, model):
    return [sum(row) for row in rows]

def output_fn(sums, accept):
    return json.dumps(sums)
"""


def handlerproof(*arguments: str | Path) -> Result:
    """Run the command in this process, without what its start would cost."""
    runner = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1"})
    return runner.invoke(main, ["pipeline", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipeline of two scripts and a handler in a directory."""
    files = {"load.py": LOAD, "double.py": DOUBLE, "inference.py": HANDLER, "p.toml": SPEC}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def outcomes(result: PipelineTestResult) -> dict[str, str]:
    return {row.node: "reused" if row.reused else row.outcome for row in result.node_results}


def test_a_good_pipeline_exits_0_with_its_drawing(folder: Path) -> None:
    graph, output = folder / "g.svg", folder / "r.json"
    done = subprocess.run(
        [*COMMAND, "pipeline", folder / "p.toml", "--graph", graph, "--output", output],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ROOT, "COLUMNS": "120", "NO_COLOR": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["✓", "load"], ["✓", "double"],
                                                        ["✓", "serve"]]  # fmt: skip
    words = " ".join(done.stdout.split())
    assert "load -> double passed data_output -> data_input (semantic, 0.94)" in words
    assert "double -> serve passed processed_data as text/csv: 8 B" in words
    assert lines[-1].endswith("3/3 nodes, 2/2 edges")
    result = PipelineTestResult.load(output)
    assert result.pipeline_success
    assert [row.node for row in result.node_results] == ["load", "double", "serve"]
    classes = [group.attrib["class"] for group in ET.parse(graph).iter() if "class" in group.attrib]
    assert classes.count("node passed") == 3
    assert classes.count("edge passed") == 2
    assert "load: passed" in done.stderr


def test_a_second_run_runs_nothing_and_a_fresh_one_all(folder: Path) -> None:
    results = []
    for options in ([], [], ["--fresh"], ["--from", "double"], ["--node", "load", "--fresh"]):
        done = handlerproof(folder / "p.toml", "--format", "json", *options)
        assert done.exit_code == 0, done.stderr
        results.append(outcomes(PipelineTestResult.model_validate_json(done.stdout)))
    assert results[0] == results[2] == dict.fromkeys(("load", "double", "serve"), "passed")
    assert results[1]["load"] == results[1]["double"] == "reused"
    assert results[3]["load"] == "skipped"
    assert results[4] == {"load": "passed", "double": "skipped", "serve": "skipped"}


def test_a_pipeline_that_fails_exits_1_and_says_where(folder: Path) -> None:
    (folder / "double.py").write_text(DOUBLE.replace("int(cell)", "int(cell + 'x')"))
    done = handlerproof(folder / "p.toml")
    assert done.exit_code == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].startswith("✗ double raised")
    assert lines[2].startswith("○ serve skipped")
    assert "ValueError: invalid literal for int()" in done.stdout
    assert "double.py:" in done.stdout
    assert "next: mend the script at the line above" in done.stdout


@pytest.mark.parametrize(
    ("before", "after", "options", "words"),
    [
        ('["double", "serve"]]', '["double", "serve"], ["serve", "load"]]', [],
         "the nodes form a cycle: "),
        ('["double", "serve"]]', '["double", "sevre"]]', [], "did you mean 'serve'?"),
        ("script_specs.double", "script_specs.dubble", [], "did you mean 'double'?"),
        ("[inference_handlers.serve]", "[inference_handlers]\n[other]", [], "unknown name 'other'"),
        ('"double.py"', '"inference.py"', [], "inference.py defines no main"),
        ("data_input = ", "labels = ", [], "the input 'labels' is not at"),
        ("out/double", "out/load", [], "both write"),
        ("", "", ["--node", "laod"], "--node: unknown name 'laod', did you mean 'load'?"),
        ("", "", ["--from", "serve", "--to", "load"], "no way leads from 'serve' to 'load'"),
        ("", "", ["--node", "load", "--to", "load"], "leave --from and --to out"),
        ("", "", ["--node", "double"], "load"),
        ("", "", ["--graph", "/nowhere/g.svg"], "--graph: there is no directory /nowhere"),
    ],
)  # fmt: skip
def test_bad_input_exits_2_with_one_sentence_before_anything_runs(
    folder: Path, before: str, after: str, options: list[str], words: str
) -> None:
    (folder / "p.toml").write_text(SPEC.replace(before, after) if before else SPEC)
    done = handlerproof(folder / "p.toml", *options)
    assert done.exit_code == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (folder / "out").exists()


def test_a_pipeline_without_nodes_exits_5(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"dag": {"nodes": [], "edges": []}}')
    done = handlerproof(tmp_path / "p.json")
    assert (done.exit_code, done.stdout) == (5, "")
    assert "nothing to test" in done.stderr


def test_outcomes_in_json_are_those_of_the_vocabulary(folder: Path) -> None:
    (folder / "load.py").write_text("import sys\ndef main(**given): sys.exit(3)\n")
    done = handlerproof(folder / "p.toml", "--format", "json", "--to", "double")
    result = PipelineTestResult.model_validate_json(done.stdout)
    assert done.exit_code == 1
    assert result.node("load").outcome in (Outcome.raised, Outcome.exited)
    assert [result.node(name).outcome for name in ("double", "serve")] == [Outcome.skipped] * 2
    assert "○ serve skipped" in done.stderr

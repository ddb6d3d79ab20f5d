"""Pipelines run whole: in order, each node once, faults held to their branch, and resumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from harness import Outcome, RuntimeTester
from harness.errors import PipelineError
from harness.pipeline_results import PipelineTestResult
from harness.pipeline_specs import InferencePipelineTestingSpec
from tests.integration.made_pipelines import Made
from tests.waiting import wait_until

PIPELINE = Path(__file__).parents[2] / "scripts" / "demo_files" / "pipeline"

ECHO = """
import json
def model_fn(model_dir): return None
def input_fn(body, content_type): return json.loads(body)
def predict_fn(data, model): return {"sum": sum(data["numbers"])}
def output_fn(prediction, accept): return json.dumps({"numbers": [prediction["sum"], 1]})
"""
COPY = """
for name in input_paths:
    for file in os.listdir(input_paths[name]):
        with open(os.path.join(input_paths[name], file)) as data:
            text = data.read()
own, = output_paths.values()
with open(os.path.join(own, "data.json"), "w") as data:
    data.write(text)
"""


def writes(name: str, value: object = {"numbers": [1, 2]}) -> str:
    text = json.dumps(value)
    return f'open(os.path.join(output_paths["{name}_data"], "data.json"), "w").write({text!r})'


def result_of(made: Made, **options: Any) -> PipelineTestResult:
    with RuntimeTester() as tester:
        return tester.test_pipeline(made.spec(), **options)


# ---------------------------------------------------------------- the real one


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Have scikit-learn compiled: a sandboxed worker cannot write what it compiles."""
    modules = "joblib, sklearn.linear_model, sklearn.metrics, sklearn.isotonic, sklearn.pipeline"
    variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, "-c", f"import {modules}"], env=variables, check=True)


def test_real_pipeline_passes_once_and_then_runs_nothing(tmp_path: Path) -> None:
    shutil.copytree(PIPELINE, tmp_path / "pipeline")
    spec = InferencePipelineTestingSpec.from_file(tmp_path / "pipeline" / "pipeline.toml")
    with RuntimeTester() as tester:
        first = tester.test_pipeline(spec, resume=True)
        again = tester.test_pipeline(spec, resume=True)
    assert first.pipeline_success, first.errors
    assert first.outcomes() == {Outcome.passed: 10}
    assert [edge.outcome for edge in first.edge_results] == [Outcome.passed] * 11
    registration = first.node("Registration")
    assert {item.source_node for item in registration.inputs} == {"Package", "Payload"}
    assert registration.handler is not None
    assert len(registration.handler.end_to_end_results) == 4
    metrics = json.loads((tmp_path / "pipeline/out/evaluation/metrics/metrics.json").read_text())
    assert metrics["auc"] > 0.7
    assert [row.reused for row in again.node_results] == [True] * 10
    assert again.pipeline_success
    assert PipelineTestResult.model_validate_json(first.model_dump_json()) == first


# ---------------------------------------------------------------- order, once, every kind of edge


def counted(folder: Path, name: str) -> str:
    """Give a line that leaves a mark for every time it is run."""
    return f'open({str(folder / name)!r}, "a").write("x")'


def test_every_kind_of_edge_and_each_node_once(tmp_path: Path) -> None:
    """Script to script, to handler; handler to handler through its response, to script."""
    marks = tmp_path / "marks"
    marks.mkdir()
    made = Made(tmp_path)
    loose = {"isolation": "process"}  # so that it may leave its mark outside
    made.script("load", counted(marks, "load") + "\n" + writes("load"), **loose)
    made.script("clean", counted(marks, "clean") + COPY, {"load_data": "load"}, **loose)
    made.handler("score", counted(marks, "score") + ECHO, ["clean"], **loose)
    made.handler("rank", counted(marks, "rank") + ECHO, ["score"], **loose)
    made.script("report", counted(marks, "report") + COPY, {"response": "rank"}, **loose)
    result = result_of(made)
    assert result.pipeline_success, result.errors
    assert [row.node for row in result.node_results] == ["load", "clean", "score", "rank", "report"]
    assert {path.name: path.read_text() for path in marks.iterdir()} == dict.fromkeys(
        made.nodes, "x"
    )
    assert [edge.outcome for edge in result.edge_results] == [Outcome.passed] * 4
    assert json.loads((tmp_path / "out" / "report" / "data.json").read_text()) == {
        "numbers": [4, 1]
    }
    sent = result.edge("clean", "score").sent[0]
    assert (sent.file, sent.content_type) == ("clean_data/data.json", "application/json")


def test_independent_nodes_run_side_by_side(tmp_path: Path) -> None:
    """Each waits for a mark of the other, which one after the other could never give."""
    made = Made(tmp_path)
    for own, other in ("left", "right"), ("right", "left"):
        made.script(
            own,
            f"""
open({str(tmp_path / own)!r}, "w").close()
while not os.path.exists({str(tmp_path / other)!r}):
    time.sleep(0.01)
{writes(own)}
""",
            isolation="process",
            limits={"timeout_seconds": 60},
        )
    with RuntimeTester() as tester:
        assert tester.test_pipeline(made.spec(max_parallel=2)).pipeline_success


def test_max_rows_are_sent_and_the_rest_is_told(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.script("load", writes("load", [{"numbers": number} for number in range(30)]))
    code = ECHO.replace('sum(data["numbers"])', "len(data)")
    made.handler("score", code, ["load"])
    with RuntimeTester() as tester:
        result = tester.test_pipeline(made.spec(max_rows=7))
    sent = result.edge("load", "score").sent[0]
    assert (sent.rows, sent.rows_cut) == (7, 23)
    assert json.loads(result.node("score").handler.end_to_end_results[0].response.body) == {  # type: ignore[union-attr, arg-type]
        "numbers": [7, 1]
    }


# ---------------------------------------------------------------- faults


FAULTS = {
    "hangs": ("while True: time.sleep(1)", Outcome.timed_out),
    "crashes": ("import ctypes; ctypes.string_at(0)", Outcome.crashed),
    "hoards": ("data = [bytes(1 << 20) + b'x' for _ in range(1 << 12)]", Outcome.memory_exceeded),
}


def test_faults_stay_in_their_branch(tmp_path: Path) -> None:
    """A hang, a crash and a memory hog: the other branch ends, what comes after them is skipped."""
    made = Made(tmp_path)
    made.script("load", writes("load"))
    for node, (line, _) in FAULTS.items():
        limits = {"timeout_seconds": 2 if node == "hangs" else 60, "memory_limit_mb": 200}
        made.script(node, line, {"load_data": "load"}, limits=limits)
        made.script(f"after_{node}", COPY, {f"{node}_data": node})
        made.script(f"later_{node}", COPY, {f"after_{node}_data": f"after_{node}"})
    made.script("good", COPY, {"load_data": "load"})
    made.handler("score", ECHO, ["good"])
    result = result_of(made)
    outcomes = {row.node: row.outcome for row in result.node_results}
    assert {node: outcomes[node] for node in FAULTS} == {
        node: outcome for node, (_, outcome) in FAULTS.items()
    }
    assert {outcomes[node] for node in ("load", "good", "score")} == {Outcome.passed}
    for node, (_, outcome) in FAULTS.items():
        blame = f"{node} {outcome.value.replace('_', ' ')}"
        assert result.node(f"after_{node}").skip_reason == blame
        assert result.node(f"later_{node}").skip_reason == blame
        assert result.edge(node, f"after_{node}").outcome is Outcome.skipped
        said = f"{blame}, which says nothing of its data"
        assert result.edge("load", node).skip_reason == said
    assert result.edge("good", "score").compatible
    assert not result.pipeline_success


def test_node_that_is_given_nothing_is_skipped_and_the_edge_blamed(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.script("load", "pass")
    made.script("clean", COPY, {"load_data": "load"})
    result = result_of(made)
    assert result.node("load").success
    assert result.node("clean").skip_reason == (
        "load wrote nothing to its output 'load_data', which feeds 'load_data'"
    )
    assert result.edge("load", "clean").outcome is Outcome.failed
    assert not result.pipeline_success


def test_package_without_a_handler_is_the_edge_s_fault(tmp_path: Path) -> None:
    made = Made(tmp_path)
    pack = 'open(os.path.join(output_paths["packaged_model"], "notes.txt"), "w").write("no code")'
    place = {"packaged_model": str(tmp_path / "out" / "package")}
    made.script("pack", pack, output_paths=place)
    made.handler("serve", "", ["pack"])
    del made.handlers["serve"]["handler_path"]
    made.handlers["serve"]["packaged_model_path"] = str(tmp_path / "nowhere")
    result = result_of(made)
    assert result.node("serve").outcome is Outcome.failed
    assert "cannot use it" in result.edge("pack", "serve").compatibility_issues[0]


def test_interrupt_ends_what_runs(tmp_path: Path) -> None:
    """Ctrl-C reaches the nodes in their threads; they are not waited for until their timeouts."""
    made = Made(tmp_path)
    for node in "left", "right":
        line = f"open({str(tmp_path / node)!r}, 'w').close()"
        made.script(node, f"{line}\nwhile True: time.sleep(1)", isolation="process")

    def interrupt() -> None:
        wait_until(lambda: all((tmp_path / node).exists() for node in made.nodes), seconds=60)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with RuntimeTester() as tester, pytest.raises(KeyboardInterrupt):
        tester.test_pipeline(made.spec(max_parallel=2))
    thread.join()


# ---------------------------------------------------------------- resume


def test_resume_runs_again_what_changed_and_what_follows(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.script("load", writes("load"))
    made.script("other", writes("other"))
    made.script("clean", COPY, {"load_data": "load"})
    made.handler("score", ECHO, ["clean"])
    made.script("report", COPY, {"response": "score"})

    def reused() -> set[str]:
        result = result_of(made, resume=True)
        assert result.pipeline_success, result.errors
        return {row.node for row in result.node_results if row.reused}

    assert reused() == set()
    assert reused() == set(made.nodes)
    script = Path(made.scripts["load"]["script_path"])
    script.write_text(script.read_text().replace("[1, 2]", "[1, 3]"))
    assert reused() == {"other"}
    made.scripts["clean"]["environ_vars"] = {"NEW": "1"}
    assert reused() == {"load", "other", "score", "report"}  # what clean wrote is the same
    kept = next((tmp_path / ".handlerproof" / "other" / "outputs").rglob("*.json"))
    kept.write_text("{}")
    assert reused() == {"load", "clean", "score", "report"}
    assert not {row.node for row in result_of(made).node_results if row.reused}


def test_failed_node_is_run_again(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.script("load", 'raise ValueError("no")')
    for _ in range(2):
        row = result_of(made, resume=True).node("load")
        assert (row.outcome, row.reused) == (Outcome.raised, False)


def test_selected_node_takes_what_was_kept(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.script("load", writes("load"))
    made.script("clean", COPY, {"load_data": "load"})
    with pytest.raises(PipelineError, match="nothing is kept"):
        result_of(made, nodes=["clean"])
    result_of(made, resume=True)
    result = result_of(made, nodes=["clean"])
    assert result.pipeline_success
    assert not result.node("load").asked
    assert result.edge("load", "clean").compatible


# ---------------------------------------------------------------- the seed's dictionaries


def test_dictionaries_of_the_seed(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.script("load", writes("load"))
    made.handler("score", ECHO.replace('data["numbers"]', 'data["other"]'), ["load"])
    with RuntimeTester() as tester:
        found = tester.test_pipeline_with_inference(made.spec())
    assert not found["pipeline_success"]
    assert found["script_results"]["load"].success
    assert not found["inference_results"]["score"]["pipeline_success"]
    assert any(text.startswith("Incompatible data flow: load -> score") for text in found["errors"])
    assert found["execution_order"] == ["load", "score"]


def test_script_that_failed_is_an_error_of_the_dictionary(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.script("load", 'raise ValueError("no rows")')
    made.handler("score", ECHO, ["load"])
    with RuntimeTester() as tester:
        found = tester.test_pipeline_flow_with_spec(made.spec())
    assert not found["pipeline_success"]
    assert not found["script_results"]["load"].success
    assert found["inference_results"] == {}, "what comes after it is not run"
    (error,) = found["errors"]
    assert error.startswith("Script load failed: raised: ")
    assert "no rows" in error

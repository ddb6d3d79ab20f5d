"""Scripts in workers: what they are given, how they end, and what is told of what they wrote."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from harness import (
    InferenceHandlerSpec,
    InferencePipelineSpec,
    Outcome,
    PipelineDAG,
    PipelineTestingSpecBuilder,
    RuntimeTester,
)
from harness.errors import PipelineError
from harness.pipeline_results import ScriptTestResult
from harness.script_spec import ScriptExecutionSpec

HEAD = "import json, os, sys\n"
MAIN = HEAD + "def main(input_paths, output_paths, environ_vars, job_args):\n    "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one input: rows.csv in data/."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.csv").write_text("a,b\n1,2\n")
    (tmp_path / "code").mkdir()
    return tmp_path


def spec_of(folder: Path, text: str, **fields: Any) -> ScriptExecutionSpec:
    file = folder / "code" / "my-step.py"
    file.write_text(text)
    given = {
        "script_name": "my-step",
        "step_name": "step",
        "script_path": str(file),
        "input_paths": {"data_input": str(folder / "data")},
        "output_paths": {"data_output": str(folder / "out")},
    }
    return ScriptExecutionSpec(**{**given, **fields})


def ran(folder: Path, text: str, **fields: Any) -> ScriptTestResult:
    with RuntimeTester() as tester:
        return tester.test_script_with_spec(spec_of(folder, text, **fields))


def printed(result: ScriptTestResult) -> str:
    assert result.log is not None
    return result.log.head


def test_main_gets_what_the_spec_says(folder: Path) -> None:
    result = ran(
        folder,
        MAIN.replace("job_args)", "job_args, *, logger=None)")
        + 'print(__name__, os.environ["KEY"], environ_vars, type(job_args).__name__, job_args.x)\n'
        '    print(open(os.path.join(input_paths["data_input"], "rows.csv")).read())\n'
        '    json.dump([1], open(os.path.join(output_paths["data_output"], "a.json"), "w"))\n'
        'if __name__ == "__main__":\n    raise SystemExit(9)\n',
        environ_vars={"KEY": "value"},
        job_args={"x": [1, 2]},
    )
    assert result.success, result.error_message
    assert result.has_main_function
    assert printed(result) == "my-step value {'KEY': 'value'} Namespace [1, 2]\na,b\n1,2\n\n"
    told = [(item.output_name, item.path, item.format, item.size_bytes) for item in result.outputs]
    assert told == [("data_output", "a.json", "json", 3)]
    assert (folder / "out" / "a.json").read_text() == "[1]"


def test_program_is_run_as_python_runs_it(folder: Path) -> None:
    (folder / "code" / "beside.py").write_text("HERE = 5\n")
    result = ran(
        folder,
        HEAD
        + "from beside import HERE\nprint(__name__, sys.argv[1:], HERE, __file__ == sys.argv[0])\n"
        'assert sys.modules["__main__"].HERE == 5\n'
        'open(sys.argv[2] + "/x.csv", "w").write("1,2\\n")\nsys.exit()\n',
        arguments=("--out", "{output_paths.data_output}", "--in={input_paths.data_input}"),
    )
    assert result.success, result.error_message
    assert (result.has_main_function, result.exit_code) == (None, 0)
    assert printed(result).startswith("__main__ ['--out', '")
    assert printed(result).endswith(f"'--in={folder / 'data'}'] 5 True\n")
    assert (folder / "out" / "x.csv").exists()


ENDINGS = {
    "sys.exit(3)": (Outcome.exited, 3, "exit code 3"),
    "sys.exit('no data')": (Outcome.exited, 1, "exit code 1"),
    "sys.exit(0)": (Outcome.passed, 0, None),
    "os._exit(0)": (Outcome.exited, 0, "without an answer"),
    "raise KeyError('column')": (Outcome.raised, None, "KeyError: 'column'"),
    "os.kill(os.getpid(), 11)": (Outcome.crashed, None, "SIGSEGV"),
    "raise KeyboardInterrupt": (Outcome.raised, None, "KeyboardInterrupt"),
}


@pytest.mark.parametrize("line", ENDINGS)
def test_how_a_script_ends(line: str, folder: Path) -> None:
    outcome, code, text = ENDINGS[line]
    result = ran(folder, MAIN + line)
    assert (result.outcome, result.exit_code) == (outcome, code)
    assert text is None or text in (result.error_message or "")


def test_text_of_sys_exit_is_in_the_log(folder: Path) -> None:
    assert printed(ran(folder, MAIN + "sys.exit('no data')")) == "no data\n"


def test_threads_of_a_script_are_waited_for(folder: Path) -> None:
    result = ran(
        folder,
        MAIN + "import threading\n    gate = threading.Event()\n"
        "    def late():\n        gate.wait(10)\n        print('written late')\n"
        "    threading.Thread(target=late).start()\n    gate.set()\n",
    )
    assert result.success
    assert printed(result) == "written late\n"


def test_script_without_a_fitting_main(folder: Path) -> None:
    """Where the text does not tell, the worker does."""
    result = ran(folder, "globals()['main'] = 3\n")
    assert (result.outcome, result.has_main_function) == (Outcome.failed, False)
    assert "defines no main(input_paths, output_paths" in (result.error_message or "")
    result = ran(folder, "main = lambda a, b: None\n")
    assert (result.outcome, result.has_main_function) == (Outcome.failed, True)
    assert "cannot be called with input_paths" in (result.error_message or "")


def test_script_that_cannot_be_imported(folder: Path) -> None:
    result = ran(folder, "import no_such_module\n")
    assert (result.outcome, result.phase) == (Outcome.not_started, "import")


def test_limits_hold_a_script(folder: Path) -> None:
    hang = ran(folder, MAIN + "while True: pass", limits={"timeout_seconds": 0.5})
    assert hang.outcome is Outcome.timed_out
    assert "my-step.py" in (hang.stack or "")
    hog = ran(folder, MAIN + "x = b'x' * (1 << 30)", limits={"memory_limit_mb": 200})
    assert hog.outcome is Outcome.memory_exceeded


def test_script_writes_in_its_own_places_only(folder: Path) -> None:
    """It has neither its inputs nor where its outputs will lie."""
    result = ran(
        folder,
        MAIN
        + "for path in (input_paths['data_input'] + '/rows.csv', "
        + repr(str(folder / "x"))
        + "):\n        try: open(path, 'w')\n        except OSError as error: print(error.errno)\n",
    )
    if result.isolation is not None and result.isolation.filesystem != "open":
        assert printed(result) == "13\n13\n"
        assert (folder / "data" / "rows.csv").read_text() == "a,b\n1,2\n"
    assert not (folder / "x").exists() or result.isolation.filesystem == "open"  # type: ignore[union-attr]


def test_changed_input_is_told(folder: Path) -> None:
    text = MAIN + "open(input_paths['data_input'] + '/rows.csv', 'a').write('3,4\\n')"
    result = ran(folder, text, isolation="process")
    assert "the script changed its input 'data_input'" in result.warnings


def test_links_are_not_followed_out_of_an_output(folder: Path) -> None:
    (folder / "secret.txt").write_text("secret")
    result = ran(
        folder,
        MAIN + "own = output_paths['data_output']\n"
        f"    os.symlink({str(folder / 'secret.txt')!r}, own + '/link.txt')\n"
        f"    os.symlink({str(folder)!r}, own + '/folder')\n",
    )
    assert result.success
    assert result.outputs == []
    assert "the script wrote nothing to its output 'data_output'" in result.warnings
    assert not (folder / "out").exists()


def test_output_place_turned_into_a_link_is_left_alone(folder: Path) -> None:
    (folder / "secret.txt").write_text("secret")
    result = ran(
        folder,
        MAIN + "own = os.path.dirname(output_paths['data_output'])\n"
        "    os.rename(own, own + '-away')\n"
        f"    os.symlink({str(folder)!r}, own)\n",
        output_paths={"data_output": str(folder / "data")},
    )
    assert result.outputs == []
    assert sorted(path.name for path in (folder / "data").iterdir()) == ["rows.csv"]


def test_what_lies_where_an_output_goes_stays(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "older.txt").write_text("older")
    text = MAIN + "print(os.listdir(output_paths['data_output']))\n"
    text += "    open(output_paths['data_output'] + '/new.txt', 'w').write('new')"
    assert printed(ran(folder, text)) == "[]\n"
    assert {path.name for path in (folder / "out").iterdir()} == {"older.txt", "new.txt"}


def test_main_params_win_over_the_spec(folder: Path) -> None:
    spec = spec_of(folder, MAIN + "print(job_args.x, os.environ['Y'])", job_args={"x": 1})
    with RuntimeTester() as tester:
        params = {**tester.builder.get_script_main_params(spec), "environ_vars": {"Y": "2"}}
        params["job_args"] = Namespace(x=7)
        assert printed(tester.test_script_with_spec(spec, params)) == "7 2\n"
        with pytest.raises(PipelineError, match="main has no 'paths'"):
            tester.test_script_with_spec(spec, {"paths": {}})
        with pytest.raises(PipelineError, match="job_args must be"):
            tester.test_script_with_spec(spec, {"job_args": Namespace(x=object())})


def test_arguments_that_need_a_path_which_is_not_given(folder: Path) -> None:
    spec = spec_of(folder, MAIN + "pass", arguments=("{input_paths.data_input}",))
    with RuntimeTester() as tester, pytest.raises(PipelineError, match="need the path of"):
        tester.test_script_with_spec(spec, {"input_paths": {}})


def test_missing_input_is_named_before_anything_runs(folder: Path) -> None:
    spec = spec_of(folder, MAIN + "pass", input_paths={"data_input": str(folder / "nowhere")})
    with RuntimeTester() as tester, pytest.raises(PipelineError, match=r"data_input: .*nowhere"):
        tester.test_script_with_spec(spec)


def test_script_runs_on_another_interpreter(folder: Path) -> None:
    text = MAIN + "print(sys.executable)"
    result = ran(folder, text, environment={"python": sys.executable})
    assert printed(result) == f"{sys.executable}\n"
    assert result.environment is not None
    assert result.environment.kind == "python"


# ---------------------------------------------------------------- two alone

READS = MAIN + (
    "rows = open(os.path.join(input_paths['data_input'], 'rows.csv')).read()\n"
    "    assert rows.startswith('a,b'), rows\n"
)
WRITES = MAIN + "open(os.path.join(output_paths['data_output'], 'rows.csv'), 'w').write({!r})\n"
HANDLER = """
import json
def model_fn(model_dir): return None
def input_fn(body, content_type):
    if content_type != "application/json": raise ValueError("send JSON")
    return json.loads(body)
def predict_fn(data, model): return len(data)
def output_fn(prediction, accept): return str(prediction)
"""


@pytest.mark.parametrize(("text", "fits"), [("a,b\n1,2\n", True), ("b\n2\n", False)])
def test_two_scripts(text: str, fits: bool, folder: Path) -> None:
    first = spec_of(folder, WRITES.format(text))
    (folder / "second.py").write_text(READS)
    second = first.model_copy(
        update={
            "script_name": "second",
            "script_path": str(folder / "second.py"),
            "output_paths": {},
        }
    )
    with RuntimeTester() as tester:
        found = tester.test_data_compatibility_with_specs(first, second)
    assert found.compatible is fits
    assert found.data_format_a == "csv"
    assert [match.dest_logical_name for match in found.path_matches] == ["data_input"]
    assert fits or "AssertionError" in found.compatibility_issues[0]


def test_script_and_handler(folder: Path) -> None:
    (folder / "inference.py").write_text(HANDLER)
    handler = {"handler_name": "h", "handler_path": str(folder / "inference.py")}
    spec = spec_of(folder, WRITES.format('[{"a": 1}]').replace("rows.csv", "rows.json"))
    with RuntimeTester() as tester:
        found = tester.test_script_to_inference_compatibility(spec, InferenceHandlerSpec(**handler))
        assert found["compatible"], found
        assert (found["content_type"], found["file_format"]) == ("application/json", "json")
        assert found["output_file"] == str(folder / "out" / "rows.json")
        spec = spec_of(folder, WRITES.format("a,b\n1,2\n"))
        found = tester.test_script_to_inference_compatibility(spec, InferenceHandlerSpec(**handler))
        assert found["error"] == "No compatible content type found for any output file"
        assert (
            "Content type 'text/csv' failed for rows.csv: input_fn: ValueError"
            in found["details"][0]
        )
        assert found["adapter"]["changes"][0]["detail"] == "JSON records instead of CSV"
        assert not found["result"].compatible
        failing = spec_of(folder, MAIN + "raise ValueError('x')")
        found = tester.test_script_to_inference_compatibility(
            failing, InferenceHandlerSpec(**handler)
        )
        assert found["error"] == "Script execution failed"
        nothing = spec_of(folder, MAIN + "pass")
        found = tester.test_script_to_inference_compatibility(
            nothing, InferenceHandlerSpec(**handler)
        )
        assert found["error"] == "No script output files found"
        assert found["details"] == [
            f"No valid files in output path 'data_output': {folder / 'out'}"
        ]


def test_candidates_that_were_not_used_are_named_with_the_reason(folder: Path) -> None:
    (folder / "inference.py").write_text(HANDLER)
    handler = InferenceHandlerSpec(handler_name="h", handler_path=str(folder / "inference.py"))
    files = {".hidden.json": "[1]", "empty.json": "", "a.json": "[1]", "b.json": "[2]"}
    code = (
        f"for name, text in {files!r}.items():\n"
        "        open(os.path.join(output_paths['data_output'], name), 'w').write(text)\n"
        "    import pickle\n"
        "    with open(os.path.join(output_paths['data_output'], 'c.pkl'), 'wb') as file:\n"
        "        pickle.dump([1], file)\n"
        "    open(os.path.join(output_paths['metrics'], 'rows.json'), 'w').write('[3]')\n"
    )
    spec = spec_of(
        folder,
        MAIN + code,
        output_paths={"metrics": str(folder / "metrics"), "data_output": str(folder / "out")},
    )
    with RuntimeTester() as tester:
        found = tester.test_script_to_inference_compatibility(spec, handler)
    assert found["output_file"] == str(folder / "out" / "a.json"), found
    reasons = {item["candidate"]: item["reason"] for item in found["passed_over"]}
    assert reasons == {
        "data_output/.hidden.json": "it is hidden",
        "data_output/empty.json": "it is empty",
        "data_output/c.pkl": "pickle is no format of a request's body",
        "data_output/b.json": "another file was taken before it",
        "metrics": "an output that fits better has files",
    }


def test_handler_that_cannot_be_opened_is_in_the_answer(folder: Path) -> None:
    spec = spec_of(folder, WRITES.format("a,b\n1,2\n"))
    handler = InferenceHandlerSpec(handler_name="h", packaged_model_path=str(folder / "nowhere"))
    with RuntimeTester() as tester:
        found = tester.test_script_to_inference_compatibility(spec, handler)
    assert not found["compatible"]
    assert "nowhere" in found["error"]


def test_the_seed_s_way_from_a_graph_to_all_three_results(folder: Path) -> None:
    """Builder, flow, handler and compatibility, one after the other."""
    (folder / "scripts").mkdir()
    copy = MAIN + (
        "os.makedirs(output_paths['data_output'], exist_ok=True)\n"
        "    text = open(os.path.join(input_paths['data_input'], 'rows.json')).read()\n"
        "    open(os.path.join(output_paths['data_output'], 'rows.json'), 'w').write(text)\n"
    )
    for name in "data_loading", "data_preprocessing":
        (folder / "scripts" / f"{name}.py").write_text(copy)
    first = folder / "DataLoading_training" / "input"
    first.mkdir(parents=True)
    (first / "rows.json").write_text('[{"a": 1}]')
    (folder / "inference.py").write_text(HANDLER)
    samples = folder / "payloads"
    samples.mkdir()
    (samples / "one.json").write_text('[{"a": 2}]')
    builder = PipelineTestingSpecBuilder(test_data_dir=str(folder))
    nodes = ["DataLoading_training", "DataPreprocessing_training"]
    pipeline = builder.build_from_dag(PipelineDAG(nodes, [(nodes[0], nodes[1])]))
    handler = InferenceHandlerSpec(
        handler_name="h",
        handler_path=str(folder / "inference.py"),
        payload_samples_path=str(samples),
    )
    with RuntimeTester(workspace_dir=folder) as tester:
        flow = tester.test_pipeline_flow_with_spec(pipeline)
        assert flow["pipeline_success"], flow["errors"]
        assert list(flow["script_results"]) == nodes
        assert tester.test_inference_pipeline(handler)["pipeline_success"]
        loading = pipeline.script_specs[nodes[0]]
        found = tester.test_script_to_inference_compatibility(loading, handler)
        assert found["compatible"], found
        mixed = InferencePipelineSpec(dag=pipeline.dag, script_specs=pipeline.script_specs)
        mixed.dag.add_node("ModelServing")
        mixed.dag.add_edge(nodes[1], "ModelServing")
        mixed.add_inference_handler("ModelServing", handler)
        whole = tester.test_pipeline_flow_with_spec(mixed)
        assert whole["pipeline_success"], whole["errors"]
        assert list(whole["inference_results"]) == ["ModelServing"]

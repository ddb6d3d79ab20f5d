from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import (
    InferenceHandlerSpec,
    InferencePipelineSpec,
    InferencePipelineTestingSpec,
    PipelineDAG,
    PipelineError,
    PipelineTestingSpec,
    ScriptExecutionSpec,
    SpecError,
)

DAG = PipelineDAG(["load", "train", "serve"], [("load", "train"), ("train", "serve")])


def script(name: str = "train", **fields: Any) -> ScriptExecutionSpec:
    return ScriptExecutionSpec(**({"script_name": name, "step_name": name} | fields))


def handler(name: str = "churn", **fields: Any) -> InferenceHandlerSpec:
    return InferenceHandlerSpec(**({"handler_name": name, "handler_path": "h.py"} | fields))


def mixed(**fields: Any) -> InferencePipelineTestingSpec:
    scripts = {name: script(name) for name in ("load", "train")}
    given: dict[str, Any] = {
        "dag": DAG, "script_specs": scripts, "inference_handlers": {"serve": handler()}
    }  # fmt: skip
    return InferencePipelineTestingSpec(**(given | fields))


def refusal(make: Callable[[], object], kind: type[SpecError] = PipelineError) -> str:
    with pytest.raises(kind) as caught:
        make()
    return str(caught.value)


# ---------------------------------------------------------------- scripts


def test_defaults_of_a_script() -> None:
    """Acceptance 157: script_specs, output_paths."""
    made = script()
    assert (made.input_paths, made.output_paths, made.environ_vars, made.job_args) == (
        {}, {}, {}, {}
    )  # fmt: skip
    assert (made.script_path, made.arguments, made.last_updated, made.user_notes) == (None,) * 4
    assert (made.isolation, made.network, made.environment) == ("auto", False, "inherit")
    assert made.effective_limits.timeout_seconds == 300


def test_every_field_of_a_pipeline_is_described() -> None:
    for kind in (ScriptExecutionSpec, PipelineDAG, InferencePipelineTestingSpec):
        assert all(field.description for field in kind.model_fields.values()), kind


def test_create_default_is_below_the_directory_of_its_step() -> None:
    made = ScriptExecutionSpec.create_default("prepare", "Prepare_training", "data")
    assert made.input_paths == {"data_input": "data/Prepare_training/input"}
    assert made.output_paths == {"data_output": "data/Prepare_training/output"}
    assert made.main_params["job_args"] == Namespace(job_type="testing")


def test_a_saved_script_is_loaded_by_its_step_and_by_its_name(tmp_path: Path) -> None:
    made = script("prepare", step_name="Prepare_training", user_notes="mine", job_args={"n": [1]})
    file = made.save_to_file(tmp_path)
    assert file == str(tmp_path / "Prepare_training_runtime_test_spec.json")
    for name in ("Prepare_training", "prepare"):
        loaded = ScriptExecutionSpec.load_from_file(name, tmp_path)
        assert loaded.last_updated is not None
        assert loaded.model_copy(update={"last_updated": None}) == made


def test_two_steps_of_one_script_do_not_overwrite_each_other(tmp_path: Path) -> None:
    for step in ("Prepare_training", "Prepare_testing"):
        script("prepare", step_name=step).save_to_file(tmp_path)
    assert (
        ScriptExecutionSpec.load_from_file("Prepare_testing", tmp_path).step_name[8:] == "testing"
    )
    message = refusal(lambda: ScriptExecutionSpec.load_from_file("prepare", tmp_path))
    assert "Prepare_testing, Prepare_training" in message


def test_a_script_that_was_not_saved_is_named(tmp_path: Path) -> None:
    message = refusal(lambda: ScriptExecutionSpec.load_from_file("prepare", tmp_path))
    assert message.startswith("no spec of 'prepare' is saved")


def test_arguments_take_paths_by_name() -> None:
    made = script(
        input_paths={"raw data": "in"},
        output_paths={"model": "out"},
        arguments=["--in={input_paths.raw data}", '{"a": 1}', "{output_paths.model}/m.bin"],
    )
    line = made.command_line({"raw data": "/run/in"}, {"model": "/run/out"})
    assert line == ["--in=/run/in", '{"a": 1}', "/run/out/m.bin"]
    assert script().command_line({}, {}) is None
    assert script(arguments=[]).command_line({}, {}) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"script_name": "a/b"}, "cannot name a file"),
        ({"input_paths": {"data": ""}}, "must be a path"),
        ({"input_path": {}}, "did you mean 'input_paths'?"),
        ({"aliases": {"daat": ["x"]}, "input_paths": {"data": "d"}}, "did you mean 'data'?"),
        ({"arguments": ["{input_paths.x}"], "input_paths": {"data": "d"}}, "input_paths: unknown"),
        ({"job_args": {"a": float("nan")}}, "must be JSON"),
        ({"limits": {"timeout_seconds": -1}}, "limits.timeout_seconds: must be greater than 0"),
    ],
)
def test_a_mistake_in_a_script_is_named(fields: dict[str, Any], words: str) -> None:
    assert words in refusal(lambda: script(**fields))


# ---------------------------------------------------------------- pipelines


def test_a_mixed_pipeline_is_a_pipeline() -> None:
    """Acceptance 163, 164, 167."""
    assert issubclass(InferencePipelineTestingSpec, PipelineTestingSpec)
    assert InferencePipelineSpec is InferencePipelineTestingSpec
    made = mixed()
    assert made.has_inference_handlers()
    assert made.get_inference_handler_names() == ["serve"]
    assert made.get_mixed_step_types() == {
        "load": "script", "train": "script", "serve": "inference"
    }  # fmt: skip
    assert made.validate_mixed_pipeline() == []
    assert made.is_valid()
    assert type(made).model_validate_json(made.model_dump_json()) == made


def test_a_handler_is_added_in_place_and_gets_its_nodes_name() -> None:
    """Acceptance 165."""
    made = mixed(inference_handlers={})
    assert not made.has_inference_handlers()
    assert made.validate_configuration() == ["the node 'serve' has no spec"]
    made.add_inference_handler("serve", handler())
    assert made.inference_handlers["serve"].step_name == "serve"
    assert made.is_valid()


def test_handlers_join_a_pipeline_of_scripts() -> None:
    scripts = PipelineTestingSpec(
        dag=DAG, script_specs={"load": script("load"), "serve": script("serve")}, max_rows=7
    )
    made = InferencePipelineTestingSpec.of(scripts, {"serve": handler(), "train": handler()})
    assert (made.max_rows, made.kind_of("serve"), made.kind_of("load")) == (
        7, "inference", "script"
    )  # fmt: skip
    assert made.validate_configuration() == [
        "the script of 'serve' is of no effect; a handler stands at its node"
    ]
    assert InferencePipelineTestingSpec.of(made).get_inference_handler_names() == [
        "serve", "train"
    ]  # fmt: skip
    assert not scripts.is_valid()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: mixed(script_specs={"trian": script("trian")}), "did you mean 'train'?"),
        (lambda: mixed(inference_handlers={"x": handler()}), "inference_handlers: the dag has no"),
        (lambda: mixed().add_inference_handler("x", handler()), "the dag has no such node"),
        (lambda: mixed(script_specs={"train": script("load")}), "train: step_name is 'load'"),
        (
            lambda: mixed(inference_handlers={"serve": handler(step_name="other")}),
            "serve: step_name is 'other'",
        ),
        (lambda: mixed(dag={"nodes": ["a"], "edges": [["a", "a"]]}), "dag: the nodes form a cycle"),
        (lambda: mixed(max_rows=0), "max_rows: must be greater than 0"),
    ],
)
def test_a_mistake_in_a_pipeline_is_named(make: Callable[[], object], words: str) -> None:
    assert words in refusal(make)


# ---------------------------------------------------------------- files written by hand

TOML = """
max_rows = 20
[dag]
nodes = ["load", "serve"]
edges = [["load", "serve"]]
[script_specs.load]
script_path = "scripts/read_all.py"
output_paths = {raw = "out/raw", kept = "/var/kept"}
limits = {timeout_seconds = 5}
[inference_handlers.serve]
handler_name = "churn"
packaged_model_path = "model.tar.gz"
"""
YAML = """
max_rows: 20
dag:
  nodes: [load, serve]
  edges: [[load, serve]]
script_specs:
  load:
    script_path: scripts/read_all.py
    output_paths: {raw: out/raw, kept: /var/kept}
    limits: {timeout_seconds: 5}
inference_handlers:
  serve: {handler_name: churn, packaged_model_path: model.tar.gz}
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [("p.toml", TOML), ("p.yaml", YAML), ("p.yml", YAML), ("p.json", "")],
)
def test_a_pipeline_is_written_in_any_of_three_languages(
    tmp_path: Path, name: str, text: str
) -> None:
    if not text:
        yaml = pytest.importorskip("yaml")
        text = json.dumps(yaml.safe_load(YAML))
    (tmp_path / name).write_text(text)
    made = InferencePipelineTestingSpec.from_file(tmp_path / name)
    load = made.script_specs["load"]
    assert (load.script_name, load.step_name) == ("read_all", "load")
    assert load.script_path == str(tmp_path / "scripts/read_all.py")
    assert load.output_paths == {"raw": str(tmp_path / "out/raw"), "kept": "/var/kept"}
    assert load.limits.timeout_seconds == 5
    assert made.inference_handlers["serve"].packaged_model_path == str(tmp_path / "model.tar.gz")
    assert (made.test_workspace_root, made.max_rows) == (str(tmp_path), 20)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("p.toml", "[", "is not TOML"),
        ("p.yaml", "a: [", "is not YAML"),
        ("p.json", "{", "is not JSON"),
        ("p.json", "[]", "must be a table of fields"),
        ("p.json", "[" * 200_000, "is not JSON"),
        ("p.yaml", "dag: {nodes: [a], edges: [[a, b]]}", "the edge a -> b has no such node"),
        ("p.toml", "dag = 3", "dag: "),
        ("p.toml", "script_specs = 3", "script_specs: "),
    ],
)
def test_a_file_that_is_no_pipeline_is_refused(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    assert words in refusal(
        lambda: InferencePipelineTestingSpec.from_file(tmp_path / name), SpecError
    )


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    message = refusal(lambda: PipelineTestingSpec.from_file(tmp_path / "p.toml"), SpecError)
    assert message.startswith(f"cannot read the spec {tmp_path / 'p.toml'}")


def test_yaml_without_its_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    (tmp_path / "p.yaml").write_text(YAML)
    message = refusal(lambda: PipelineTestingSpec.from_file(tmp_path / "p.yaml"), SpecError)
    assert "handlerproof[yaml]" in message

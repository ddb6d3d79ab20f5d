from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from harness import (
    PipelineDAG,
    PipelineError,
    PipelineTestingSpecBuilder,
    RuntimeTester,
    ScriptExecutionSpec,
)
from harness.pipelines import names

MAIN = "def main(input_paths, output_paths, environ_vars, job_args): pass\n"


@pytest.fixture
def builder(tmp_path: Path) -> PipelineTestingSpecBuilder:
    return PipelineTestingSpecBuilder(test_data_dir=tmp_path / "data")


def write_script(builder: PipelineTestingSpecBuilder, name: str, text: str = MAIN) -> str:
    builder.scripts_dir.mkdir(parents=True, exist_ok=True)
    file = builder.scripts_dir / f"{name}.py"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize(
    ("node", "canonical", "scripts"),
    [
        (
            "TabularPreprocessing_training",
            ("TabularPreprocessing", "training"),
            ["tabular_preprocessing_training", "tabular_preprocessing"],
        ),
        ("XGBoostModelEval", ("XGBoostModelEval", None), ["xgboost_model_eval"]),
        ("load_data", ("load_data", None), ["load_data"]),
        ("_training", ("_training", None), ["training"]),
        ("Model_Calibration", ("Model", "calibration"), ["model_calibration", "model"]),
    ],
)
def test_a_node_s_name_is_taken_apart(
    node: str, canonical: tuple[str, str | None], scripts: list[str]
) -> None:
    assert names.canonical(node) == canonical
    assert names.script_names(node) == scripts


def test_nothing_is_made_by_looking(builder: PipelineTestingSpecBuilder, tmp_path: Path) -> None:
    builder.resolve_script_execution_spec_from_node("Train")
    builder.list_saved_specs()
    builder.get_script_spec_by_name("Train")
    assert list(tmp_path.iterdir()) == []


def test_a_node_is_resolved_to_its_script(builder: PipelineTestingSpecBuilder) -> None:
    """Acceptance 155."""
    file = write_script(builder, "tabular_preprocessing")
    spec = builder.resolve_script_execution_spec_from_node("TabularPreprocessing_training")
    assert (spec.script_name, spec.step_name) == (
        "tabular_preprocessing", "TabularPreprocessing_training"
    )  # fmt: skip
    assert spec.script_path == file
    assert spec.job_args == {"job_type": "training"}
    own = write_script(builder, "tabular_preprocessing_training")
    again = builder.resolve_script_execution_spec_from_node("TabularPreprocessing_training")
    assert again.script_path == own


def test_two_job_types_of_one_script_write_apart(builder: PipelineTestingSpecBuilder) -> None:
    write_script(builder, "prepare")
    one, other = (
        builder.resolve_script_execution_spec_from_node(f"Prepare_{job}")
        for job in ("training", "calibration")
    )
    assert one.script_path == other.script_path
    assert not set(one.output_paths.values()) & set(other.output_paths.values())


def test_main_params_are_what_main_takes(builder: PipelineTestingSpecBuilder) -> None:
    """Acceptance 153."""
    spec = builder.resolve_script_execution_spec_from_node("Prepare_training")
    assert builder.get_script_main_params(spec) == {
        "input_paths": spec.input_paths,
        "output_paths": spec.output_paths,
        "environ_vars": {},
        "job_args": Namespace(job_type="training"),
    }


def test_a_pipeline_is_built_from_its_graph(builder: PipelineTestingSpecBuilder) -> None:
    """Acceptance 154, 156, 158: what a handler is to stand for is left to the user."""
    for name in ("load", "train"):
        write_script(builder, name)
    dag = PipelineDAG(
        ["Load", "Train_training", "ModelServing_inference"],
        [("Load", "Train_training"), ("Train_training", "ModelServing_inference")],
    )
    spec = builder.build_from_dag(dag)
    assert spec.dag == dag
    assert spec.dag is not dag
    assert list(spec.script_specs) == ["Load", "Train_training"]
    assert spec.test_workspace_root == str(builder.test_data_dir)


def test_a_node_without_a_script_is_named_with_what_may_be_meant(
    builder: PipelineTestingSpecBuilder,
) -> None:
    write_script(builder, "train_model")
    write_script(builder, "load", "def mian(): pass\n")
    dag = PipelineDAG(["TrainModels", "Load", "Evaluate"])
    with pytest.raises(PipelineError) as caught:
        builder.build_from_dag(dag)
    first, *problems = str(caught.value).splitlines()
    assert first == "the pipeline has 3 problems:"
    assert "there is no script at" in problems[0]
    assert problems[0].endswith("(did you mean train_model.py?)")
    assert "load.py defines no main; write main(input_paths, output_paths" in problems[1]
    assert "Evaluate: there is no script at" in problems[2]
    assert list(builder.build_from_dag(dag, validate=False).script_specs) == dag.nodes


def test_specs_are_saved_updated_listed_and_found(builder: PipelineTestingSpecBuilder) -> None:
    file = write_script(builder, "prepare")
    made = builder.update_script_spec("Prepare_training", user_notes="mine")
    assert (made.user_notes, made.script_path) == ("mine", file)
    assert made.last_updated is not None
    updated = builder.update_script_spec("Prepare_training", environ_vars={"A": "1"})
    assert (updated.user_notes, updated.environ_vars) == ("mine", {"A": "1"})
    builder.save_script_spec(ScriptExecutionSpec(script_name="load", step_name="load"))
    assert builder.list_saved_specs() == ["Prepare_training", "load"]
    assert builder.get_script_spec_by_name("prepare") == updated
    assert builder.get_script_spec_by_name("Prepare_training") == updated
    assert builder.get_script_spec_by_name("other") is None
    assert builder.resolve_script_execution_spec_from_node("Prepare_training") == updated
    with pytest.raises(PipelineError, match="did you mean 'user_notes'"):
        builder.update_script_spec("load", user_note="x")


@pytest.mark.parametrize(
    ("step", "available", "expected"),
    [
        ("Prepare", ["load", "Prepare"], "Prepare"),
        ("TabularPreprocessing_training", ["xgboost_training", "tabular_preprocessing"],
         "tabular_preprocessing"),
        ("ModelEvaluation", ["load", "model_eval"], "model_eval"),
        ("Prepare", ["load", "train"], None),
        ("Prepare", [], None),
    ],
)  # fmt: skip
def test_a_step_is_matched_to_a_spec(
    builder: PipelineTestingSpecBuilder, step: str, available: list[str], expected: str | None
) -> None:
    assert builder.match_step_to_spec(step, available) == expected


def test_the_tester_has_a_builder_of_its_workspace(tmp_path: Path) -> None:
    """Acceptance 87."""
    with RuntimeTester(tmp_path) as tester:
        assert tester.builder.test_data_dir == tmp_path

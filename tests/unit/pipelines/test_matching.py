from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import (
    InferenceHandlerSpec,
    InferencePipelineTestingSpec,
    PipelineDAG,
    PipelineTestingSpec,
    RuntimeTester,
    ScriptExecutionSpec,
)
from harness.pipeline_results import PathMatch
from harness.pipelines import names
from harness.pipelines.assignment import assign
from harness.pipelines.matching import Port, compare, is_nameless, matches, similarity
from harness.pipelines.wiring import wire

GAINS = st.one_of(st.just(0.0), st.sampled_from([0.7, 0.9, 1.0, 1001.0]), st.floats(0, 1))
SOME = (
    "data_output", "data_input", "model_output", "ModelInput", "processed-data", "trainData",
    "eval_output", "evaluation_data", "metrics", "payload_sample", "GeneratedPayloadSamples",
    "packaged_model", "input_path", "out", "X_train", "labels",
)  # fmt: skip
NAMES = st.lists(
    st.sampled_from(SOME),
    unique=True,
    max_size=5,
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[float]]:
    rows, columns = draw(st.integers(0, 5)), draw(st.integers(0, 5))
    return [[draw(GAINS) for _ in range(columns)] for _ in range(rows)]


def brute_force(gains: list[list[float]]) -> float:
    if not gains or not gains[0]:
        return 0.0
    if len(gains) > len(gains[0]):
        return brute_force([list(column) for column in zip(*gains, strict=True)])
    ways = itertools.permutations(range(len(gains[0])), len(gains))
    return max(sum(row[column] for row, column in zip(gains, way, strict=True)) for way in ways)


@given(tables())
def test_assignment_is_one_to_one_and_the_best_there_is(gains: list[list[float]]) -> None:
    pairs = assign(gains)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    total = sum(gains[row][column] for row, column in pairs)
    assert total == pytest.approx(brute_force(gains))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GeneratedPayloadSamples", "generated payload samples"),
        ("data-input_path", "data input path"),
        ("XGBoostTraining", "xgboost training"),
        ("HTTPResponse2", "http response 2"),
        ("hyperparameters_s3_uri", "hyperparameters s3 uri"),
        ("__", ""),
    ],
)
def test_names_are_split_into_words(name: str, expected: str) -> None:
    assert " ".join(names.words(name)) == expected


ALIKE = """
    data_output data_input, model_output model_input, processed_data data, raw_data data_input,
    evaluation_data eval_output, payload_sample GeneratedPayloadSamples,
    model_artifacts model_input, payload_samples payload_samples_path, training_data train_data,
    metrics_output evaluation_metrics, calibrated_model calibration_model,
    preprocessed_data processed_data, model_tar model,
    packaged_model_output packaged_model_path, predictions prediction_output, data_output data,
    hyperparameters_s3_uri hyperparameters, procesed_data processed_data,
    train_features featuresTrain, scored_rows rows
"""
APART = """
    model_output data_input, data_output model_input, training_data validation_data,
    model_output model_evaluation_data, train_data test_data, metrics_output model_input,
    payload_sample packaged_model, processed_data model_artifacts,
    evaluation_metrics evaluation_data, features labels, X_train y_train, signature metadata,
    model_output evaluation_output, train_metrics training_data, predictions labels,
    scores data_input, calibration_metrics calibrated_model
"""


def pairs_of(text: str) -> list[tuple[str, str]]:
    found = [pair.split() for pair in text.split(",")]
    return [(first, second) for first, second in found]


@pytest.mark.parametrize(("output", "taken"), pairs_of(ALIKE))
def test_names_that_mean_the_same_match(output: str, taken: str) -> None:
    match = compare(Port(output), Port(taken))
    assert match is not None
    assert match.match_type == "semantic"
    assert 0.7 <= match.confidence <= 0.94
    assert match.reason.startswith("both are about ")


@pytest.mark.parametrize(("output", "taken"), pairs_of(APART))
def test_names_that_mean_something_else_do_not(output: str, taken: str) -> None:
    assert compare(Port(output), Port(taken)) is None


@given(NAMES.filter(bool))
def test_similarity_goes_both_ways(given_names: list[str]) -> None:
    for name, other in itertools.product(given_names, repeat=2):
        assert similarity(name, other) == pytest.approx(similarity(other, name))
        assert 0 <= similarity(name, other) <= 0.94


def test_the_kinds_of_matches_and_their_confidence() -> None:
    kinds = {
        ("data", "data"): ("exact", 1.0),
        ("packaged_model", "PackagedModel"): ("exact", 0.98),
        ("model_output", "data_input"): None,
    }
    for (output, taken), expected in kinds.items():
        match = compare(Port(output), Port(taken))
        assert (match and (match.match_type, match.confidence)) == expected
    by_alias = compare(Port("artifact", ("final-model",)), Port("x", ("FinalModel",)))
    assert by_alias is not None
    assert (by_alias.match_type, by_alias.confidence) == ("alias", 0.95)
    by_path = compare(Port("a", path="/data/x"), Port("b", path="/data/x"))
    assert by_path is not None
    assert (by_path.match_type, by_path.reason) == ("exact", "the same path")


def test_an_alias_counts_in_meaning_too() -> None:
    match = compare(Port("artifact", ("model_output",)), Port("model_input"))
    assert match is not None
    assert match.match_type == "semantic"


def test_no_threshold_makes_names_match_that_share_nothing() -> None:
    assert compare(Port("model_output"), Port("data_input"), threshold=0.0) is None
    assert compare(Port("training_data"), Port("validation_data"), threshold=0.2) is not None


def test_without_meaning_only_names_and_aliases_count() -> None:
    assert compare(Port("data_output"), Port("data_input"), semantic=False) is None
    assert compare(Port("raw-data"), Port("rawData"), semantic=False) is not None


@settings(deadline=None)
@given(NAMES, NAMES, st.floats(0, 1))
def test_each_output_and_input_is_in_one_match_at_most(
    outputs: list[str], inputs: list[str], threshold: float
) -> None:
    found = matches([Port(n) for n in outputs], [Port(n) for n in inputs], threshold=threshold)
    given_names = [match.source_logical_name for match in found]
    taken_names = [match.dest_logical_name for match in found]
    assert len(set(given_names)) == len(given_names)
    assert len(set(taken_names)) == len(taken_names)
    assert [match.confidence for match in found] == sorted(
        (match.confidence for match in found), reverse=True
    )
    # Whatever has the same name is paired with it.
    assert set(outputs) & set(inputs) <= {
        match.source_logical_name
        for match in found
        if match.source_logical_name == match.dest_logical_name
    }


def test_the_assignment_is_not_greedy() -> None:
    """The surest pair is (model, packaged_model); taken first, it leaves model_package alone."""
    outputs, inputs = ("model", "model_package"), ("packaged_model", "trained_model")
    likeness = {(a, b): similarity(a, b) for a in outputs for b in inputs}
    assert max(likeness, key=likeness.__getitem__) == ("model", "packaged_model")
    assert likeness["model_package", "trained_model"] < 0.7
    found = matches([Port(name) for name in outputs], [Port(name) for name in inputs])
    assert {m.source_logical_name: m.dest_logical_name for m in found} == {
        "model": "trained_model",
        "model_package": "packaged_model",
    }


def test_a_name_that_says_nothing_is_paired_by_elimination() -> None:
    assert is_nameless("input_path")
    (match,) = matches([Port("processed_data")], [Port("input_path")])
    assert (match.confidence, match.match_type) == (0.5, "semantic")
    two = [Port("input_path"), Port("output_dir")]
    assert matches([Port("processed_data")], two) == []
    assert matches([Port("processed_data")], [Port("input_path")], semantic=False) == []
    assert matches([Port("model")], [Port("labels")]) == []


# ---------------------------------------------------------------- a whole pipeline


def script(name: str, inputs: str, outputs: str, **fields: object) -> ScriptExecutionSpec:
    return ScriptExecutionSpec.model_validate(
        {
            "script_name": name,
            "step_name": name,
            "input_paths": {it: f"{name}/in/{it}" for it in inputs.split()},
            "output_paths": {it: f"{name}/out/{it}" for it in outputs.split()},
            **fields,
        }
    )


def pipeline(edges: list[tuple[str, str]], *scripts: ScriptExecutionSpec) -> PipelineTestingSpec:
    specs = {script.step_name: script for script in scripts}
    return PipelineTestingSpec(dag=PipelineDAG(list(specs), edges), script_specs=specs)


def fed(found: dict[str, PathMatch]) -> dict[str, tuple[str | None, str]]:
    return {name: (m.source_node, m.source_logical_name) for name, m in found.items()}


def test_all_edges_into_a_node_are_matched_at_once() -> None:
    """Each gives a data output; the names say which is for what."""
    spec = pipeline(
        [("train", "evaluate"), ("prepare", "evaluate"), ("load", "evaluate")],
        script("train", "", "model_output training_data"),
        script("prepare", "", "test_data"),
        script("load", "", "raw"),
        script("evaluate", "model_input test_data config", "metrics"),
    )
    wires = wire(spec)
    assert fed(wires.feeds["evaluate"]) == {
        "model_input": ("train", "model_output"),
        "test_data": ("prepare", "test_data"),
    }
    assert wires.carries("train", "evaluate")
    assert not wires.carries("load", "evaluate")


def test_an_output_may_feed_more_than_one_node() -> None:
    spec = pipeline(
        [("train", "package"), ("train", "payload")],
        script("train", "", "model_output"),
        script("package", "model_input", "packaged_model"),
        script("payload", "model_input", "payload_samples"),
    )
    wires = wire(spec)
    for node in ("package", "payload"):
        assert fed(wires.feeds[node]) == {"model_input": ("train", "model_output")}


def test_the_same_path_joins_an_output_and_an_input() -> None:
    spec = pipeline(
        [("a", "b")],
        script("a", "", "x", output_paths={"x": "shared/file.csv"}),
        script("b", "y", "", input_paths={"y": "./shared/file.csv"}),
    )
    assert fed(wire(spec, semantic=False).feeds["b"]) == {"y": ("a", "x")}


# ---------------------------------------------------------------- what the user is told


def test_reports_of_two_scripts() -> None:
    a = script("prepare", "", "processed_data statistics model_tar")
    b = script("train", "data_input hyperparameters", "model")
    with RuntimeTester() as tester:
        (match,) = tester.get_path_matches(a, b)
        report = tester.generate_matching_report(a, b)
    assert (match.source_logical_name, match.dest_logical_name) == ("processed_data", "data_input")
    assert (report["script_a"], report["script_b"]) == ("prepare", "train")
    assert (report["total_matches"], report["high_confidence_matches"]) == (1, 0)
    assert report["matches_by_type"] == {"semantic": 1}
    assert report["best_matches"][0]["confidence"] == report["average_confidence"] == 0.705
    assert report["unmatched_outputs"] == ["statistics", "model_tar"]
    assert report["unmatched_inputs"] == ["hyperparameters"]
    assert report["recommendations"] == [
        "processed_data -> data_input is a match of only 0.70; make data_input an alias of "
        "processed_data, or name them alike"
    ]


def test_what_to_do_where_nothing_matches() -> None:
    with RuntimeTester() as tester:
        near = tester.generate_matching_report(
            script("a", "", "training_data"), script("b", "validation_data", "")
        )
        silent = tester.generate_matching_report(
            script("a", "", "model"), script("b", "input_1 input_2", "")
        )
    assert near["total_matches"] == 0
    assert near["average_confidence"] is None
    assert near["recommendations"] == [
        "nothing matches; the nearest are training_data and validation_data (0.27): add an alias"
    ]
    assert silent["recommendations"][0].startswith("nothing matches; ")


def test_the_tester_s_own_threshold_and_switch_count() -> None:
    a, b = script("a", "", "processed_data"), script("b", "data", "")
    for options, count in (
        ({}, 1),
        ({"semantic_threshold": 0.8}, 0),
        ({"enable_logical_matching": False}, 0),
    ):
        with RuntimeTester(**options) as tester:
            assert len(tester.get_path_matches(a, b)) == count


def test_names_of_a_whole_pipeline_are_validated() -> None:
    spec = pipeline(
        [("load", "prepare"), ("prepare", "train")],
        script("load", "", "raw_data"),
        script("prepare", "data_input", "features"),
        script("train", "labels config", "model"),
    )
    with RuntimeTester() as tester:
        report = tester.validate_pipeline_logical_names(spec)
    assert report["overall_valid"] is False
    assert (report["total_edges"], report["valid_edges"], report["validation_rate"]) == (2, 1, 0.5)
    assert report["edge_validations"]["load -> prepare"]["valid"]
    assert report["unfed_inputs"] == {"train": ["labels", "config"]}
    assert [text.partition(":")[0] for text in report["recommendations"]] == [
        "load -> prepare", "prepare -> train"
    ]  # fmt: skip


# ---------------------------------------------------------------- handlers in a pipeline


def serving(
    edges: list[tuple[str, str]], *scripts: ScriptExecutionSpec, **handler: str
) -> InferencePipelineTestingSpec:
    specs = {script.step_name: script for script in scripts}
    spec = InferenceHandlerSpec.model_validate({"handler_name": "serve", **handler})
    return InferencePipelineTestingSpec(
        dag=PipelineDAG([*specs, "serve"], edges),
        script_specs=specs,
        inference_handlers={"serve": spec},
    )


def test_package_and_payload_feed_the_handler_and_other_data_its_requests() -> None:
    """Acceptance 264."""
    spec = serving(
        [("package", "serve"), ("payload", "serve"), ("prepare", "serve")],
        script("package", "", "packaged_model"),
        script("payload", "", "GeneratedPayloadSamples statistics"),
        script("prepare", "", "summary test_data"),
        packaged_model_path="model.tar.gz",
        payload_samples_path="payloads",
    )
    wires = wire(spec)
    assert fed(wires.feeds["serve"]) == {
        "packaged_model_path": ("package", "packaged_model"),
        "payload_samples_path": ("payload", "GeneratedPayloadSamples"),
    }
    assert wires.requests == {("prepare", "serve"): ["test_data", "summary"]}
    assert all(wires.carries(*edge) for edge in spec.dag.edges)


def test_a_handler_s_response_feeds_a_script_and_another_handler() -> None:
    spec = serving(
        [("serve", "after")],
        script("after", "predictions config", "report"),
        handler_path="h.py",
    )
    assert fed(wire(spec).feeds["after"]) == {"predictions": ("serve", "response")}
    odd = serving([("serve", "after")], script("after", "scored", ""), handler_path="h.py")
    assert fed(wire(odd).feeds["after"]) == {"scored": ("serve", "response")}
    two = InferencePipelineTestingSpec(
        dag=PipelineDAG(["a", "b"], [("a", "b")]),
        inference_handlers={
            name: InferenceHandlerSpec(handler_name=name, packaged_model_path="m.tar.gz")
            for name in "ab"
        },
    )
    wires = wire(two)
    assert wires.feeds["b"] == {}
    assert wires.requests == {("a", "b"): ["response"]}

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from harness import DataCompatibilityResult, PipelineTestResult, ScriptTestResult, SpecError
from harness import pipeline_results as results
from harness.pipeline_results import (
    AdapterChange,
    AdapterProposal,
    DataSent,
    NodeInput,
    NodeTestResult,
    OutputFile,
    PassedOver,
    PathMatch,
)
from harness.records import Outcome, not_asked

TEXT = st.text(max_size=8) | st.just("\ud800 broken")
COUNT = st.integers(0, 2**40)
SECONDS = st.floats(0, 1e6)


def node(name: str = "train", **fields: Any) -> NodeTestResult:
    given_fields: dict[str, Any] = {"node": name, "kind": "script", "outcome": Outcome.passed}
    return NodeTestResult(**(given_fields | fields))


def edge(source: str, destination: str, **fields: Any) -> DataCompatibilityResult:
    return DataCompatibilityResult(
        **({"script_a": source, "script_b": destination, "compatible": True} | fields)
    )


def result(**fields: Any) -> PipelineTestResult:
    given_fields: dict[str, Any] = {
        "pipeline_success": True,
        "total_execution_time": 1.0,
        "node_results": [],
        "edge_results": [],
    }
    return PipelineTestResult(**(given_fields | fields))


def rows(record: type[BaseModel], /, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Make records of a kind, with an outcome that goes with its reason."""
    outcomes = st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.skipped])
    judged = outcomes.map(lambda outcome: {"outcome": outcome}) | TEXT.filter(bool).map(
        lambda reason: {"outcome": Outcome.skipped, "skip_reason": reason}
    )
    return st.tuples(judged, st.fixed_dictionaries(fields)).map(
        lambda two: record(**two[0], **two[1])
    )


OUTPUTS = st.builds(OutputFile, output_name=TEXT, path=TEXT, format=TEXT, size_bytes=COUNT)
SCRIPTS = rows(
    ScriptTestResult,
    script_name=TEXT,
    step_name=TEXT,
    execution_time=SECONDS,
    has_main_function=st.none() | st.booleans(),
    outputs=st.lists(OUTPUTS, max_size=2),
    warnings=st.lists(TEXT, max_size=2),
)
NODES = rows(
    NodeTestResult,
    node=TEXT,
    kind=st.sampled_from(["script", "inference"]),
    execution_time=SECONDS,
    reused=st.booleans(),
    error_message=st.none() | TEXT,
    inputs=st.lists(st.builds(NodeInput, input_name=TEXT, path=TEXT, source_node=TEXT), max_size=2),
    script=st.none() | SCRIPTS,
)
MATCHES = st.builds(
    PathMatch,
    source_node=st.none() | TEXT,
    source_logical_name=TEXT,
    dest_logical_name=TEXT,
    match_type=st.sampled_from(["exact", "alias", "semantic"]),
    confidence=st.floats(0, 1),
    reason=TEXT,
)
ADAPTERS = st.builds(
    AdapterProposal,
    changes=st.lists(
        st.builds(AdapterChange, change=st.just("drop_header"), detail=TEXT), max_size=2
    ),
    content_type=st.none() | TEXT,
    tries=COUNT,
    preview=st.none() | TEXT,
)
EDGES = st.builds(
    DataCompatibilityResult,
    script_a=TEXT,
    script_b=TEXT,
    compatible=st.booleans(),
    compatibility_issues=st.lists(TEXT, max_size=2),
    path_matches=st.lists(MATCHES, max_size=2),
    sent=st.lists(st.builds(DataSent, output_name=TEXT, size_bytes=COUNT, rows=COUNT), max_size=2),
    passed_over=st.lists(st.builds(PassedOver, candidate=TEXT, reason=TEXT), max_size=2),
    adapter=st.none() | ADAPTERS,
    execution_time=SECONDS,
)
RESULTS = st.builds(
    PipelineTestResult,
    pipeline_success=st.booleans(),
    total_execution_time=SECONDS,
    node_results=st.lists(NODES, max_size=3),
    edge_results=st.lists(EDGES, max_size=3),
    errors=st.lists(TEXT, max_size=2),
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RESULTS)
def test_every_pipeline_result_survives_json_exactly(made: PipelineTestResult) -> None:
    dumped = made.model_dump_json()
    loaded = PipelineTestResult.model_validate_json(dumped)
    assert loaded == made
    assert loaded.model_dump_json() == dumped


def test_a_result_is_saved_and_loaded(tmp_path: Path) -> None:
    made = result(node_results=[node(script=None)], edge_results=[edge("a", "b")])
    made.save(tmp_path / "r.json")
    assert PipelineTestResult.load(tmp_path / "r.json") == made
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(SpecError, match="is not a saved result"):
        PipelineTestResult.load(tmp_path / "x.json")


def test_every_record_is_frozen_closed_and_described() -> None:
    kinds = [kind for _, kind in inspect.getmembers(results, inspect.isclass)]
    for kind in kinds:
        if not issubclass(kind, BaseModel) or kind.__module__ != results.__name__:
            continue
        assert kind.model_config["frozen"], kind
        assert kind.model_config["extra"] == "forbid", kind
        assert all(field.description for field in kind.model_fields.values()), kind


def test_fields_of_the_seed_are_there() -> None:
    assert {"script_name", "success", "error_message", "execution_time", "has_main_function"} <= {
        *ScriptTestResult.model_fields, *ScriptTestResult.model_computed_fields
    }  # fmt: skip
    assert {
        "script_a", "script_b", "compatible", "compatibility_issues", "data_format_a",
        "data_format_b",
    } <= {*DataCompatibilityResult.model_fields}  # fmt: skip


def test_an_edge_that_was_not_tested_is_neither_passed_nor_failed() -> None:
    assert edge("a", "b").outcome is Outcome.passed
    assert edge("a", "b", compatible=False).outcome is Outcome.failed
    assert edge("a", "b", compatible=False, skip_reason="a failed").outcome is Outcome.skipped
    with pytest.raises(ValidationError, match="was not tested"):
        edge("a", "b", skip_reason="a failed")


def test_rates_leave_out_what_was_not_asked_for() -> None:
    made = result(
        node_results=[
            node("a"),
            node("b", outcome=Outcome.timed_out),
            node("c", outcome=Outcome.skipped, skip_reason="b timed out"),
            node("d", outcome=Outcome.skipped, skip_reason=not_asked("not selected")),
        ],
        edge_results=[
            edge("a", "b"),
            edge("b", "c", compatible=False, skip_reason="b timed out"),
        ],
    )
    assert made.success_rates() == {
        "nodes": {"passed": 1, "total": 3}, "edges": {"passed": 1, "total": 1}
    }  # fmt: skip
    assert made.outcomes() == {Outcome.passed: 1, Outcome.timed_out: 1, Outcome.skipped: 2}
    assert made.node("b").outcome is Outcome.timed_out
    assert made.edge("a", "b").compatible

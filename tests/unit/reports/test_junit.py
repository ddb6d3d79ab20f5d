"""JUnit XML: read by junitparser and by a strict parser, whatever a handler printed."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml

from harness import FunctionTestResult
from harness.batch_results import BatchEntry, Finding, NotRun
from harness.reports import junit
from tests.unit import made_up

HOSTILE = (
    "\x00\x08\x1b[2J]]><!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]>&y;\ufffe\U0001f600"
)


def parsed(*entries: BatchEntry, **fields: Any) -> ElementTree.Element:
    data = junit.render(made_up.batch(*entries, **fields))
    expat.ParserCreate().Parse(data, True)
    return ElementTree.fromstring(data)


def kinds(*entries: BatchEntry) -> list[str]:
    cases = parsed(*entries).iter("testcase")
    return [child.tag for case in cases for child in case if child.tag in ("failure", "error")]


@pytest.mark.parametrize("outcome", made_up.OUTCOMES)
def test_failure_is_a_check_and_error_is_the_rest(outcome: str) -> None:
    expected = {"passed": [], "failed": ["failure"] * 2, "raised": ["failure"] * 2}
    assert kinds(made_up.entry(outcome=outcome)) == expected.get(outcome, ["error"] * 2)


def test_classname_is_the_handler_and_names_are_unique() -> None:
    root = parsed(made_up.entry("a"), made_up.entry("b"))
    places = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(set(places)) == len(places) == 10
    assert {handler for handler, _ in places} == {"a", "b"}
    assert ("a", "end_to_end[rows-text/csv->application/json]") in places
    assert ("b", "predict_fn[rows]") in places


def test_names_that_differ_in_nothing_legal_are_numbered() -> None:
    rows = [
        FunctionTestResult(
            function_name="input_fn", outcome="passed", execution_time=0, sample_name=name
        )
        for name in ("x\x01", "x\x02", "x", "x (2)")
    ]
    result = made_up.result(input_fn_results=rows)
    root = parsed(BatchEntry(result=result))
    names = [case.get("name") for case in root.iter("testcase")]
    assert len(set(names)) == len(names)


def test_junitparser_reads_it_with_hostile_output() -> None:
    batch = made_up.batch(
        made_up.entry("good", log=HOSTILE * 10_000),
        made_up.entry(HOSTILE.replace("\x00", ""), "raised", message=HOSTILE * 10_000),
        made_up.entry("slow", "timed_out"),
        not_run=[NotRun(handler_name="last", reason="interrupted")],
    )
    suites = list(JUnitXml.fromstring(junit.render(batch)))
    assert [suite.tests for suite in suites] == [5, 5, 5, 1]
    assert [suite.failures for suite in suites] == [0, 2, 0, 0]
    assert [suite.errors for suite in suites] == [0, 0, 2, 0]
    assert [suite.skipped for suite in suites] == [0, 1, 1, 1]
    for suite in suites:
        for case in suite:
            assert len((case.system_out or "").encode()) <= junit.MOST_CHARS


@given(st.text())
def test_any_text_becomes_xml(text: str) -> None:
    element = ElementTree.Element("x", a=junit.clean(text))
    element.text = junit.clean(text)
    again = ElementTree.fromstring(ElementTree.tostring(element, encoding="utf-8"))
    assert (again.text or "") == element.text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("text", ["x" * 200_000, "é" * 100_000, "😀" * 50_000])
def test_long_text_keeps_its_ends(text: str) -> None:
    cut = junit.clean(f"begin{text}end")
    assert cut.startswith("begin")
    assert cut.endswith("end")
    assert len(cut.encode()) <= junit.MOST_CHARS


def test_handler_that_fails_as_a_whole_has_a_case_that_says_so() -> None:
    result = made_up.result(
        overall_success=False,
        errors=["no samples were found"],
        input_fn_results=[],
        predict_fn_results=[],
        output_fn_results=[],
        end_to_end_results=[],
    )
    root = parsed(BatchEntry(result=result))
    (failure,) = root.iter("failure")
    assert failure.text == "no samples were found"


def test_budget_that_is_broken_is_a_failure_of_its_own() -> None:
    finding = Finding(
        kind="budget", measure="prediction_s", holds=False, message="slow", values=[3], bound=2
    )
    root = parsed(made_up.entry(findings=[finding]))
    (case,) = (case for case in root.iter("testcase") if case.find("failure") is not None)
    assert case.get("name") == "budget[prediction_s]"


def test_times_memory_and_flakiness_are_properties() -> None:
    root = parsed(made_up.entry(earlier_attempts=["crashed"]))
    facts = {item.get("name"): item.get("value") for item in root.iter("property")}
    assert facts["status"] == "flaky"
    assert facts["attempt_1"] == "crashed"
    assert facts["peak_memory_bytes"] == str(11 * 2**20)
    assert facts["predict_fn_total_s"] == "0.010000"

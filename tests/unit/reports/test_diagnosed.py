"""What was seen of known mistakes is in every report, of good handlers as well."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import pytest
from rich.console import Console, RenderableType

from harness.batch_results import BatchEntry, BatchResult
from harness.reports import console, github, html, junit, overview
from harness.reports.text import first_line, shortened
from harness.summaries import Diagnosis
from tests.unit import made_up

NAN = Diagnosis(code="HP608", message="the answer has NaN", function="output_fn")
LATE = Diagnosis(code="HP501", message="it fails", function="predict_fn", sample_name="rows")
LEFT = "2 processes that the handler left were ended"


def entry(name: str, outcome: str, *seen: Diagnosis, warnings: tuple[str, ...] = ()) -> BatchEntry:
    result = made_up.result(name, outcome, diagnoses=list(seen), warnings=list(warnings))
    return BatchEntry(result=result)


def shown(part: RenderableType) -> str:
    out = io.StringIO()
    Console(file=out, width=300).print(part)
    return out.getvalue()


BATCH = made_up.batch(
    entry("nan", "passed", NAN, warnings=(LEFT,)),
    entry("bad", "raised", LATE),
    entry("good", "passed"),
)
PASSED = made_up.batch(*BATCH.entries[::2])


def annotated(batch: BatchResult) -> str:
    return "\n".join(github.annotations(batch))


REPORTS = {
    "the terminal": lambda batch: shown(overview.render(batch)),
    "Markdown": lambda batch: github.markdown(batch).replace("\\", ""),
    "annotations": annotated,
    "HTML": html.render,
    "JUnit": lambda batch: junit.render(batch).decode(),
}


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_of_a_batch_tells_diagnoses(name: str) -> None:
    text = REPORTS[name](BATCH)
    for told in ("HP608", "the answer has NaN", "HP501", "it fails"):
        assert told in text
    assert "fix" in text
    assert "good" not in annotated(BATCH)


@pytest.mark.parametrize("name", [name for name in REPORTS if name != "annotations"])
def test_every_report_of_a_batch_knows_of_warnings(name: str) -> None:
    text = REPORTS[name](PASSED)
    assert LEFT in text or "1 warnings of 1 handlers" in text


def test_good_handler_without_mistakes_is_not_told() -> None:
    text = REPORTS["the terminal"](PASSED)
    assert "nan passed" in text
    assert "good" not in text
    assert annotated(made_up.batch(entry("good", "passed"))) == ""


def test_failure_of_a_row_has_its_diagnosis_and_no_other() -> None:
    other = Diagnosis(code="HP502", message="of another", function="predict_fn", sample_name="x")
    xml = junit.render(made_up.batch(entry("bad", "raised", LATE, other, NAN)))
    error = next(ElementTree.fromstring(xml).iter("failure"))
    assert "HP501" in (error.text or "")
    assert "HP502" not in (error.text or "")
    assert "HP608" not in (error.text or "")


def test_every_sample_that_fails_alike_is_named() -> None:
    ends = [made_up.end(name, "failed", error_message="differs") for name in ("a", "b", "c")]
    result = made_up.result(end_to_end_results=[*ends, made_up.end("d")], overall_success=False)
    text = shown(console.render(result))
    assert "end to end [a, application/json] failed" in text
    assert "also: [b, application/json], [c, application/json]" in text
    assert "[d, " not in text


def test_older_lines_of_the_handler_are_in_a_long_stack() -> None:
    deep = [f'  File "/usr/lib/python3/x.py", line {n} in f' for n in range(30)]
    own = '  File "/tmp/handlerproof-1-abc/model/inference.py", line 3 in model_fn'
    row = made_up.row("predict_fn", "timed_out", stack="\n".join(["Thread 1:", *deep, own]))
    lines = console.details(row)
    assert lines.count("  " + own) == 1
    assert lines[lines.index("  " + own) - 1] == "  ..."
    assert len([line for line in lines if "x.py" in line]) == console.STACK_LINES - 1


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("one", "one"),
        ("\none\ntwo", "one"),
        ("KeyError: \n  Please give it.\nMore", "KeyError: Please give it."),
        ("ends with:", "ends with:"),
    ],
)  # fmt: skip
def test_first_line_says_something(text: str, first: str) -> None:
    assert first_line(text) == first
    cut = text.strip() != first
    assert shortened(text, 100) == (first[:97] + "..." if cut else first)


def test_diagnosis_has_a_place_beside_many_errors() -> None:
    many = made_up.result("bad", "raised", errors=[f"error {n}" for n in range(12)])
    batch = made_up.batch(BatchEntry(result=many.model_copy(update={"diagnoses": [LATE]})))
    assert "HP501" in annotated(batch)
    text = github.markdown(batch)
    assert "HP501" in text
    assert "and 3 more" in text.replace("\\", "")


def test_code_of_another_version_is_told_as_it_is() -> None:
    batch = made_up.batch(entry("new", "passed", Diagnosis(code="HP999", message="seen")))
    for render in REPORTS.values():
        assert "HP999 a mistake that this version does not know: seen" in render(batch)

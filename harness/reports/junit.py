"""A batch as JUnit XML: a suite a handler, a case a call or request, classname the handler's name.

A failure is a check that did not hold, an error a crash, a timeout, a broken limit or a handler
that could not be tested at all. Characters that XML 1.0 cannot hold are left out.
"""

import re
from collections import Counter
from xml.etree import ElementTree

from harness.batch_results import OF_A_CHECK, BatchEntry, BatchResult, Finding
from harness.records import Outcome
from harness.reports import diagnosed
from harness.reports.text import failure_text, first_line, log_text
from harness.results import END_TO_END, EndToEndTestResult, FunctionTestResult

MOST_CHARS = 64 * 1024
ATTRIBUTE_CHARS = 1024
CUT = "\n[...]\n"
# All that the production Char of XML 1.0 leaves out.
ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Row = FunctionTestResult | EndToEndTestResult


def render(batch: BatchResult) -> bytes:
    """Give the XML of a batch, as UTF-8."""
    root = ElementTree.Element("testsuites", name="handlerproof")
    for entry in batch.entries:
        _suite(root, entry)
    for item in batch.not_run:
        suite = ElementTree.SubElement(root, "testsuite", name=_attribute(item.handler_name))
        case = _case(suite, item.handler_name, "not run", 0.0)
        ElementTree.SubElement(case, "skipped", message=_attribute(item.reason))
        _count(suite)
    _count(root, batch.elapsed_s)
    ElementTree.indent(root)
    xml: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return xml


def clean(text: str, limit: int = MOST_CHARS) -> str:
    """Leave out what XML cannot hold, and the middle of what is longer than the limit in bytes."""
    kept = ILLEGAL.sub("", text)
    if len(kept.encode()) <= limit:
        return kept
    half = (limit - len(CUT)) // 2
    data = kept.encode()
    return data[:half].decode(errors="ignore") + CUT + data[-half:].decode(errors="ignore")


def _suite(root: ElementTree.Element, entry: BatchEntry) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=_attribute(entry.name))
    _properties(suite, _facts(entry))
    names: Counter[str] = Counter()
    rows: list[Row] = [*entry.result.function_results(), *entry.result.end_to_end_results]
    for row in rows:
        _row(suite, entry, row, _unique(names, _name(row)))
    for finding in entry.findings:
        _finding(suite, entry, finding, _unique(names, f"{finding.kind}[{finding.measure}]"))
    if _only_as_a_whole(entry):
        case = _case(suite, entry.name, _unique(names, "handler"), 0.0)
        text = "\n".join(entry.result.errors) or "the handler failed as a whole"
        _problem(case, "failure", "failed", text)
    _count(suite, entry.result.total_execution_time)


def _only_as_a_whole(entry: BatchEntry) -> bool:
    """Say whether a failure would not show in any row: such as a handler without samples."""
    return not entry.result.overall_success and not entry.outcomes - {
        Outcome.passed,
        Outcome.skipped,
    }


def _facts(entry: BatchEntry) -> dict[str, object]:
    facts: dict[str, object] = {"status": entry.status.value}
    if entry.peak_memory_bytes is not None:
        facts["peak_memory_bytes"] = entry.peak_memory_bytes
    for name, total in entry.result.performance_summary().items():
        facts[f"{name}_total_s"] = f"{total['total_s']:.6f}"
    facts |= {f"attempt_{n}": text for n, text in enumerate(entry.earlier_attempts, start=1)}
    told = diagnosed.each(entry.result)
    facts |= {f"diagnosis_{n}": text for n, text in enumerate(told, start=1)}
    warnings = entry.result.warnings
    facts |= {f"warning_{n}": text for n, text in enumerate(warnings, start=1)}
    if entry.reproduce is not None:
        facts["reproduce"] = entry.reproduce
    return facts


def _row(suite: ElementTree.Element, entry: BatchEntry, row: Row, name: str) -> None:
    seconds = _seconds(row)
    case = _case(suite, entry.name, name, seconds)
    if row.peak_memory_bytes is not None:
        _properties(case, {"peak_memory_bytes": row.peak_memory_bytes})
    if row.outcome is Outcome.skipped:
        ElementTree.SubElement(case, "skipped", message=_attribute(row.skip_reason or ""))
    elif not row.success:
        kind = "failure" if row.outcome in OF_A_CHECK else "error"
        told = map(str, diagnosed.of_row(entry.result, row))
        _problem(case, kind, row.outcome.value, "\n\n".join((failure_text(row), *told)))
    log = row.log if isinstance(row, FunctionTestResult) else None
    if log is not None:
        ElementTree.SubElement(case, "system-out").text = clean(log_text(log))


def _finding(suite: ElementTree.Element, entry: BatchEntry, item: Finding, name: str) -> None:
    case = _case(suite, entry.name, name, 0.0)
    if not item.holds:
        _problem(case, "failure", item.kind, item.message)


def _problem(case: ElementTree.Element, kind: str, outcome: str, text: str) -> None:
    message = _attribute(first_line(text))
    problem = ElementTree.SubElement(case, kind, type=outcome, message=message)
    problem.text = clean(text)


def _case(suite: ElementTree.Element, handler: str, name: str, s: float) -> ElementTree.Element:
    return ElementTree.SubElement(
        suite,
        "testcase",
        classname=_attribute(handler),
        name=_attribute(name),
        time=f"{s:.6f}",
    )


def _properties(parent: ElementTree.Element, facts: dict[str, object]) -> None:
    properties = ElementTree.SubElement(parent, "properties")
    for name, value in facts.items():
        ElementTree.SubElement(properties, "property", name=name, value=_attribute(str(value)))


def _count(suite: ElementTree.Element, seconds: float = 0.0) -> None:
    suite.set("tests", str(len(list(suite.iter("testcase")))))
    suite.set("failures", str(len(list(suite.iter("failure")))))
    suite.set("errors", str(len(list(suite.iter("error")))))
    suite.set("skipped", str(len(list(suite.iter("skipped")))))
    suite.set("time", f"{seconds:.6f}")


def _attribute(text: str) -> str:
    return clean(text, ATTRIBUTE_CHARS)


def _unique(names: Counter[str], name: str) -> str:
    """Number a name that is there already: of two samples whose names differ in nothing legal."""
    name = _attribute(name)
    names[name] += 1
    return name if names[name] == 1 else _unique(names, f"{name} ({names[name]})")


def _name(row: Row) -> str:
    if isinstance(row, EndToEndTestResult):
        return f"{END_TO_END}[{row.sample_name}-{row.content_type}->{row.accept_type}]"
    if row.function_name == "output_fn":
        return f"output_fn[{row.sample_name}->{row.accept_type}]"
    return f"{row.function_name}[{row.sample_name}]" if row.sample_name else row.function_name


def _seconds(row: Row) -> float:
    if isinstance(row, EndToEndTestResult):
        return row.total_execution_time
    return row.execution_time

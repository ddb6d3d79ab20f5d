"""A batch as one HTML file: an overview with filters, and a page a handler. Needs Jinja2.

It asks nothing of any other place, shows its facts without JavaScript, and stays under two
megabytes: handlers that are not good are shown in full first, the others as far as there is room.
Everything that a handler or a file name may have put into a result is escaped by Jinja2, after
control characters are made visible. The templates are in templates/.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.batch_results import BatchEntry, BatchResult, Status
from harness.errors import SpecError
from harness.records import Outcome
from harness.reports import diagnosed, overview
from harness.reports.github import SEVERITY, by_severity, points
from harness.reports.text import duration, harmless, log_text, shortened, size
from harness.results import END_TO_END, EndToEndTestResult, FunctionTestResult, InferenceTestResult
from harness.summaries import MemoryCurve

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")
MOST_BYTES = 1_900_000
MOST_PROBLEMS = 8
MOST_BARS = 40
MOST_TYPES = 12
MOST_NOT_RUN = 100
TEXT_CHARS = 4000
LINE_CHARS = 500
ROW_CHARS = 90
LABEL_CHARS = 40
WIDTH = 600
SPARK_WIDTH = 200


def need_jinja() -> None:
    """Raise SpecError when Jinja2 is not installed."""
    try:
        import jinja2  # noqa: F401
    except ImportError:
        raise SpecError(
            "the HTML report needs Jinja2: install handlerproof[report], or leave out --html"
        ) from None


def render(batch: BatchResult) -> str:
    """Give the whole file. Raises SpecError when Jinja2 is not installed."""
    need_jinja()
    environment = _environment()
    rows = [_row(number, entry) for number, entry in enumerate(batch.entries)]
    pages, brief = _pages(environment, batch, MOST_BYTES - sum(_row_bytes(row) for row in rows))
    script, style = ((TEMPLATES / name).read_text("utf-8") for name in ("report.js", "report.css"))
    return environment.get_template("report.html.jinja").render(
        batch=batch,
        counted=overview.counted(batch),
        counts=[(status.value, count) for status, count in batch.counts().items() if count],
        rows=sorted(rows, key=lambda row: SEVERITY[Status(row["status"])]),
        not_run=batch.not_run[:MOST_NOT_RUN],
        not_run_left=max(0, len(batch.not_run) - MOST_NOT_RUN),
        pages=_trusted(pages),
        brief=brief,
        style=_trusted(style),
        script=_trusted(script),
        script_hash=_hash(script),
    )


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"duration": duration, "harmless": harmless}
    return environment


def _trusted(text: str) -> str:
    """Mark what is ours, or was escaped already, as HTML."""
    from markupsafe import Markup

    return Markup(text)


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


# ---------------------------------------------------------------- pages, as far as there is room


def _pages(environment: Environment, batch: BatchResult, room: int) -> tuple[str, int]:
    """Give all pages, in so many bytes, and how many of them are in brief."""
    template = environment.get_template("handler.html.jinja")
    numbers = {entry.name: number for number, entry in enumerate(batch.entries)}

    def page(entry: BatchEntry, *, full: bool) -> str:
        return template.render(number=numbers[entry.name], **_page(entry, full=full))

    pages = {entry.name: page(entry, full=False) for entry in batch.entries}
    room -= sum(map(_bytes, pages.values()))
    brief = 0
    for entry in by_severity(batch):
        whole = page(entry, full=True)
        more = _bytes(whole) - _bytes(pages[entry.name])
        if more > room:
            brief += 1
            continue
        room -= more
        pages[entry.name] = whole
    return "".join(pages[entry.name] for entry in batch.entries), brief


def _bytes(text: str) -> int:
    return len(text.encode())


def _row_bytes(row: dict[str, Any]) -> int:
    """Give, from above, what a row of the overview takes: a character may be escaped to five."""
    return 250 + sum(_bytes(str(value)) + 4 * _escapes(str(value)) for value in row.values())


def _escapes(text: str) -> int:
    return sum(text.count(char) for char in "<>&\"'")


def _row(number: int, entry: BatchEntry) -> dict[str, Any]:
    problems = points(entry, 1)
    return {
        "number": number,
        "name": harmless(_cut(entry.name, 2 * ROW_CHARS)),
        "status": entry.status.value,
        "time": duration(entry.result.total_execution_time),
        "peak": size(entry.peak_memory_bytes),
        "problem": harmless(shortened(problems[0], ROW_CHARS)) if problems else "",
    }


def _page(entry: BatchEntry, *, full: bool) -> dict[str, Any]:
    problems = overview.problems(entry)
    count = MOST_PROBLEMS if full else 1
    lines = [harmless(_cut(text, LINE_CHARS if full else ROW_CHARS)) for text in problems[:count]]
    if len(problems) > count:
        lines.append(f"and {len(problems) - count} more")
    page: dict[str, Any] = {"entry": entry, "full": full, "problems": lines}
    if not full:
        return page
    result = entry.result
    return page | {
        "functions": list(_functions(result)),
        "waterfall": _waterfall(_calls(result)),
        "sparkline": _sparkline(result.memory_curve),
        "heat": _heat(result.end_to_end_results),
        "findings": [
            {"holds": item.holds, "message": harmless(item.message)} for item in entry.findings
        ],
        "diagnoses": [
            {"text": harmless(seen.text), "excerpt": harmless(seen.excerpt), "fix": seen.fix}
            for seen in diagnosed.each(result)[:MOST_PROBLEMS]
        ],
        "traceback": _traceback(result),
        "log": _log(result),
        "warnings": [harmless(_cut(text, LINE_CHARS)) for text in result.warnings[:MOST_PROBLEMS]],
        "in_force": _in_force(result),
    }


# ---------------------------------------------------------------- the sections of a page


def _functions(result: InferenceTestResult) -> Iterator[dict[str, object]]:
    performance = result.performance_summary()
    for name, rate in result.success_rates().items():
        slowest = performance[name]["max_s"]
        yield {
            "name": name.replace("_", " ") if name == END_TO_END else name,
            "passed": rate["passed"],
            "total": rate["total"],
            "good": rate["passed"] == rate["total"],
            "time": "-" if slowest is None else duration(slowest),
            "peak": size(performance[name]["peak_memory_bytes"]),
        }


def _calls(result: InferenceTestResult) -> list[FunctionTestResult]:
    """Give the calls that were made, in the order in which a container would make them."""
    rows = [row for row in result.function_results() if row.outcome is not Outcome.skipped]
    names = [row.sample_name for row in rows if row.sample_name is not None]
    order = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return sorted(rows, key=lambda row: order.get(row.sample_name or "", -1))[:MOST_BARS]


def _waterfall(calls: Sequence[FunctionTestResult]) -> list[dict[str, str]]:
    total = sum(row.execution_time for row in calls) or 1.0
    bars, start = [], 0.0
    for row in calls:
        width = row.execution_time / total * WIDTH
        name = row.function_name + (f" [{row.sample_name}]" if row.sample_name else "")
        bars.append(
            {
                "x": f"{min(start, WIDTH - 1):.4g}",
                "width": f"{max(width, 1):.4g}",
                "css": "good" if row.success else "bad",
                "label": harmless(_cut(f"{duration(row.execution_time)} {name}", LABEL_CHARS)),
            }
        )
        start += width
    return bars


def _sparkline(curve: MemoryCurve | None) -> dict[str, str] | None:
    if curve is None or len(curve.resident_bytes) < 2:
        return None
    values = curve.resident_bytes
    top, step = max(values) or 1, SPARK_WIDTH / (len(values) - 1)
    points = [f"{n * step:.4g},{38 - value / top * 36:.3g}" for n, value in enumerate(values)]
    lasted = duration(len(values) * curve.step_s)
    return {"points": " ".join(points), "label": f"up to {size(top)} in {lasted}"}


def _heat(rows: Sequence[EndToEndTestResult]) -> dict[str, Any] | None:
    asked = [row for row in rows if row.asked]
    accepts = list(dict.fromkeys(row.accept_type for row in asked))[:MOST_TYPES]
    types = list(dict.fromkeys(row.content_type for row in asked))[:MOST_TYPES]
    if not asked:
        return None
    return {
        "accepts": [_type(accept) for accept in accepts],
        "rows": [
            (_type(type), [_cell(asked, type, accept) for accept in accepts]) for type in types
        ],
    }


def _cell(
    rows: Sequence[EndToEndTestResult], content_type: str | None, accept: str | None
) -> dict[str, str]:
    here = [r for r in rows if (r.content_type, r.accept_type) == (content_type, accept)]
    if not here:
        return {"css": "none", "text": "-"}
    passed = sum(row.success for row in here)
    css = "good" if passed == len(here) else "bad"
    return {"css": css, "text": f"{passed}/{len(here)}"}


def _type(name: str | None) -> str:
    return "no header" if name is None else harmless(_cut(name, ROW_CHARS))


def _traceback(result: InferenceTestResult) -> dict[str, str] | None:
    for row in result.function_results():
        text = row.failure.traceback if row.failure is not None else row.stack
        if text:
            return {"title": row.function_name, "text": harmless(text[-TEXT_CHARS:])}
    return None


def _log(result: InferenceTestResult) -> dict[str, str] | None:
    """Give the end of the log of the call that failed; else of the last that printed."""
    rows = [row for row in result.function_results() if row.log is not None]
    chosen = next((row for row in rows if not row.success), rows[-1] if rows else None)
    if chosen is None or chosen.log is None:
        return None
    title = f"{chosen.function_name}, {size(chosen.log.total_bytes)} printed"
    return {"title": title, "text": harmless(log_text(chosen.log)[-TEXT_CHARS:])}


def _in_force(result: InferenceTestResult) -> str:
    if result.isolation is None or result.environment is None:
        return "no worker was started"
    return harmless(
        f"isolation: {', '.join(result.isolation.effective)}; network {result.isolation.network}; "
        f"environment: {result.environment.kind}, Python {result.environment.python_version}"
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."

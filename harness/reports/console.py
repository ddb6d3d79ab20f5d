"""A result for the terminal: a table of the functions, then each failure with its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.artifacts import stale
from harness.records import Outcome
from harness.reports import diagnosed, variants
from harness.reports.text import duration, harmless, outcome_style, shortened, size
from harness.results import EndToEndTestResult, FunctionTestResult, InferenceTestResult
from harness.summaries import LogExcerpt, ResponseSummary

if TYPE_CHECKING:
    from harness.pipeline_results import ScriptTestResult

Row = FunctionTestResult | EndToEndTestResult
STANDS_FOR = ("input_fn", "predict_fn", "output_fn")  # those that transform_fn replaces
LOG_LINES = 8
STACK_LINES = 12

NEXT_STEP = {
    Outcome.failed: "compare what was returned with what the sample, or the server, expects",
    Outcome.raised: "mend the {what} at the line above",
    Outcome.timed_out: "make the function faster, or raise the timeout (--timeout)",
    Outcome.memory_exceeded: "load less at once, or raise the limit (--memory)",
    Outcome.output_exceeded: "print less, or answer with less",
    Outcome.processes_exceeded: "start fewer processes and threads",
    Outcome.disk_exceeded: "write smaller files, or raise max_file_bytes",
    Outcome.crashed: "look for native code that fails: the log's end may tell which",
    Outcome.exited: "a {what} must not end its process: remove the exit",
    Outcome.protocol_violated: "leave file descriptors alone that the {what} did not open",
    Outcome.not_started: "make the module importable: see the exception above",
}


def render(result: InferenceTestResult) -> RenderableType:
    """Give the whole report of one handler."""
    parts: list[RenderableType] = [_table(result)]
    parts += list(failures(result))
    if result.diagnoses:
        parts.append(listed("Diagnoses (handlerproof explain CODE)", _diagnoses(result), "cyan"))
    if result.consequences:
        parts.append(listed("In production", result.consequences, "yellow"))
    parts += variants.render(result)
    if result.warnings:
        parts.append(listed("Warnings", result.warnings, "yellow"))
    parts.append(_in_force(result))
    parts.append(_verdict(result))
    return Group(*parts)


def _table(result: InferenceTestResult) -> Table:
    table = Table(title=Text(harmless(result.handler_name)), title_justify="left")
    table.add_column("function")
    table.add_column("passed", justify="right")
    table.add_column("outcome")
    table.add_column("time", justify="right")
    table.add_column("peak memory", justify="right")
    groups: list[tuple[str, list[Row]]] = [
        ("model_fn", [result.model_fn_result]),
        ("input_fn", list(result.input_fn_results)),
        ("predict_fn", list(result.predict_fn_results)),
        ("output_fn", list(result.output_fn_results)),
        ("end to end", list(result.end_to_end_results)),
    ]
    if result.transform_fn_results:
        groups.insert(1, ("transform_fn", list(result.transform_fn_results)))
        groups = [group for group in groups if group[0] not in STANDS_FOR]
    for name, rows in groups:
        table.add_row(name, _passed(rows), _outcomes(rows), _times(rows), _peak(rows))
    return table


def _passed(rows: list[Row]) -> str:
    asked = [row for row in rows if row.asked]
    return f"{sum(row.success for row in asked)}/{len(asked)}"


def _outcomes(rows: list[Row]) -> Text:
    counts: dict[Outcome, int] = {}
    for row in rows:
        counts[row.outcome] = counts.get(row.outcome, 0) + 1
    text = Text()
    for outcome, count in counts.items():
        if text:
            text.append(", ")
        name = outcome.value.replace("_", " ")
        text.append(f"{count} {name}" if len(counts) > 1 else name, style=outcome_style(outcome))
    return text


def _times(rows: list[Row]) -> str:
    times = [_seconds(row) for row in rows if row.outcome is not Outcome.skipped]
    if not times:
        return "-"
    if len(times) == 1:
        return duration(times[0])
    return f"{duration(min(times))} to {duration(max(times))}"


def _peak(rows: list[Row]) -> str:
    return size(max((row.peak_memory_bytes or 0 for row in rows), default=0) or None)


def _seconds(row: Row) -> float:
    if isinstance(row, EndToEndTestResult):
        return row.total_execution_time
    return row.execution_time


def failures(result: InferenceTestResult) -> Iterator[RenderableType]:
    """Show each distinct failure once: the functions' own, then what only whole requests show."""
    told: set[str] = set()
    for row in result.function_results():
        if not row.success and row.outcome is not Outcome.skipped:
            told.add(row.error_message or "")
            yield _failure(result, row)
    alike: dict[str, list[EndToEndTestResult]] = {}
    for end in result.end_to_end_results:
        failed = not end.success and end.outcome is not Outcome.skipped
        if failed and (end.error_message or "") not in told:
            alike.setdefault(end.error_message or "", []).append(end)
    for first, *others in alike.values():
        names = [f"[{end.sample_name}, {end.accept_type}]" for end in others]
        lines = [f"also: {', '.join(names)}"] if names else []
        title = f"end to end [{first.sample_name}, {first.accept_type}]"
        yield block(title, first.outcome, first.error_message, [*lines, _seen(first.response)])


def _client(result: InferenceTestResult, row: FunctionTestResult) -> list[str]:
    """Give what a client sees of a failed function: the whole request's response."""
    for end in result.end_to_end_results:
        of_it = end.failed_function == row.function_name or row.function_name == "model_fn"
        same = row.sample_name in (None, end.sample_name)
        if of_it and same and row.accept_type in (None, end.accept_type):
            return [_seen(end.response)]
    return []


def _seen(response: ResponseSummary) -> str:
    """Say in one line what a client sees."""
    if response.status is None:
        return f"a client sees: no answer ({response.reason})"
    body = response.body or ""
    if response.body_encoding == "base64":
        shown = f"{len(body) * 3 // 4} bytes"
    else:
        # The traceback that follows is the one above: its message will do.
        message, traceback, _ = body.partition("\nTraceback (most recent call last)")
        shown = shortened(" ".join(message.split()), 100) + (" ..." if traceback else "")
        shown = shown or "no body"
    kind = response.content_type or "no content type"
    return f"a client sees: {response.status}, {kind}: {shown}"


def _failure(result: InferenceTestResult, row: FunctionTestResult) -> RenderableType:
    names = [name for name in (row.sample_name, row.accept_type) if name]
    title = row.function_name + (f" [{', '.join(names)}]" if names else "")
    if row.phase == "import":
        title += " (import of the handler)"
    code = diagnosed.of_sandbox(result, row)
    next_step = f"see {code} below: the sandbox of this test refused it" if code else None
    lines = details(row, client=_client(result, row), next_step=next_step)
    return block(title, row.outcome, row.error_message, lines)


def details(
    row: FunctionTestResult | ScriptTestResult,
    what: str = "handler",
    client: Sequence[str] = (),
    next_step: str | None = None,
) -> list[str]:
    """List what is known of a failure: the place, its causes, where it hung, its log, what next."""
    lines = []
    frame = _own_frame(row)
    if frame is not None:
        lines.append(frame)
    if row.failure:
        lines += [
            f"{'caused by' if cause.relation == 'cause' else 'while handling'} "
            f"{cause.type}: {shortened(cause.message, 160)}"
            for cause in row.failure.causes
        ]
    if row.stack:
        lines += ["where it hung:", *("  " + line for line in _stack_lines(row.stack))]
    if row.log is not None:
        lines += ["log:", *("  " + line for line in _last_lines(row.log))]
    lines += client
    lines.append(f"next: {next_step or _next_step(row, what)}")
    return lines


def _next_step(row: FunctionTestResult | ScriptTestResult, what: str) -> str:
    name = row.failure.missing_variable if row.failure else None
    if name is None:
        return NEXT_STEP[row.outcome].format(what=what)
    option = f"--env {name}=..., or " if what == "handler" else ""
    return f"give the {what} the variable {name} ({option}environ_vars of its spec)"


def _stack_lines(stack: str) -> list[str]:
    """Give the newest lines of a stack, and those of the package where they are older."""
    lines = stack.splitlines()
    own = [line for line in lines[STACK_LINES:] if stale.NAME.search(line)][:STACK_LINES]
    return [*lines[:STACK_LINES], *(["..."] if own else []), *own]


def _own_frame(row: FunctionTestResult | ScriptTestResult) -> str | None:
    """Give the last frame of the traceback in the handler's own code, else the last of all."""
    frames = row.failure.frames if row.failure else []
    if not frames:
        return None
    frame = next((item for item in reversed(frames) if item.in_handler), frames[-1])
    place = f"{frame.file}:{frame.line} in {frame.function}"
    return f"{place}: {frame.code}" if frame.code else place


def _last_lines(log: LogExcerpt) -> list[str]:
    return (log.head + log.tail).strip().splitlines()[-LOG_LINES:]


def block(title: str, outcome: Outcome, message: str | None, lines: list[str]) -> RenderableType:
    """Give one failure: its title and outcome, and below them what is known of it."""
    text = Text("\n")
    text.append(harmless(title), style="bold")
    text.append(" ")
    text.append(outcome.value.replace("_", " "), style=outcome_style(outcome))
    body = [message or "", *lines]
    inner = Text("\n".join(harmless(line) for line in body if line))
    return Group(text, Padding(inner, (0, 0, 0, 4)))


def listed(title: str, items: list[str], style: str) -> RenderableType:
    """Give sentences under a heading."""
    text = Text(f"\n{title}\n", style=style)
    return Group(text, *(Padding(Text(harmless(item)), (0, 0, 0, 4)) for item in items))


def _diagnoses(result: InferenceTestResult) -> list[str]:
    """Give each mistake once, with the line of the body that shows it and what to do."""
    return [
        "".join([told.text, *(f"\n    {line}" for line in told.excerpt.splitlines())])
        + f"\n  fix: {told.fix}"
        for told in diagnosed.each(result)
    ]


def _in_force(result: InferenceTestResult) -> Text:
    if result.isolation is None or result.environment is None:
        return Text("\nno worker was started", style="dim")
    isolation, environment = result.isolation, result.environment
    missing = "".join(f"; no {item.layer} ({item.reason})" for item in isolation.missing)
    return Text(
        f"\nisolation: {', '.join(isolation.effective)}{missing}; memory limit by "
        f"{isolation.memory.enforcer}; network {isolation.network}; "
        f"environment: {environment.kind}, Python {environment.python_version}"
        + ("" if result.stack == "toolkit" else f"; stack: {result.stack}"),
        style="dim",
    )


def _verdict(result: InferenceTestResult) -> Text:
    took = duration(result.total_execution_time)
    if result.overall_success:
        return Text(f"passed in {took}", style="bold green")
    text = Text(f"failed in {took}", style="bold red")
    told = [error for error in result.errors if error.startswith(("no samples", "there is no"))]
    if told:
        text.append("\n" + "\n".join(harmless(error) for error in told), style="red")
    return text

"""A batch for the terminal: what is not good or not as it seems, and the counts."""

from rich.console import Group, RenderableType
from rich.text import Text

from harness.batch_results import BatchEntry, BatchResult, Status
from harness.reports import diagnosed
from harness.reports.text import duration, harmless, shortened

MOST_ERRORS = 3
MOST_CHARS = 300
STYLE = {
    Status.passed: "green",
    Status.flaky: "yellow",
    Status.failed: "bold red",
    Status.error: "bold red",
}


def render(batch: BatchResult) -> RenderableType:
    """Give the report of a batch."""
    told = [entry for entry in batch.entries if is_worth_a_word(entry) or entry.changes]
    parts: list[RenderableType] = [_entry(entry) for entry in told]
    warned = [entry for entry in batch.entries if entry.result.warnings]
    if warned:
        count = sum(len(entry.result.warnings) for entry in warned)
        parts.append(Text(f"{count} warnings of {len(warned)} handlers: see --output, --markdown "
                          "or --html", style="yellow"))  # fmt: skip
    parts += [Text(harmless(f"warning: {text}"), style="yellow") for text in batch.warnings]
    if batch.not_run:
        reason = batch.not_run[0].reason
        parts.append(Text(f"not run: {len(batch.not_run)}, {harmless(reason)}", style="yellow"))
    parts.append(_counts(batch))
    return Group(*parts)


def line(entry: BatchEntry) -> Text:
    """Tell of one handler in one line."""
    took = duration(entry.result.total_execution_time)
    text = Text(harmless(entry.name), style="bold")
    text.append(f" {entry.status.value}", style=STYLE[entry.status])
    text.append(f" ({took})", style="dim")
    if entry.result.errors:
        text.append(f" {harmless(shortened(entry.result.errors[0], 120))}")
    return text


def is_worth_a_word(entry: BatchEntry) -> bool:
    """Say whether a handler is not good, or passed with a mistake that was seen."""
    return entry.status is not Status.passed or bool(entry.result.diagnoses)


def problems(entry: BatchEntry) -> list[str]:
    """List what is to be said of an entry: faults, bounds that do not hold, tries, changes."""
    found = [*entry.result.errors]
    found += [item.message for item in entry.findings if not item.holds]
    if entry.earlier_attempts:
        found.append(
            f"{len(entry.earlier_attempts)} earlier attempts ended as "
            f"{'; '.join(entry.earlier_attempts)}"
        )
    found += [f"{item.place}: {item.before}, now {item.now}" for item in entry.changes]
    return found


def counted(batch: BatchResult) -> str:
    """Write the counts of a batch: 3 passed, 1 failed."""
    counts = [(status.value, count) for status, count in batch.counts().items() if count]
    counts += [("not run", len(batch.not_run))] if batch.not_run else []
    return ", ".join(f"{count} {name}" for name, count in counts) or "nothing was run"


def _entry(entry: BatchEntry) -> RenderableType:
    found = problems(entry)
    lines = [shortened(text, MOST_CHARS) for text in found[:MOST_ERRORS]]
    if len(found) > MOST_ERRORS:
        lines.append(f"and {len(found) - MOST_ERRORS} more")
    mistakes = diagnosed.each(entry.result)
    for told in mistakes[:MOST_ERRORS]:
        lines += [told.text, f"  fix: {told.fix}"]
    if len(mistakes) > MOST_ERRORS:
        lines.append(f"and {len(mistakes) - MOST_ERRORS} more diagnoses")
    if entry.reproduce is not None:
        lines.append(f"again: {entry.reproduce}")
    title = Text(harmless(entry.name), style="bold")
    title.append(f" {entry.status.value}", style=STYLE[entry.status])
    return Group(title, *(Text(f"    {harmless(text)}") for text in lines))


def _counts(batch: BatchResult) -> Text:
    took = duration(batch.elapsed_s)
    style = "bold green" if batch.success else "bold red"
    ended = "interrupted: " if batch.interrupted else ""
    return Text(f"{ended}{counted(batch)} in {took}, {batch.jobs} at one time", style=style)

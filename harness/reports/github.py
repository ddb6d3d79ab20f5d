"""A batch for GitHub: Markdown for the step's summary, and annotations of the worst."""

import re

from harness.batch_results import BatchEntry, BatchResult, Status
from harness.reports import diagnosed
from harness.reports.overview import counted, is_worth_a_word, problems
from harness.reports.text import duration, harmless, shortened, size

# A step's summary may have 1 MiB, and is dropped whole when it is larger.
MOST_BYTES = 900_000
MOST_ANNOTATIONS = 10
MOST_POINTS = 10
MOST_CHARS = 400
SIGN = {Status.passed: "✅", Status.flaky: "⚠️", Status.failed: "❌", Status.error: "💥"}
SEVERITY = {Status.error: 0, Status.failed: 1, Status.flaky: 2, Status.passed: 3}
SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~&@:])")


def markdown(batch: BatchResult) -> str:
    """Give the summary: the counts, a table of all handlers, the worst first, details of failures.

    Details are left out where there is no room for them, then rows; what is left out is counted.
    """
    entries = by_severity(batch)
    room = _Room([f"## handlerproof: {counted(batch)}", ""])
    room.add("| handler | result | time | peak memory | what |")
    room.add("|---|---|---|---|---|")
    rows = sum(room.add(_row(entry)) for entry in entries)
    room.left_out(len(entries) - rows, "handlers")
    worth = [entry for entry in entries if is_worth_a_word(entry) or entry.result.warnings]
    told = sum(room.add(_details(entry)) for entry in worth)
    room.left_out(len(worth) - told, "details")
    return room.text()


def annotations(batch: BatchResult) -> list[str]:
    """Give workflow commands: at most ten errors and ten warnings, the rest rolled up in one."""
    entries = by_severity(batch)
    errors = [entry for entry in entries if not entry.success]
    warnings = [entry for entry in entries if entry.success and is_worth_a_word(entry)]
    return [*_commands("error", errors), *_commands("warning", warnings)]


def points(entry: BatchEntry, most: int) -> list[str]:
    """List what is wrong with an entry and the mistakes that were seen: of both there is some."""
    wrong, seen = problems(entry), [*map(str, diagnosed.each(entry.result))]
    kept = max(most - len(seen), most - most // 3)
    return [*wrong[:kept], *seen][:most]


def by_severity(batch: BatchResult) -> list[BatchEntry]:
    """Sort: errors, failures, flaky ones, the rest; each in the order of the batch."""
    return sorted(batch.entries, key=lambda entry: SEVERITY[entry.status])


class _Room:
    """Lines, as many as there is room for."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._bytes = len("\n".join(lines).encode()) + 500  # for what is said to be left out

    def add(self, text: str) -> bool:
        more = len(text.encode()) + 1
        if self._bytes + more > MOST_BYTES:
            return False
        self._lines.append(text)
        self._bytes += more
        return True

    def left_out(self, count: int, what: str) -> None:
        if count:
            self._lines += ["", f"{count} more {what} are left out; see the other reports."]
        self._lines.append("")

    def text(self) -> str:
        return "\n".join(self._lines).rstrip("\n") + "\n"


def _row(entry: BatchEntry) -> str:
    found = points(entry, 1)
    cells = (
        _escaped(shortened(entry.name, MOST_CHARS)),
        f"{SIGN[entry.status]} {entry.status.value}",
        duration(entry.result.total_execution_time),
        size(entry.peak_memory_bytes),
        _escaped(shortened(found[0], 160)) if found else "",
    )
    return f"| {' | '.join(cells)} |"


def _details(entry: BatchEntry) -> str:
    name = _escaped(shortened(entry.name, MOST_CHARS))
    lines = ["<details>", f"<summary>{name}: {entry.status.value}</summary>", ""]
    found = [*points(entry, MOST_POINTS), *entry.result.warnings[:MOST_POINTS]]
    lines += [f"- {_escaped(shortened(text, MOST_CHARS))}" for text in found]
    every = len(problems(entry)) + len(diagnosed.each(entry.result)) + len(entry.result.warnings)
    if every > len(found):
        lines.append(f"- and {every - len(found)} more")
    if entry.reproduce is not None:
        fence = "`" * (max([2, *map(len, re.findall("`+", entry.reproduce))]) + 1)
        lines += ["", f"{fence}sh", harmless(entry.reproduce), fence]
    return "\n".join([*lines, "</details>", ""])


def _commands(kind: str, entries: list[BatchEntry]) -> list[str]:
    shown = entries if len(entries) <= MOST_ANNOTATIONS else entries[: MOST_ANNOTATIONS - 1]
    commands = [
        _command(kind, f"{entry.name}: {entry.status.value}", "\n".join(points(entry, 3)))
        for entry in shown
    ]
    rest = entries[len(shown) :]
    if rest:
        names = shortened(", ".join(entry.name for entry in rest), MOST_CHARS)
        commands.append(_command(kind, f"{len(rest)} more handlers", names))
    return commands


def _command(kind: str, title: str, text: str) -> str:
    message = _data("\n".join(shortened(line, MOST_CHARS) for line in text.split("\n")))
    own = _data(shortened(title, MOST_CHARS)).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={own}::{message}"


def _data(text: str) -> str:
    return harmless(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped(text: str) -> str:
    return SPECIAL.sub(r"\\\1", harmless(text).replace("\n", " ")).replace("\\<", "&lt;")

"""Small pieces of text for people: durations, sizes, failures, and output made harmless."""

from harness.records import Outcome
from harness.results import EndToEndTestResult, FunctionTestResult
from harness.summaries import LogExcerpt

KIB = 1024


def outcome_style(outcome: Outcome) -> str:
    """Give the colour of an outcome."""
    if outcome is Outcome.passed:
        return "green"
    return "dim" if outcome is Outcome.skipped else "bold red"


def duration(seconds: float) -> str:
    """Write seconds with three digits that matter: 12 us, 3.4 ms, 2.50 s, 3 min 20 s."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else "1.00 s"
    if seconds < 120:
        return f"{seconds:.2f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def size(count: int | None) -> str:
    """Write bytes in binary units; a dash where nothing was measured."""
    if count is None:
        return "-"
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < KIB:
            return f"{amount:.0f} {unit}"
        amount /= KIB
    return f"{amount:.2f} GiB"


def harmless(text: str) -> str:
    """Show control characters instead of obeying them, line breaks and tabs left as they are.

    Text from a handler must not move the cursor, change the title or hide lines of a report.
    """
    return "".join(
        char if char in "\n\t" or char.isprintable() else f"\\x{ord(char):02x}" for char in text
    )


def shortened(text: str, limit: int) -> str:
    """Cut a text to its first line, and that to a length."""
    line = first_line(text)
    whole = len(line) <= limit and "\n" not in text.strip()
    return line if whole else line[: limit - 3] + "..."


def first_line(text: str) -> str:
    """Give the first line of a text, and of one that only says what follows the next as well."""
    line, _, rest = text.strip().partition("\n")
    if line.rstrip().endswith(":") and rest.strip():
        return f"{line.rstrip()} {rest.strip().partition(chr(10))[0]}"
    return line


def failure_text(row: FunctionTestResult | EndToEndTestResult) -> str:
    """Say why a row failed: its message, the remote traceback, the stacks of one that hung."""
    parts = [row.error_message or row.outcome.value]
    if isinstance(row, FunctionTestResult):
        parts += [row.failure.traceback] if row.failure is not None else []
        parts += [row.stack] if row.stack is not None else []
    return "\n\n".join(parts)


def log_text(log: LogExcerpt) -> str:
    """Give what was kept of a log, with a line for what was not."""
    if not log.dropped_bytes:
        return log.head + log.tail
    return f"{log.head}\n[{log.dropped_bytes} bytes not kept]\n{log.tail}"

"""What goes on while a batch runs: a live table on a terminal, lines and a heartbeat elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click
import psutil
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.batch.scheduling import Listener
from harness.batch_results import BatchEntry
from harness.reports import ndjson
from harness.reports.overview import line
from harness.reports.text import duration, harmless, size

HEARTBEAT_S = 30.0
MOST_SHOWN = 12


class Tally(Listener):
    """Counts what happens in a batch; the other listeners show it."""

    def __init__(self) -> None:
        self.total = self.done = self.failed = self.jobs = 0
        self.running: dict[str, tuple[float, int]] = {}
        self.start = self.shown_at = time.monotonic()

    def planned(self, total: int, jobs: int) -> None:
        """Take the size of the batch."""
        self.total, self.jobs = total, jobs

    def started(self, name: str, memory_bytes: int) -> None:
        """Count a handler as running."""
        self.running[name] = (time.monotonic(), memory_bytes)

    def finished(self, entry: BatchEntry) -> None:
        """Count a handler as done."""
        self.running.pop(entry.name, None)
        self.done += 1
        self.failed += not entry.success

    def told(self) -> str:
        """Say where the batch is."""
        text = (
            f"{self.done} of {self.total} done, {self.failed} failed, {len(self.running)} running, "
            f"{size(memory_in_use())} in use"
        )
        left = self.seconds_left()
        return text if left is None else f"{text}, about {duration(left)} left"

    def seconds_left(self) -> float | None:
        """Guess how long the rest takes, from how long it has taken so far."""
        if not self.done or self.done == self.total:
            return None
        return (time.monotonic() - self.start) / self.done * (self.total - self.done)


class Lines(Tally):
    """A line a handler, and one now and then while nothing ends: CI ends jobs that are silent."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def finished(self, entry: BatchEntry) -> None:
        """Print a line of its own for the handler."""
        super().finished(entry)
        self._print(Text(f"[{self.done}/{self.total}] ").append_text(line(entry)))

    def waiting(self) -> None:
        """Print what is running, when nothing was printed for a while."""
        if time.monotonic() - self.shown_at >= HEARTBEAT_S:
            names = ", ".join(list(self.running)[:MOST_SHOWN])
            self._print(Text(harmless(f"{self.told()}: {names}"), style="dim"))

    def _print(self, text: Text) -> None:
        self.shown_at = time.monotonic()
        self._console.print(text, soft_wrap=True)


class Board(Tally):
    """A live table of what runs, below the lines of what failed."""

    def __init__(self, live: Live) -> None:
        super().__init__()
        self._live = live

    def started(self, name: str, memory_bytes: int) -> None:
        """Show it as running."""
        super().started(name, memory_bytes)
        self.waiting()

    def finished(self, entry: BatchEntry) -> None:
        """Leave a line for what is not good."""
        super().finished(entry)
        if not entry.success:
            self._live.console.print(line(entry), soft_wrap=True)
        self.waiting()

    def waiting(self) -> None:
        """Draw the table anew."""
        self._live.update(self._table(), refresh=True)

    def _table(self) -> RenderableType:
        table = Table("running", "for", "memory promised", expand=False)
        now = time.monotonic()
        for name, (since, promised) in list(self.running.items())[:MOST_SHOWN]:
            table.add_row(Text(harmless(name)), duration(now - since), size(promised))
        return Group(table, Text(self.told(), style="bold"))


class Events(Listener):
    """Events as they happen, on standard output."""

    def planned(self, total: int, jobs: int) -> None:
        """Write the first line."""
        click.echo(ndjson.planned(total, jobs))

    def started(self, name: str, memory_bytes: int) -> None:
        """Write a line for a start."""
        click.echo(ndjson.started(name, memory_bytes))

    def finished(self, entry: BatchEntry) -> None:
        """Write a line with the whole entry."""
        click.echo(ndjson.finished(entry))


def memory_in_use() -> int:
    """Give the resident bytes of all processes below this one; what they share counts for each."""
    total = 0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it ended meanwhile
            total += child.memory_info().rss
    return total


@contextmanager
def listener(form: str) -> Iterator[Listener]:
    """Give the listener for a format and for what standard error is."""
    if form == "ndjson":
        yield Events()
        return
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield Lines(console)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield Board(live)

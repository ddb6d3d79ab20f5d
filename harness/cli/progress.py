"""What is going on while a handler is tested: a live line on a terminal, plain lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status
from rich.text import Text

from harness.environments.tool import SHOWN_CHARS
from harness.errors import HandlerEnvironmentError
from harness.reports.text import duration, harmless
from harness.results import FunctionTestResult


class Progress:
    """Shows each call as it ends, and what goes on before the first, on standard error."""

    def __init__(self, console: Console, status: Status | None) -> None:
        self._console = console
        self._status = status
        self._printed: set[str] = set()

    def row(self, row: FunctionTestResult) -> None:
        """Show a call."""
        names = [name for name in (row.sample_name, row.accept_type) if name]
        place = f"{row.function_name} [{', '.join(names)}]" if names else row.function_name
        outcome = row.outcome.value.replace("_", " ")
        self._show(f"{place}: {outcome} ({duration(row.execution_time)})")

    def note(self, text: str) -> None:
        """Show what goes on; warnings stay in sight."""
        if text.startswith("warning: "):
            self._console.print(Text(harmless(text)), soft_wrap=True)
        else:
            self._show(text)

    def told_once(self, error: HandlerEnvironmentError) -> HandlerEnvironmentError:
        """Leave out of a tool's last words what was printed as they came."""
        first, *lines = str(error).split("\n")
        new = [line for line in lines if line.strip()[:SHOWN_CHARS] not in self._printed]
        if len(new) < len(lines):
            first = f"{first.removesuffix(':')} (what it said is above)"
        return HandlerEnvironmentError("\n".join([first, *new]))

    def _show(self, text: str) -> None:
        if self._status is None:
            self._printed.add(text)
            self._console.print(Text(harmless(text)), soft_wrap=True)
        else:
            self._status.update(Text(harmless(text)))


@contextmanager
def progress() -> Iterator[Progress]:
    """Give what shows the progress of a test; what it printed is in no error that comes of it."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        shown = Progress(console, None)
        try:
            yield shown
        except HandlerEnvironmentError as error:
            raise shown.told_once(error) from None
        return
    with console.status(Text("starting the worker")) as status:
        yield Progress(console, status)

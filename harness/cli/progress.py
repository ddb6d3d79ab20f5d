"""What is going on while a handler is tested: a live line on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from harness.reports.text import duration, harmless
from harness.results import FunctionTestResult


@contextmanager
def progress() -> Iterator[Callable[[FunctionTestResult], None]]:
    """Give a listener that shows each call as it ends, on standard error."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda row: console.print(_line(row), soft_wrap=True)
        return
    with console.status(Text("starting the worker")) as status:
        yield lambda row: status.update(_line(row))


def _line(row: FunctionTestResult) -> Text:
    names = [name for name in (row.sample_name, row.accept_type) if name]
    place = f"{row.function_name} [{', '.join(names)}]" if names else row.function_name
    outcome = row.outcome.value.replace("_", " ")
    return Text(harmless(f"{place}: {outcome} ({duration(row.execution_time)})"))

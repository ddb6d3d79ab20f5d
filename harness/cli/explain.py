"""`handlerproof explain`: what a diagnosis means."""

import click
from rich.console import Console
from rich.text import Text

from harness import diagnoses


@click.command()
@click.argument("code", required=False)
def explain(code: str | None) -> None:
    """Say what CODE means: the cause, the fix, and what a client sees. Without CODE, list all."""
    console = Console(highlight=False, soft_wrap=code is None)
    if code is None:
        for name, entry in diagnoses.TABLE.items():
            console.print(Text(f"{name}  {entry.title}"))
        return
    entry = diagnoses.explain(code)
    console.print(Text(f"{code.upper()}: {entry.title}", "bold"))
    for name, text in (("cause", entry.cause), ("fix", entry.fix), ("client", entry.client)):
        console.print(Text(f"{name:<8}{text}"))

"""`handlerproof lint`: what can be said of a package without running it."""

import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console
from rich.text import Text

from harness.cli.handler_options import handler_fields
from harness.lint.finding import Finding
from harness.lint.package import lint as lint_package
from harness.reports import sarif
from harness.specs import InferenceHandlerSpec, Stack

COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


@click.command()
@click.argument("package", type=click.Path(path_type=Path))
@click.option("--stack", type=click.Choice(get_args(Stack)), help="The serving stack it is for.")
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif"]), default="text",
              show_default=True, help="What to print on standard output.")  # fmt: skip
def lint(package: Path, stack: str | None, form: str) -> None:
    """Say what is wrong with PACKAGE that can be seen without running its code.

    Exit code 1 when an error was found; warnings and notes do not fail. 2 when PACKAGE cannot be
    opened.
    """
    fields: dict[str, Any] = handler_fields(package, None)
    if stack is not None:
        fields["stack"] = stack
    found = lint_package(InferenceHandlerSpec.model_validate(fields))
    if form == "json":
        click.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    elif form == "sarif":
        click.echo(sarif.render(found, version("handlerproof")))
    else:
        _print(found)
    sys.exit(1 if any(finding.severity == "error" for finding in found) else 0)


def _print(found: list[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for finding in found:
        where = finding.place()
        console.print(
            Text(f"{finding.severity:<8}", COLOURS[finding.severity]),
            Text(f"{finding.code}  {where + ': ' if where else ''}{finding.message}"),
        )
    errors = sum(finding.severity == "error" for finding in found)
    others = len(found) - errors
    told = "1 warning or note" if others == 1 else f"{others} warnings and notes"
    console.print(f"{errors} error{'s' * (errors != 1)}, {told}")

"""`handlerproof generate`: make samples for a handler of tables."""

from pathlib import Path
from typing import Any, get_args

import click

from harness.cli.handler_options import handler_fields, loading, loading_fields
from harness.cli.progress import progress
from harness.generation import directory
from harness.generation.bodies import FORMS
from harness.generation.generator import InferenceTestDataGenerator
from harness.specs import InferenceHandlerSpec, Stack

TIMEOUT_S = 30  # each form is tried, and a handler that hangs does so with each


@click.command()
@click.argument("package", type=click.Path(path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), metavar="DIRECTORY",
              help="A new directory for the samples.")  # fmt: skip
@click.option("--columns", metavar="NAMES", help="The columns' names, with commas between them.")
@click.option("--form", "forms", multiple=True, type=click.Choice(list(FORMS)),
              help="Try only this form of body; repeatable.")  # fmt: skip
@click.option("--payloads", metavar="PATH", help="Samples that show what a row looks like.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same samples.")
@click.option("--stack", type=click.Choice(get_args(Stack)),
              help="Serving stack to hold it to (default toolkit).")  # fmt: skip
@loading(TIMEOUT_S)
def generate(
    package: Path,
    output: Path,
    columns: str | None,
    forms: tuple[str, ...],
    payloads: str | None,
    seed: int,
    stack: str | None,
    **options: Any,
) -> None:
    """Make valid, edge and error samples for PACKAGE, and write them as a directory of payloads.

    The columns come from --columns, feature_columns.txt, hyperparameters.json, an MLflow signature,
    the model's own feature names, or the samples given. Each form of body is sent to the handler in
    a worker, and kept when the handler answers it.
    """
    fields = handler_fields(package, payloads) | ({} if stack is None else {"stack": stack})
    spec = InferenceHandlerSpec.model_validate(loading_fields(options, fields))
    names = [name.strip() for name in columns.split(",")] if columns else None
    with progress() as shown:
        found = InferenceTestDataGenerator.generate_for_handler(
            spec, forms=forms, feature_names=names, seed=seed,
            on_row=shown.row, on_note=shown.note,
        )  # fmt: skip
    directory.write(found.samples, output)
    source = "--columns" if names else found.columns.source
    click.echo(f"{found.columns.width} columns, from {source}")
    for form, fate in found.tried:
        click.echo(f"  {form:<15} {fate}")
    click.echo(f"{len(found.samples)} samples in {output}")
    click.echo(f"next: handlerproof run {package} --payloads {output}")

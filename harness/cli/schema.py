"""`handlerproof schema`: the JSON Schema of what is written and read."""

import json

import click

from harness.reports import json_schema


@click.command()
@click.argument("kind", type=click.Choice(sorted(json_schema.KINDS)), default="batch")
def schema(kind: str) -> None:
    """Print the JSON Schema of a batch's result (the default), of one handler's, or of a spec."""
    click.echo(json.dumps(json_schema.schema(kind), indent=2))

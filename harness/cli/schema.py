"""`handlerproof schema`: the JSON Schema of what is written and read."""

import json

import click

from harness.reports.json_schema import KINDS, schema


@click.command("schema")
@click.argument("kind", type=click.Choice(sorted(KINDS)), default="batch")
def schema_command(kind: str) -> None:
    """Print the JSON Schema of a batch's result (the default), of one handler's, or of a spec."""
    click.echo(json.dumps(schema(kind), indent=2))

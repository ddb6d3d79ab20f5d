"""`handlerproof run`: test one handler."""

import sys
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console

from harness.cli import spec_file
from harness.cli.handler_options import handler_fields, loading, loading_fields
from harness.cli.output import check_output
from harness.cli.progress import progress
from harness.environments.tool import Note
from harness.errors import SpecError
from harness.reports import console, stacks
from harness.results import InferenceTestResult
from harness.specs import InferenceHandlerSpec, Stack, Suspicion
from harness.stack_results import StackComparison
from harness.tester import RuntimeTester

ALL = "all"
EXAMPLES = """\b
Examples:
  handlerproof run model.tar.gz --payloads payloads/
  handlerproof run build/model --payloads payloads/ --timeout 20 --memory 512M
  handlerproof run model.tar.gz --payloads rows.csv --accept text/csv --env LOG_LEVEL=debug
  handlerproof run model.tar.gz --payloads rows.csv --env-from requirements --python 3.10
  handlerproof run model.tar.gz --payloads payloads/ --stack all
  handlerproof run --spec churn.toml --format json > result.json
"""


@click.command(epilog=EXAMPLES)
@click.argument("package", required=False, type=click.Path(path_type=Path))
@click.option("--payloads", metavar="PATH", help="Directory, file or payload.tar.gz of samples.")
@click.option("--spec", "spec_path", type=click.Path(path_type=Path), metavar="FILE",
              help="A JSON or TOML spec; other options override its fields.")  # fmt: skip
@loading()
@click.option("--preflight", type=click.Choice(["warn", "stop"]), default="warn",
              show_default=True,
              help="What warnings before the run do; warn: run anyway.")  # fmt: skip
@click.option("--stack", type=click.Choice([*get_args(Stack), ALL]),
              help="Serving stack to hold it to (default toolkit); all: what differs.")  # fmt: skip
@click.option("--accept", multiple=True, metavar="TYPE", help="Accept type to ask for; repeatable.")
@click.option("--content-type", multiple=True, metavar="TYPE",
              help="Run only samples of this type; repeatable.")  # fmt: skip
@click.option("--matrix", is_flag=True,
              help="Show what other content types and accept types are answered.")  # fmt: skip
@click.option("--probe", is_flag=True,
              help="Send each sample with one row, two rows and a charset too.")  # fmt: skip
@click.option("--strict", is_flag=True,
              help="Fail answers that are errors in truth (HP603 to HP625).")  # fmt: skip
@click.option("--suspect", multiple=True, type=click.Choice(get_args(Suspicion)),
              help="Look for this as well, though it may be right; repeatable.")  # fmt: skip
@click.option("--start", type=click.Choice(["auto", "fresh", "warm"]),
              help="Start workers anew, or from a warm process (default auto).")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
              show_default=True, help="What to print on standard output.")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE",
              help="Write the result as JSON to this file as well.")  # fmt: skip
def run(form: str, output: Path | None, preflight: str, **options: Any) -> None:
    """Test one handler: a PACKAGE (model.tar.gz, or a directory laid out as one) or a --spec."""
    spec = _spec(options)
    if output is not None:
        check_output("--output", output)
    with RuntimeTester() as tester, progress() as shown:
        on_note = shown.note if preflight == "warn" else _stopping(shown.note)
        every = options["stack"] == ALL
        test = tester.compare_stacks if every else tester.test_inference_handler
        result = test(spec, on_row=shown.row, on_note=on_note)
    if output is not None:
        result.save(output)
    _show(result, form)
    sys.exit(0 if result.overall_success else 1)


def _spec(options: dict[str, Any]) -> InferenceHandlerSpec:
    """Make the spec of a file and a command line. Raises SpecError, with the file to blame."""
    given = _given(options["package"], options["spec_path"])
    try:
        return InferenceHandlerSpec.model_validate(_fields(options, given))
    except SpecError as error:
        raise SpecError(f"{_blamed(options['spec_path'], given)}{error}") from None


def _blamed(path: Path | None, given: dict[str, Any]) -> str:
    """Name the spec's file, where it makes no sense whatever the command line says."""
    if path is not None:
        try:
            InferenceHandlerSpec.model_validate(given)
        except SpecError:
            return f"{path}: "
    return ""


def _given(package: Path | None, path: Path | None) -> dict[str, Any]:
    """Give the fields of a spec's file, and the package of the command line."""
    if package is None and path is None:
        raise SpecError("there is nothing to test; give a PACKAGE or --spec FILE")
    fields = spec_file.read(path) if path is not None else {}
    if package is not None:
        fields.pop("handler_path", None)
        fields = handler_fields(package, None) | fields
        fields["packaged_model_path"] = str(package)
    return fields


def _fields(options: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Put what the command line says over the fields given."""
    simple = {
        "payload_samples_path": options["payloads"],
        "stack": None if options["stack"] == ALL else options["stack"],
        "supported_accept_types": list(options["accept"]) or None,
        "supported_content_types": list(options["content_type"]) or None,
        "start": options["start"],
    }
    fields = given | {name: value for name, value in simple.items() if value is not None}
    if options["matrix"]:
        fields["negotiate"] = True
    if options["strict"]:
        fields["strict"] = True
    if options["suspect"]:
        fields["suspect"] = list(dict.fromkeys(options["suspect"]))
    if options["probe"]:
        fields["probe"] = True
    return loading_fields(options, fields)


def _stopping(note: Note) -> Note:
    """Show what goes on before the run, and let no run follow a warning."""

    def told(text: str) -> None:
        note(text)
        if text.startswith("warning: "):
            note("warning: nothing was run; give --preflight warn to run anyway")
            raise click.exceptions.Exit(1)

    return told


def _show(result: InferenceTestResult | StackComparison, form: str) -> None:
    if form == "json":
        click.echo(result.model_dump_json(indent=2))
    stream = Console(stderr=form == "json", highlight=False)
    stream.print(
        stacks.render(result) if isinstance(result, StackComparison) else console.render(result)
    )

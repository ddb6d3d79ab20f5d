"""`handlerproof batch`: test many handlers."""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import configuration
from harness.batch import baseline as baselines
from harness.batch import discovery, scheduling, selection
from harness.batch.budgets import Budgets
from harness.batch.history import History
from harness.batch.task import Task
from harness.batch_results import BatchResult
from harness.cli import ending, report_files
from harness.cli.batch_progress import listener
from harness.cli.handler_options import NETWORK
from harness.configuration import COMMAND_LINE, Settings, settings_of
from harness.errors import SpecError
from harness.reports import github, ndjson, overview
from harness.reports.text import harmless
from harness.specs import InferenceHandlerSpec, parse_memory

NOTHING = 5
STATE = ".handlerproof"
WIDEST = 100_000
FILES = ("output", "junit", "html", "markdown")
BUDGETS = ("max_model_loading_time", "max_prediction_time", "max_memory_usage_mb")
BATCH = ("jobs", "fail_fast", "max_failures", "retry_crashed", "runs", "state")
EXAMPLES = """\b
Examples:
  handlerproof batch handlers/ --timeout 60 --memory 1G --junit junit.xml
  handlerproof batch 'services/*/model.tar.gz' --jobs 4 --html report.html
  handlerproof batch handlers/ -k 'churn and not slow' --fail-fast
  handlerproof batch handlers/ --shard 1/4 --markdown "$GITHUB_STEP_SUMMARY"
  handlerproof batch handlers/ --resume
"""
PATH = click.Path(path_type=Path)


@click.command(epilog=EXAMPLES)
@click.argument("places", nargs=-1, required=True, metavar="SPECS...")
@click.option("--timeout", type=float, metavar="SECONDS", help="For each call (default 300).")
@click.option("--memory", metavar="SIZE", help="Limit of each handler's processes, such as 1G.")
@click.option("--isolation", type=click.Choice(["auto", "process", "bwrap", "max"]),
              help="Layers to hold the handlers in (default auto; see doctor).")  # fmt: skip
@click.option("--network", type=click.Choice(list(NETWORK)),
              help="What the handlers may reach (default none).")  # fmt: skip
@click.option("--jobs", "-j", type=click.IntRange(1), metavar="N",
              help="Most handlers at one time (default: one a core).")  # fmt: skip
@click.option("--fail-fast", is_flag=True, default=None, help="Start no more after a failure.")
@click.option("--max-failures", type=click.IntRange(1), metavar="N",
              help="Start no more after so many.")  # fmt: skip
@click.option("--retry-crashed", type=click.IntRange(0), metavar="N",
              help="Try what crashed again; what then passes is told as flaky.")  # fmt: skip
@click.option("-k", "expression", metavar="EXPR", help="Names with and, or, not: 'churn or fraud'.")
@click.option("--handler", "names", multiple=True, metavar="NAME",
              help="Only the handler of exactly this name; repeatable.")  # fmt: skip
@click.option("--last-failed", is_flag=True, help="Only what was not good the last time.")
@click.option("--shard", metavar="K/N", help="Only the K-th of N parts, such as 1/4.")
@click.option("--runs", type=click.IntRange(1), metavar="N",
              help="Run each so often, for a baseline's measures.")  # fmt: skip
@click.option("--max-model-loading-time", type=float, metavar="SECONDS", help="Budget of model_fn.")
@click.option("--max-prediction-time", type=float, metavar="SECONDS", help="Budget of predict_fn.")
@click.option("--max-memory-usage-mb", type=float, metavar="MIB", help="Budget of the memory peak.")
@click.option("--baseline", type=PATH, metavar="FILE",
              help="Compare with the --output of an earlier batch.")  # fmt: skip
@click.option("--state", metavar="DIR", help=f"Where journal and history are (default {STATE}).")
@click.option("--resume", is_flag=True, help="Go on where a batch was ended; finished ones stay.")
@click.option("--format", "form", type=click.Choice(["text", "json", "ndjson"]), default="text",
              show_default=True, help="What to print on standard output.")  # fmt: skip
@click.option("--output", type=PATH, metavar="FILE", help="Write the result as JSON as well.")
@click.option("--junit", type=PATH, metavar="FILE", help="Write JUnit XML.")
@click.option("--html", type=PATH, metavar="FILE", help="Write the report as one HTML page.")
@click.option("--markdown", type=PATH, metavar="FILE", help="Write Markdown for a step's summary.")
@click.option("--annotations", is_flag=True, help="Print GitHub's annotations of the worst.")
@click.option("--show-config", is_flag=True, help="Show each setting and its source; run nothing.")
def batch(places: tuple[str, ...], form: str, **options: Any) -> None:
    """Test many handlers: directories of them, spec files, packages, manifests, globs.

    Settings come, the strongest first, from the command line, HANDLERPROOF_* variables, each
    handler's *.handler.toml, [tool.handlerproof] in pyproject.toml. Exits with 5 when the selection
    leaves nothing to test.
    """
    files = {name: options[name] for name in FILES}
    report_files.check(files)
    for text in configuration.ignored(os.environ):
        click.echo(f"handlerproof: warning: {harmless(text)}", err=True)
    asked = _asked(places, options)
    chosen = asked.chosen(options)
    if not chosen:
        click.echo("handlerproof: the selection leaves no handler to test", err=True)
        sys.exit(NOTHING)
    if options["show_config"]:
        _show_config(asked.of(chosen))
        return
    state = asked.state
    with listener(form) as told:
        result = scheduling.run(
            asked.tasks(chosen, options),
            scheduling.Options(
                jobs=asked.batch.get("jobs"),
                fail_fast=bool(asked.batch.get("fail_fast")),
                max_failures=asked.batch.get("max_failures"),
                state=Path(state),
                resume=options["resume"],
                listener=told,
            ),
        )
    _show(result, form, annotations=options["annotations"])
    report_files.write(result, files, state)
    sys.exit(ending.interrupted() if result.interrupted else 0 if result.success else 1)


@dataclass(frozen=True)
class Handler:
    """A handler with all its settings, their sources, and where it was found."""

    spec: InferenceHandlerSpec
    settings: Settings
    place: str


@dataclass(frozen=True)
class Asked:
    """What a command line asks for: handlers, settings of the batch, and its own words again."""

    handlers: list[Handler]
    batch: dict[str, Any]
    command: list[str]

    @property
    def state(self) -> str:
        """Where the journal and the history are."""
        return str(self.batch.get("state", STATE))

    def chosen(self, options: dict[str, Any]) -> list[InferenceHandlerSpec]:
        """Choose by the options of selection. Raises SpecError."""
        failed = History.read(Path(self.state)).failed() if options["last_failed"] else None
        wanted = selection.Selection(
            names=options["names"],
            expression=options["expression"],
            only=failed,
            shard=selection.shard(options["shard"]) if options["shard"] else (1, 1),
        )
        return wanted.chosen([item.spec for item in self.handlers])

    def of(self, chosen: list[InferenceHandlerSpec]) -> list[Handler]:
        """Give the handlers of chosen specs."""
        names = {spec.handler_name for spec in chosen}
        return [item for item in self.handlers if item.spec.handler_name in names]

    def tasks(self, chosen: list[InferenceHandlerSpec], options: dict[str, Any]) -> list[Task]:
        """Make the tasks of the handlers that are chosen. Raises SpecError for a bad baseline."""
        before = baselines.read(options["baseline"]) if options["baseline"] is not None else {}
        return [
            Task(
                spec=item.spec,
                retry_crashed=self.batch.get("retry_crashed", 0),
                runs=self.batch.get("runs", 1),
                budgets=Budgets(**item.settings.table("budgets")),
                baseline=before.get(item.spec.handler_name),
                reproduce=shlex.join([*self.command, "--handler", item.spec.handler_name]),
            )
            for item in self.of(chosen)
        ]


def _asked(places: tuple[str, ...], options: dict[str, Any]) -> Asked:
    """Merge the settings of every place, for the batch and for each handler. Raises SpecError."""
    below = configuration.defaults().under(configuration.project(Path.cwd()))
    above = configuration.environment(os.environ).under(_command_line(options))
    handlers = []
    for found in discovery.find(places):
        settings = below.under(found.settings).under(above)
        handlers.append(Handler(_spec(settings, found.place), settings, found.place))
    specs, places_of = [item.spec for item in handlers], [item.place for item in handlers]
    selection.named_once(specs, places_of)
    return Asked(handlers, below.under(above).table("batch"), _command(places, options))


def _spec(settings: Settings, place: str) -> InferenceHandlerSpec:
    """Make the spec; what is only a default stays unset in it. Raises SpecError with the place."""
    set_ = {path: v for path, v in settings.values.items()
            if settings.sources[path] != configuration.DEFAULT}  # fmt: skip
    try:
        return InferenceHandlerSpec.model_validate(Settings(set_, settings.sources).fields())
    except SpecError as error:
        raise SpecError(f"{place}: {error}") from None


def _command_line(options: dict[str, Any]) -> Settings:
    fields: dict[str, Any] = {"batch": {}, "budgets": {}, "limits": {}}
    if options["timeout"] is not None:
        # In limits too, where a handler's file may have said otherwise.
        fields["timeout_seconds"] = fields["limits"]["timeout_seconds"] = options["timeout"]
    if options["memory"] is not None:
        fields["limits"]["memory_limit_mb"] = parse_memory(options["memory"])
    if options["isolation"] is not None:
        fields["isolation"] = options["isolation"]
    if options["network"] is not None:
        fields["network"] = NETWORK[options["network"]]
    fields["batch"] = {name: options[name] for name in BATCH if options[name] is not None}
    fields["budgets"] = {name: options[name] for name in BUDGETS if options[name] is not None}
    return settings_of(fields, COMMAND_LINE)


def _command(places: tuple[str, ...], options: dict[str, Any]) -> list[str]:
    """Give the words that ask for the same, without the selection and the reports."""
    names = ("timeout", "memory", "isolation", "network", *BUDGETS)
    words = ["handlerproof", "batch", *places]
    for name in names:
        if options[name] is not None:
            words += [f"--{name.replace('_', '-')}", _plain(options[name])]
    return words


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _show(result: BatchResult, form: str, *, annotations: bool) -> None:
    if form == "json":
        click.echo(result.model_dump_json(indent=2))
    if form == "ndjson":
        click.echo(ndjson.ended(result))
    for command in github.annotations(result) if annotations else ():
        click.echo(command, err=form != "text")
    console = Console(stderr=form != "text", highlight=False)
    console.print(overview.render(result), soft_wrap=True)


def _show_config(handlers: list[Handler]) -> None:
    console = Console(highlight=False)
    for handler in handlers:
        table = Table(title=Text(harmless(handler.spec.handler_name)), title_justify="left")
        rows = [[harmless(cell) for cell in row] for row in handler.settings.shown()]
        longest = max((len(name) for name, _, _ in rows), default=0)
        table.add_column("setting", overflow="fold", min_width=min(longest, console.width // 2))
        for title in ("value", "source"):
            table.add_column(title, overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        if not console.is_terminal:  # what looks for a setting in a file or a pipe finds it whole
            wide = console.options.update(max_width=WIDEST)
            console.width = max(console.width, console.measure(table, options=wide).maximum)
        console.print(table)

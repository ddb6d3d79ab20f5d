"""`handlerproof pipeline`: test a whole pipeline of scripts and handlers."""

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from harness.cli.output import check_output
from harness.errors import SpecError
from harness.pipeline_results import NodeTestResult, PipelineTestResult
from harness.pipeline_specs import InferencePipelineTestingSpec
from harness.reports import pipeline as report
from harness.reports import svg
from harness.reports.text import duration, harmless
from harness.spec_model import unknown_name
from harness.tester import RuntimeTester

NOTHING_TO_TEST = 5
EXAMPLES = """\b
Examples:
  handlerproof pipeline churn.toml
  handlerproof pipeline churn.toml --from train --graph churn.svg
  handlerproof pipeline churn.yaml --node evaluate --node calibrate --fresh
  handlerproof pipeline churn.json --format json > result.json
"""


@click.command(epilog=EXAMPLES)
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--node", "nodes", multiple=True, metavar="NODE",
              help="Run this node only; repeatable.")  # fmt: skip
@click.option("--from", "start", metavar="NODE", help="Run this node and all that depends on it.")
@click.option("--to", "end", metavar="NODE", help="Run this node and all that it depends on.")
@click.option("--fresh", is_flag=True,
              help="Run nodes again of which nothing has changed since the last run.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
              show_default=True, help="What to print on standard output.")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE",
              help="Write the result as JSON to this file as well.")  # fmt: skip
@click.option("--graph", type=click.Path(path_type=Path), metavar="FILE",
              help="Draw the pipeline with its outcomes as an SVG file.")  # fmt: skip
def pipeline(
    spec: Path,
    nodes: tuple[str, ...],
    start: str | None,
    end: str | None,
    fresh: bool,
    form: str,
    output: Path | None,
    graph: Path | None,
) -> None:
    """Test a pipeline: each node once, in the order of its DAG, and every edge with real data.

    SPEC is a TOML, YAML or JSON file. A node is not run again while its script, its inputs and its
    spec stay as they were.
    """
    asked = InferencePipelineTestingSpec.from_file(spec)
    chosen = _chosen(asked, nodes, start, end)
    for option, file in (("--output", output), ("--graph", graph)):
        if file is not None:
            check_output(option, file)
    with RuntimeTester() as tester, _progress() as on_node:
        result = tester.test_pipeline(asked, resume=not fresh, nodes=chosen, on_node=on_node)
    if output is not None:
        result.save(output)
    if graph is not None:
        graph.write_text(svg.render(result), encoding="utf-8")
    _show(result, form)
    sys.exit(0 if result.pipeline_success else 1)


def _chosen(
    spec: InferencePipelineTestingSpec,
    nodes: Collection[str],
    start: str | None,
    end: str | None,
) -> list[str] | None:
    """Give the nodes to be run; None: all. Raises SpecError for a choice that makes no sense."""
    if not spec.dag.nodes:
        click.echo("handlerproof: the pipeline has no nodes; there is nothing to test", err=True)
        sys.exit(NOTHING_TO_TEST)
    for option, names in (("--node", nodes), ("--from", [start]), ("--to", [end])):
        for name in names:
            if name is not None and name not in spec.dag.nodes:
                raise SpecError(f"{option}: {unknown_name(name, spec.dag.nodes)}")
    if nodes and (start or end):
        raise SpecError("--node names nodes one by one; leave --from and --to out")
    if nodes:
        return list(nodes)
    return spec.dag.between(start, end) if start or end else None


@contextmanager
def _progress() -> Iterator[Callable[[NodeTestResult], None]]:
    """Give a listener that shows each node as it ends, on standard error."""
    console = Console(stderr=True, highlight=False)
    yield lambda row: console.print(_line(row), soft_wrap=True)


def _line(row: NodeTestResult) -> Text:
    word = "reused" if row.reused else row.outcome.value.replace("_", " ")
    return Text(harmless(f"{row.node}: {word} ({duration(row.execution_time)})"))


def _show(result: PipelineTestResult, form: str) -> None:
    if form == "json":
        click.echo(result.model_dump_json(indent=2))
    Console(stderr=form == "json", highlight=False).print(report.render(result))

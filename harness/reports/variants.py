"""Variants of requests for the terminal: the negotiation as a heat map, and the probes."""

from collections import Counter
from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from harness.records import Outcome
from harness.reports.text import harmless, shortened
from harness.results import InferenceTestResult, VariantTestResult

Cell = tuple[str, str]
Grid = dict[tuple[str, str], VariantTestResult]
NAMES_SHOWN = 5
HEADERS = {"absent": "none", "any": "*/*", "list": "a, b", "with q": "a;q=0.9"}
LOST = "*"


def render(result: InferenceTestResult) -> list[RenderableType]:
    """Give one heat map for all samples that are answered alike, then the probes."""
    parts: list[RenderableType] = []
    for samples, grid in _alike(result.variant_results):
        parts += [_heat_map(samples, grid), _legend(grid)]
    rows = [row for row in result.variant_results if not parts or row.body_variant != "as given"]
    return [*parts, _probes(rows)] if rows else parts


def _alike(rows: list[VariantTestResult]) -> Iterator[tuple[list[str], Grid]]:
    """Group the samples whose whole negotiation looks the same."""
    grids: dict[str, Grid] = {}
    for row in rows:
        if row.body_variant == "as given":
            column = str(row.accept_type) if row.accept_variant == "as given" else ""
            key = (row.content_type_variant, column or HEADERS[row.accept_variant])
            grids.setdefault(row.sample_name, {})[key] = row
    groups: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for name, grid in grids.items():
        if any(row.accept_variant != "as given" for row in grid.values()):
            face = tuple((*key, *_face(row), *_why(row)) for key, row in grid.items())
            groups.setdefault(face, []).append(name)
    for names in groups.values():
        yield names, grids[names[0]]


def _heat_map(samples: list[str], grid: Grid) -> Table:
    more = f" and {len(samples) - NAMES_SHOWN} more" if len(samples) > NAMES_SHOWN else ""
    names = ", ".join(samples[:NAMES_SHOWN]) + more
    title = Text(f"\nnegotiation: {harmless(names)}")
    table = Table(title=title, title_justify="left")
    table.add_column("Content-Type / Accept")
    columns = list(dict.fromkeys(column for _, column in grid))
    for column in columns:
        table.add_column(Text(harmless(column)), justify="center")
    for kind in dict.fromkeys(kind for kind, _ in grid):
        cells = [grid[kind, column] for column in columns]
        table.add_row(_row_name(cells[0]), *(Text(*_face(row)) for row in cells))
    return table


def _row_name(row: VariantTestResult) -> Text:
    if row.content_type_variant == "as given":
        return Text(f"as given: {harmless(str(row.content_type))}")
    return Text(row.content_type_variant)


def _face(row: VariantTestResult) -> Cell:
    """Give the text of a cell and its colour: the status, or in a word why there is none."""
    status = row.response.status
    if status is None:
        text, style = row.outcome.value.replace("_", " "), "red"
    elif status < 400:
        text, style = str(status), "green" if row.success else "yellow"
    else:
        text, style = str(status), "red" if status >= 500 else "yellow"
    return text + LOST * row.worker_lost, style


def _why(row: VariantTestResult) -> tuple[str, ...]:
    """Say what went wrong behind a cell; nothing for an answer."""
    if row.success:
        return ()
    place = row.failed_function or "the request"
    told = row.error_message or row.skip_reason or ""
    return (f"{_face(row)[0]}: {place} {row.outcome.value.replace('_', ' ')}", told)


def _legend(grid: Grid) -> Text:
    """Say once what each failure was, with the number of its cells."""
    reasons = Counter(_why(row) for row in grid.values() if not row.success)
    lines = []
    for (outcome, told), count in reasons.items():
        cells = f"{count} cell" + "s" * (count > 1)
        lines.append(f"  {outcome} ({cells}): {shortened(harmless(told), 160)}")
    if any(row.worker_lost for row in grid.values()):
        lines.append(f"  {LOST} the worker was lost; the next request found a fresh one")
    return Text("\n".join(lines))


def _probes(rows: list[VariantTestResult]) -> Table:
    table = Table(title=Text("\nprobes"), title_justify="left")
    for name in ("sample", "sent", "answer", "input_fn gave", "what went wrong"):
        table.add_column(name)
    for row in rows:
        shape = row.processed_input_shape
        table.add_row(
            Text(harmless(row.sample_name)),
            row.body_variant if row.body_variant != "as given" else row.content_type_variant,
            Text(*_face(row)),
            Text(harmless(row.processed_input_type or "-") + (f" {tuple(shape)}" if shape else "")),
            Text("" if row.outcome is Outcome.passed else shortened(harmless(_told(row)), 160)),
        )
    return table


def _told(row: VariantTestResult) -> str:
    return ": ".join(filter(None, (row.failed_function, row.error_message or row.skip_reason)))

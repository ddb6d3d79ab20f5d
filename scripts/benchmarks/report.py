"""Figures as a table for the terminal, and as the sections of docs/benchmarks.md with charts."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from benchmarks import charts
from benchmarks.measure import Figure, Ratio, Spread

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
CHARTS = DOCUMENT.with_suffix("")
HEAD = """\
# Benchmarks

Measured by `scripts/bench --write`; a part alone by `scripts/bench PART --write`, and `--rounds`
says how often. Read the ratios: a time holds on one machine only. Each round measures every case
once, in turn. Shown are the median and the quartiles over the rounds; a ratio is that of a round's
figure to its base.
"""
ORDER = (
    *("load", "start", "round-trip", "peers", "bodies", "overhead", "batch", "growth"),
    *("isolation", "environments", "judgement", "soak", "soak-warm"),
)


def table(figures: Sequence[Figure]) -> Table:
    """Make a table of one part."""
    first = figures[0]
    made = Table(title=heading(first.part, figures), title_justify="left")
    for title in first.TITLES:
        made.add_column(title, justify="left" if title == "what" else "right")
    for figure in figures:
        style = None if figure.met is None else "green" if figure.met else "bold red"
        made.add_row(*figure.cells(), style=style)
    return made


def write(part: str, words: str, figures: Sequence[Figure]) -> None:
    """Put a part's section into the document, in the place of the one that is there."""
    kept = sections(DOCUMENT.read_text()) if DOCUMENT.exists() else {}
    drawn = chart(part, figures)
    if drawn is not None:
        CHARTS.mkdir(exist_ok=True)
        (CHARTS / f"{part}.svg").write_text(drawn)
    kept[part] = section(part, words, figures, drawn=drawn is not None)
    DOCUMENT.write_text("\n".join([HEAD, *(kept[name] for name in ORDER if name in kept)]))


def sections(text: str) -> dict[str, str]:
    """Split a document into its sections, by the part that each is of."""
    found = {}
    for block in text.split("\n## ")[1:]:
        name = block.split(",")[0].split("\n")[0].strip().lower()
        found[name] = f"## {block.rstrip()}\n"
    return found


def chart(part: str, figures: Sequence[Figure]) -> str | None:
    """Draw a part: ratios as bars, what grows as lines; None where there is neither."""
    ratios = [figure for figure in figures if isinstance(figure, Ratio)]
    grown = [figure for figure in figures if isinstance(figure, Spread) and figure.size]
    if grown:
        names = dict.fromkeys(figure.name.partition(":")[0] for figure in grown)
        return charts.lines(
            f"{part}: what a test costs, by size", [line(name, grown) for name in names], "ms"
        )
    shown = [bar(figure) for figure in ratios if (figure.lower, figure.upper) != (1.0, 1.0)]
    return charts.bars(f"{part}: ratios to the base", shown) if shown else None


def bar(figure: Ratio) -> charts.Bar:
    """Draw a ratio as a bar."""
    return charts.Bar(figure.name, figure.ratio, figure.lower, figure.upper, figure.target)


def line(name: str, figures: Sequence[Spread]) -> charts.Line:
    """Draw the sizes of one series as a line."""
    own = [figure for figure in figures if figure.name.startswith(f"{name}:")]
    return charts.Line(name, [(figure.size or 0, figure.median) for figure in own])


def section(part: str, words: str, figures: Sequence[Figure], *, drawn: bool = False) -> str:
    """Make a part's section: what was measured, on what, its chart, a row for each figure."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    first = figures[0]
    lines = [
        f"## {heading(part, figures).capitalize()}",
        "",
        words,
        "",
        f"On {cores} shared cores under a load of {os.getloadavg()[0]:.0f}, {platform.system()}, "
        f"Python {platform.python_version()}.",
        "",
        *([f"![{part}](benchmarks/{part}.svg)", ""] if drawn else []),
        "| " + " | ".join(first.TITLES) + " |",
        "|---" * len(first.TITLES) + "|",
        *("| " + " | ".join(figure.cells()) + " |" for figure in figures),
    ]
    return "\n".join(lines) + "\n"


def heading(part: str, figures: Sequence[Figure]) -> str:
    """Name a part with its rounds, where all its figures have as many."""
    rounds = {figure.rounds for figure in figures}
    return f"{part}, {rounds.pop()} rounds" if len(rounds) == 1 else part

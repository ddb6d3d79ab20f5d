"""What the tester costs, measured: `scripts/bench [PART ...]`.

It tells which targets are met and does not fail for one that is not; the soaks, which are run only
when they are named, fail when a verdict differs or anything is left.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from benchmarks import (
    batch,
    bodies,
    environments,
    growth,
    isolation,
    judgement,
    load,
    overhead,
    peers,
    report,
    round_trip,
    soak,
    start,
)
from benchmarks.measure import Figure
from rich.console import Console

PARTS = {
    part.NAME: part
    for part in (
        *(load, start, round_trip, peers, bodies, overhead, batch, growth),
        *(isolation, environments, judgement),
    )
}
SOAKS = {soak.NAME: "fresh", soak.WARM: "warm"}


def main() -> None:
    """Measure what the arguments ask for, and print or write it."""
    arguments = parsed()
    found: list[Figure] = []
    faults: list[str] = []
    for name in arguments.parts or PARTS:
        if name in SOAKS:
            figures, wrong = soak.run(arguments.workers, SOAKS[name])
            faults += wrong
            words = soak.WORDS[name]
        else:
            figures, words = PARTS[name].run(arguments.rounds), PARTS[name].WORDS
        found += figures
        if not arguments.json:
            Console(highlight=False).print(report.table(figures))
        if arguments.write:
            report.write(name, words, figures)
    if arguments.json:
        print(json.dumps([asdict(figure) for figure in found], indent=2))
    if faults:
        raise SystemExit("\n".join(faults))


def parsed() -> argparse.Namespace:
    """Read the command line."""
    names = [*PARTS, *SOAKS]
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join(names)} (default: all but the soaks)"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="PART", help="the same, as an option"
    )
    parser.add_argument("--rounds", type=int, default=40, help="how often (default 40)")
    parser.add_argument("--workers", type=int, default=2000, help="of a soak (default 2000)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--write", action="store_true", help="write them to docs/benchmarks.md")
    arguments = parser.parse_args()
    arguments.parts += arguments.only
    if arguments.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if arguments.workers < soak.FEWEST:
        parser.error(f"--workers must be {soak.FEWEST} or more")
    for name in arguments.parts:
        if name not in names:
            parser.error(f"{name}: the parts are {', '.join(names)}")
    return arguments


if __name__ == "__main__":
    main()

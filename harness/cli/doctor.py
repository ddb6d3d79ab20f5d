"""`handlerproof doctor`: what this machine can hold a handler in, by trying it."""

import json
import sys
from dataclasses import asdict, dataclass
from typing import Literal

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.runtime import layers

Verdict = Literal["PASS", "CAUTION", "FAIL", "SKIPPED"]
STYLE = {"PASS": "green", "CAUTION": "yellow", "FAIL": "bold red", "SKIPPED": "dim"}
GIVES = {
    "process": "the tester survives; time, memory, processes and output are limited",
    "landlock": "writes only in the run directory, no TCP, no signal to others",
    "cgroup": "exact memory, files in memory counted, the kernel's evidence",
    "seccomp": "no sockets of the internet families, UDP among them",
    "bwrap": "no network, no host process in sight, a root that is read-only",
}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: a layer, whether it works, what it gives or why it does not."""

    layer: str
    verdict: Verdict
    version: str | None
    detail: str
    remedy: str


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Try each layer of isolation and say what works here, and what to do where it does not.

    The same probes as a run uses. Exits with 4 when not even the process layer works.
    """
    findings = [_finding(probe()) for probe in (layers.process, *layers.PROBES.values())]
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        Console(highlight=False).print(_table(findings))
    sys.exit(4 if findings[0].verdict == "FAIL" else 0)


def _finding(probe: layers.Probe) -> Finding:
    gives = GIVES[probe.layer]
    if probe.works:
        verdict: Verdict = "CAUTION" if probe.reason else "PASS"
        detail = f"{gives}; {probe.reason}" if probe.reason else gives
        return Finding(probe.layer, verdict, probe.version, detail, probe.remedy)
    verdict = "FAIL" if probe.layer == "process" else "SKIPPED"
    return Finding(probe.layer, verdict, None, probe.reason, probe.remedy)


def _table(findings: list[Finding]) -> Table:
    table = Table()
    for title in ("layer", "verdict", "version", "what it gives, or why not", "remedy"):
        table.add_column(title)
    for item in findings:
        verdict = Text(item.verdict, style=STYLE[item.verdict])
        # As Text: what is in brackets, such as handlerproof[seccomp], is markup in a plain string.
        cells = (item.version or "-", item.detail, item.remedy or "-")
        table.add_row(item.layer, verdict, *map(Text, cells))
    return table

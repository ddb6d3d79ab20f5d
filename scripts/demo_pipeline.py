"""The tour of pipelines: ten real scripts and a handler pass, a broken edge is mended, resumed.

`scripts/demo --pipeline` runs it. The pipeline lies in demo_files/pipeline/: two loaders, two
preprocessors, training, evaluation, calibration, package, payload, and the handler at registration.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from demo import COMMAND, console, headline, say, told, verdict
from rich.text import Text

from harness import InferencePipelineTestingSpec, Outcome, PipelineTestResult, RuntimeTester

FILES = Path(__file__).with_name("demo_files") / "pipeline"
IMPORTS = "joblib, sklearn.isotonic, sklearn.linear_model, sklearn.metrics, sklearn.pipeline"
HANDLER = "Registration"
MENDED = ["JSON records instead of CSV"]


def main() -> int:
    """Show everything; 0 when all of it is as it should be, else 1."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        place = shutil.copytree(FILES, Path(folder, "pipeline"))
        os.environ["TMPDIR"] = tempfile.tempdir = str(place.parent)
        compile_libraries()
        held = [whole(place), again(place), *broken(place)]
        left = list(place.parent.glob("handlerproof-*"))
        held.append(say(f"run directories left behind: {len(left)}", not left))
    console.print(verdict(all(held)))
    return 0 if all(held) else 1


def compile_libraries() -> None:
    """Have what the scripts import compiled: a sandboxed worker cannot write compiled files."""
    variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, "-c", f"import {IMPORTS}"], env=variables, check=True)


def whole(place: Path) -> bool:
    """Run the pipeline with the command, as a user would."""
    headline("Ten nodes, each once in a worker of its own; every edge with the real data")
    return say("the pipeline passes", command(place, "--graph", "pipeline.svg") == 0)


def again(place: Path) -> bool:
    """Run it once more: nothing changed, so nothing is run."""
    headline("Once more: nothing has changed")
    with RuntimeTester() as tester:
        result = tester.test_pipeline(spec_of(place), resume=True)
    reused = sum(row.reused for row in result.node_results)
    told("took", f"{result.total_execution_time:.1f} s")
    everything = result.pipeline_success and reused == len(result.node_results)
    return say(f"{reused} of {len(result.node_results)} nodes are taken from before", everything)


def broken(place: Path) -> list[bool]:
    """Send the preprocessed table, with its header and its label, to the handler."""
    headline("An edge that is broken: the table with header and label goes to the handler")
    spec = spec_of(place)
    spec.dag.add_edge("TabularPreprocessing_calibration", HANDLER)
    with RuntimeTester() as tester:
        result = tester.test_pipeline(spec, resume=True)
    edge = result.edge("TabularPreprocessing_calibration", HANDLER)
    told("refused", "; ".join(edge.compatibility_issues))
    adapter = edge.adapter
    steps = [step.detail for step in adapter.changes] if adapter is not None else []
    if adapter is not None:
        told("would pass", f"{', and '.join(steps)} (found after {adapter.tries} tries)")
    return [
        say("the edge is told from the others", not edge.compatible and refused(result) == 1),
        say("what would mend it was seen to", steps == MENDED),
    ]


def refused(result: PipelineTestResult) -> int:
    """Count the edges that do not fit."""
    return sum(row.outcome is Outcome.failed for row in result.edge_results)


def spec_of(place: Path) -> InferencePipelineTestingSpec:
    """Read the pipeline."""
    return InferencePipelineTestingSpec.from_file(place / "pipeline.toml")


def command(place: Path, *words: str) -> int:
    """Run `handlerproof pipeline`; give its exit code."""
    line = ["pipeline", "pipeline.toml", *words]
    console.print(Text(f"$ handlerproof {' '.join(line)}", style="bold"), soft_wrap=True)
    return subprocess.run([COMMAND, *line], cwd=place, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

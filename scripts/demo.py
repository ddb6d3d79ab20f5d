"""The tour: a good handler passes, its hostile twins are found out, nothing is left behind.

`scripts/demo` sets up what this needs and runs it. Its parts lie in demo_files/: the handler in
code/, the training of its model, and the twins in hostile/.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy
import psutil
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness import (
    FunctionTestResult,
    InferenceHandlerSpec,
    InferenceTestResult,
    Limits,
    Outcome,
    RuntimeTester,
)

FILES = Path(__file__).with_name("demo_files")
COMMAND = Path(sys.executable).with_name("handlerproof")
COLUMNS = ("tenure_months", "monthly_charge", "support_calls")
CUSTOMERS = [[48, 30, 1], [2, 110, 9], [20, 75, 4]]
PAYLOAD, ACCEPT = "customers.csv", "text/csv"
TIMEOUT_S = 3.0
MEMORY_MB = 512
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Twin:
    """A hostile handler: its file in hostile/, what it does, and the verdict it must get."""

    file: str
    does: str
    verdict: Outcome


TWINS = (
    Twin("hangs.py", "never returns", Outcome.timed_out),
    Twin("hoards.py", "takes 4 GiB", Outcome.memory_exceeded),
    Twin("segfaults.py", "reads at address 0", Outcome.crashed),
    Twin("exits.py", "calls os._exit(0)", Outcome.exited),
    Twin("forges.py", "prints forgeries", Outcome.passed),
)

console = Console(highlight=False)


def main() -> int:
    """Show everything; 0 when all of it is as it should be, else 1."""
    if not COMMAND.exists():
        sys.exit(f"there is no {COMMAND.name} beside {sys.executable}; run scripts/demo")
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        work = Path(folder)
        use_temporary_directory(work / "tmp")
        good, twins, payloads = prepare(work)
        held = [run_command(work, good, payloads)]
        truth = answer(InferenceTestResult.load(work / "result.json")) if held[0] else None
        with RuntimeTester() as tester:
            held += run_twins(tester, twins, payloads / PAYLOAD, truth)
            again = tester.test_inference_handler(asked(good, "inference.py", payloads / PAYLOAD))
        alive = again.overall_success and answer(again) == truth
        held.append(say("the tester is alive, and the good handler passes again", alive))
        held += nothing_left(work / "tmp")
    console.print(verdict(all(held)))
    return 0 if all(held) else 1


# ---------------------------------------------------------------- what is tested


def prepare(work: Path) -> tuple[Path, Path, Path]:
    """Train, package and write payloads: (the good package, the one with the twins, payloads)."""
    headline("A scikit-learn pipeline, packaged with its handler and a module of its own")
    model = train(work)
    ours = {f"code/{path.name}": path for path in sorted((FILES / "code").glob("*.py"))}
    hostile = {f"code/{twin.file}": FILES / "hostile" / twin.file for twin in TWINS}
    good = pack(work / "model.tar.gz", {"model.joblib": model, **ours})
    twins = pack(work / "hostile.tar.gz", {"model.joblib": model, **ours, **hostile})
    payloads = write_payloads(work / "payloads")
    told("model.tar.gz", ", ".join(["model.joblib", *ours]))
    told("payloads/", ", ".join(sorted(path.name for path in payloads.iterdir())))
    return good, twins, payloads


def train(work: Path) -> Path:
    """Train in a process of its own: the handler's modules are not imported here."""
    model = work / "model.joblib"
    code = shutil.copytree(FILES / "code", work / "code")
    # Compiled files are wanted: a sandboxed worker imports the same modules, and cannot write them.
    variables = {**os.environ, "PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, FILES / "train.py", model], env=variables, check=True)
    return model


def pack(archive: Path, members: dict[str, Path]) -> Path:
    """Make a model.tar.gz of the given files."""
    with tarfile.open(archive, "w:gz") as tar:
        for name, path in members.items():
            tar.add(path, arcname=name)
    return archive


def write_payloads(folder: Path) -> Path:
    """Write the same customers as CSV, JSON and npy."""
    folder.mkdir()
    rows = "".join(",".join(map(str, row)) + "\n" for row in CUSTOMERS)
    (folder / PAYLOAD).write_text(rows)
    named = [dict(zip(COLUMNS, row, strict=True)) for row in CUSTOMERS]
    (folder / "customers.json").write_text(json.dumps(named))
    file = io.BytesIO()
    numpy.save(file, numpy.array(CUSTOMERS, dtype=float))
    (folder / "customers.npy").write_bytes(file.getvalue())
    return folder


# ---------------------------------------------------------------- the tests


def run_command(work: Path, good: Path, payloads: Path) -> bool:
    """Test the good handler with the command, as a user would; say whether it passed."""
    headline("Each function of it, and each payload end to end, in a sandboxed worker")
    words = ["run", good.name, "--payloads", payloads.name, "--output", "result.json"]
    words += ["--accept", ACCEPT, "--accept", "application/json"]
    console.print(Text(f"$ handlerproof {' '.join(words)}", style="bold"), soft_wrap=True)
    code = subprocess.run([COMMAND, *words], cwd=work, check=False).returncode
    return say(f"the good handler passes: exit code {code}", code == 0)


def run_twins(tester: RuntimeTester, twins: Path, payload: Path, truth: str | None) -> list[bool]:
    """Test the hostile twins, and show each verdict as it comes; say which were right."""
    headline("Its hostile twins, one after the other, by one tester in this process")
    told("limits", f"{TIMEOUT_S:g} s a call, {MEMORY_MB} MiB")
    table, held = Table(), []
    for title in ("its predict_fn", "verdict", "evidence", "took", "right"):
        table.add_column(title, justify="right" if title == "took" else "left")
    with Live(table, console=console, auto_refresh=False) as live:
        for twin in TWINS:
            result = tester.test_inference_handler(asked(twins, twin.file, payload))
            held.append(is_right(twin, result, truth))
            table.add_row(*told_of(twin, result, held[-1]))
            live.refresh()
    if not console.is_terminal:
        console.print()  # Live ends the last line on a terminal only
    return held


def asked(package: Path, entry_point: str, payload: Path) -> InferenceHandlerSpec:
    """Ask for one payload and one accept type under short limits."""
    return InferenceHandlerSpec(
        handler_name=entry_point.removesuffix(".py"),
        packaged_model_path=str(package),
        entry_point=entry_point,
        payload_samples_path=str(payload),
        supported_accept_types=[ACCEPT],
        timeout_seconds=TIMEOUT_S,
        limits=Limits(memory_limit_mb=MEMORY_MB, startup_timeout_seconds=60),
    )


def is_right(twin: Twin, result: InferenceTestResult, truth: str | None) -> bool:
    """Say whether predict_fn has the verdict it must have, and no other function is blamed."""
    if twin.verdict is Outcome.passed:
        log = result.predict_fn_results[0].log
        logged = log is not None and '"forged"' in log.head
        return result.overall_success and logged and answer(result) == truth
    wanted = [Outcome.passed, Outcome.passed, twin.verdict, Outcome.skipped]
    return [row.outcome for row in result.function_results()] == wanted


def answer(result: InferenceTestResult) -> str | None:
    """Give the body of the response that every test here asks for."""
    for row in result.end_to_end_results:
        if (row.content_type, row.accept_type) == ("text/csv", ACCEPT):
            return row.response.body
    return None


def told_of(twin: Twin, result: InferenceTestResult, right: bool) -> list[str | Text]:
    """Give a twin's cells of the table."""
    row = result.predict_fn_results[0]
    style = "green" if row.success else "bold red"
    name = Text(row.outcome.value.replace("_", " "), style=style)
    told = evidence(row) if not row.success else "forgery in log, answer true" if right else ""
    return [twin.does, name, told, f"{result.total_execution_time:.1f} s", yes(right)]


def evidence(row: FunctionTestResult) -> str:
    """Say in a few words what the verdict on a call that did not pass stands on."""
    if row.signal is not None and row.outcome is Outcome.crashed:
        return f"signal {row.signal.number}, {row.signal.name}"
    if row.outcome is Outcome.exited:
        return f"exit code {row.exit_code}"
    if row.outcome is Outcome.memory_exceeded:
        return f"ended at {(row.peak_memory_bytes or 0) >> 20} MiB"
    return f"ended after {row.execution_time:.1f} s"


# ---------------------------------------------------------------- what is left


def adopt_orphans() -> None:
    """Become the parent of every process below whose own parent ends (Linux; see prctl(2)).

    So nothing can hide from the look at what is left by detaching itself.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def use_temporary_directory(folder: Path) -> None:
    """Have this process and the commands put temporary files into a directory of their own."""
    folder.mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def nothing_left(temporary: Path) -> list[bool]:
    """Look for processes and run directories that outlived their tests."""
    processes = [child for child in psutil.Process().children(recursive=True) if is_running(child)]
    directories = list(temporary.glob("handlerproof-*"))
    return [
        say(f"processes left behind: {len(processes)}", not processes),
        say(f"run directories left behind: {len(directories)}", not directories),
    ]


def is_running(process: psutil.Process) -> bool:
    """Say whether a process is more than an exit status that nobody has read."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


# ---------------------------------------------------------------- how it is said


def headline(text: str) -> None:
    """Begin a part of the tour."""
    console.print(Text(f"\n{text}", style="bold cyan"))


def told(name: str, text: str) -> None:
    """Print a name and what is to be said of it."""
    console.print(Text.assemble((f"{name}: ", "bold"), text), soft_wrap=True)


def say(text: str, held: bool) -> bool:
    """Print whether something held, and give it back."""
    console.print(Text.assemble(yes(held), f"  {text}"))
    return held


def yes(held: bool) -> Text:
    """Give yes or NO in its colour."""
    return Text("yes", style="green") if held else Text("NO", style="bold red")


def verdict(held: bool) -> Text:
    """Give the last line."""
    if held:
        return Text("\nAll as it should be.", style="bold green")
    return Text("\nNot as it should be: see each NO above.", style="bold red")


if __name__ == "__main__":
    sys.exit(main())

"""A kept environment against the tester's own, and building with uv against venv and pip."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.measure import Spread, in_turn, spread
from harness import InferenceHandlerSpec, RuntimeTester
from harness.artifacts.package import open_package
from harness.artifacts.workspace import RunDirectory
from harness.environments import builder, interpreters, places, preflight, provided, requirements
from harness.environments.builder import Builder
from harness.environments.tool import Run

NAME = "environments"
WORDS = """\
`scripts/bench environments`. Reuse is of an environment of numpy and pandas that is kept, at the
level `auto`, less the same with `inherit` in the same round: from the spec to the interpreter with
what preflight has to say, the fastest of 20, and a whole test of a handler that does nothing, the
fastest of 3, since who else uses the machine makes a time longer and never shorter.

Builds are of numpy and pandas into an empty directory, both tools' caches warm, by the tester's own
builders: both compile what they install. Without compiling, uv and pip are told so, and nothing
else differs. The share is uv's time in that of venv and pip."""
ASKED = ("numpy", "pandas")
HANDLER = """
def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return prediction
"""
TARGET_MS, TARGET_PERCENT = 5.0, 10.0
BUILD_TIMEOUT_S = 1800.0


def run(rounds: int) -> list[Spread]:
    """Measure reuse in every round, and builds, which take long, in a tenth of them."""
    with tempfile.TemporaryDirectory() as folder, _cache_in(Path(folder, "cache")):
        package = _package(Path(folder, "package"))
        return [*_reuse(package, rounds), *_builds(Path(folder), max(1, rounds // 10))]


# ---------------------------------------------------------------- reuse


def _reuse(package: Path, rounds: int) -> Iterator[Spread]:
    kept, own = _spec(package, {"requirements": ASKED}), _spec(package, "inherit")
    with RuntimeTester() as tester:
        cases: dict[str, Callable[[], float]] = {
            "found, own": lambda: min(_find(own) for _ in range(20)),
            "found, kept": lambda: min(_find(kept) for _ in range(20)),
            "test, own": lambda: min(_test(tester, own) for _ in range(3)),
            "test, kept": lambda: min(_test(tester, kept) for _ in range(3)),
        }
        times = in_turn(cases, rounds)
    for name, what in (("found", "found, checked, looked at"), ("test", "a whole test")):
        pairs = zip(times[f"{name}, kept"], times[f"{name}, own"], strict=True)
        over = [1000 * (kept_s - own_s) for kept_s, own_s in pairs]
        title = f"reuse over inherit: {what}"
        yield spread(NAME, title, over, unit="ms", target=TARGET_MS)


def _find(spec: InferenceHandlerSpec) -> float:
    """Time what comes between an open package and the worker's start."""
    with RunDirectory() as run:
        package = open_package(spec, run)
        begin = time.perf_counter()
        with provided.provided(
            spec.environment, package.code_dir, (), run.path, exposed=False, note=_silent
        ) as found:
            preflight.warnings(spec, package, found)
            return time.perf_counter() - begin


def _test(tester: RuntimeTester, spec: InferenceHandlerSpec) -> float:
    begin = time.perf_counter()
    result = tester.test_inference_handler(spec)
    elapsed = time.perf_counter() - begin
    if not result.overall_success:
        raise SystemExit(f"the handler failed: {result.errors}")
    return elapsed


# ---------------------------------------------------------------- builds


def _builds(folder: Path, rounds: int) -> Iterator[Spread]:
    uv, pip = builder.choose(), Builder("pip")
    if uv.program is None:
        raise SystemExit("there is no uv to measure; install the extra uv")
    for how, variables in (("compiled", {}), ("not compiled", {"PIP_NO_COMPILE": "1"})):
        compiled = not variables
        with _variables(variables):
            cases: dict[str, Callable[[], float]] = {
                "venv and pip": partial(_build, pip, folder),
                "uv": partial(_build if compiled else _build_plainly, uv, folder),
            }
            times = in_turn(cases, rounds)
        for name, values in times.items():
            yield spread(NAME, f"numpy and pandas, {how}: {name}", values, unit="s")
        share = [100 * own / of for own, of in zip(times["uv"], times["venv and pip"], strict=True)]
        title = f"numpy and pandas, {how}: uv's share"
        yield spread(NAME, title, share, unit="%", target=TARGET_PERCENT)


def _build(tool: Builder, folder: Path) -> float:
    with _place(folder) as (run, into):
        begin = time.perf_counter()
        tool.build(run, interpreters.find(None), requirements.of_lines(ASKED), into, False)
        return time.perf_counter() - begin


def _build_plainly(tool: Builder, folder: Path) -> float:
    """Do with uv what the builder does, without the compiling."""
    with _place(folder) as (run, into):
        begin = time.perf_counter()
        assert tool.program is not None
        python = interpreters.find(None).executable
        run(tool.program, "venv", "--no-python-downloads", "--python", python, into)
        to: list[str | Path] = ["--link-mode", "copy", "--python", into / "bin" / "python"]
        run(tool.program, "pip", "install", *to, *ASKED)
        return time.perf_counter() - begin


@contextmanager
def _place(folder: Path) -> Iterator[tuple[Run, Path]]:
    with tempfile.TemporaryDirectory(dir=folder) as made:
        into, temporary = Path(made, "tree"), Path(made, "temporary")
        into.mkdir()
        temporary.mkdir()
        yield Run(temporary, [into], temporary, BUILD_TIMEOUT_S, _silent), into


# ---------------------------------------------------------------- what they work with


def _package(folder: Path) -> Path:
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(HANDLER)
    (folder / "rows").mkdir()
    (folder / "rows" / "row.json").write_text("[1]")
    return folder


def _spec(package: Path, environment: object) -> InferenceHandlerSpec:
    return InferenceHandlerSpec.model_validate(
        {
            "handler_name": "measured",
            "packaged_model_path": str(package),
            "payload_samples_path": str(package / "rows"),
            "environment": environment,
        }
    )


@contextmanager
def _variables(given: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, text in before.items():
            if text is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = text


def _cache_in(folder: Path) -> contextlib.AbstractContextManager[None]:
    return _variables({places.VARIABLE: str(folder)})


def _silent(text: str) -> None:
    """Show nothing: what is told while it builds is not what is measured."""
